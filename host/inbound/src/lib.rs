//! The way in: listeners and sessions. Drives the pure SMTP server machine of `baton-smtp` over sockets, asks the
//! plugins, decides who may relay, and hands accepted messages to the queue.
//!
//! Invariant: a positive reply to the end of data is built by the store's `Accepted` token, or says that somebody
//! decided to discard the message. There is no third way to say 250.
//!
//! Invariant: no transaction knows anything of the one before it. All its state lives in one `Draft`, and a draft is
//! made by MAIL and dropped with the transaction.
//!
//! Invariant: without a relay network, an account, a local domain or a plugin with the grant, a recipient is refused.
//! No exemption by address exists for anything else, the framing rules least of all.
//!
//! Invariant: a session that waits holds no buffer, no transaction it did not begin, and one timer.
//!
//! Invariant: no credential is logged, recorded or kept longer than the call which judges it.
//!
//! Invariant: what a client said before TLS is forgotten with it, by the machine and by the session (RFC 3207 4.2).
//!
//! Deliberately absent: delivery, and any import of `baton-outbound`.

mod admission;
mod binding;
mod clients;
mod gate;
mod limits;
mod listener;
mod listener_tls;
mod log;
pub mod metrics;
mod networks;
mod policy;
mod pressure;
mod proxy;
mod rates;
mod replies;
mod returned;
mod session;
mod settings;
mod standing;
mod stream;
#[cfg(test)]
mod tests;
mod trace;

pub use binding::{BindError, Sockets};
pub use clients::{ClientLimits, LimitChanges};
pub use gate::{Beside, Gate};
pub use listener::{Inbound, InboundDeps};
pub use listener_tls::{ListenerTls, NextTls};
pub use networks::NetworkSettings;
pub use policy::{AtRcpt, Checks, Deadlines, Policy, PriorityFrom, ReportSettings, TooComplexPolicy};
pub use pressure::{PressureLimits, process_octets_allowed};
pub use returned::ReturnSettings;
pub use session::checked_name;
pub use settings::{InboundSettings, ListenAddress, ListenerKind, ListenerSettings, TlsMode, VrfyPolicy};
