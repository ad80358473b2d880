//! Templates: what their owner wrote, and the compiled library that renders them.
//!
//! A template is a subject, an HTML part and a text part in the language of Jinja (by MiniJinja). HTML escapes every value
//! by itself; subject and text do not. The parts see one another's names: `{% extends "layout" %}` in an HTML part takes the
//! HTML part of the template `layout`, in a text part its text. Names that begin with `ready/` are the templates that
//! ship.

mod error;
mod filters;
mod library;
pub mod lint;
mod money;
mod source;
mod subject;

pub use error::{Reason, TemplateError};
pub use library::{DEPTH_MOST, Library, Limits, Rendered};
pub use source::{InvalidName, Part, Template, TemplateName};
