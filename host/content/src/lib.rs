//! What a message says: templates, text from HTML, tracked links, unsubscribing. A pure crate: it has no sockets, no files
//! and no clock.
//!
//! - [`template`]: [`Library`] keeps the templates of one owner compiled and renders them; [`template::lint`] tells what
//!   is wrong with one before a customer sees it.
//! - [`ready`]: the templates that ship.
//! - [`html`]: text from HTML, and links and a pixel put into it while every other octet stays.
//! - [`link`]: what a tracked link says, sealed and with an end.
//! - [`track`]: links, a pixel and a way to unsubscribe, put into a message before it is signed.
//! - [`page`]: what a person sees who unsubscribes.
//! - [`agent`]: who opened it: a person's mail program, a proxy of the provider or a scanner.
//! - [`unsubscribe`]: the fields of RFC 2369 and RFC 8058.
//!
//! Invariant: a template can neither loop nor grow without end. Every rendering has a budget of work, a depth and a
//! bound of octets, and one that exceeds them is an error that names the template.
//!
//! Invariant: no value of a template's data reaches a header field with a control character in it.
//!
//! Invariant: a link that this relay did not seal leads nowhere. The target of a redirect is inside the seal.

pub mod agent;
pub mod html;
pub mod link;
pub mod page;
pub mod ready;
pub mod template;
pub mod track;
pub mod unsubscribe;

pub use template::{DEPTH_MOST, Library, Limits, Rendered, Template, TemplateError, TemplateName};
