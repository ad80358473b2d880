//! SMTP and LMTP as pure state machines: no async runtime, no clock, no sockets.
//!
//! [`server::Server`] and [`client::Client`] are fed octets and give octets; whoever drives them reads, writes and
//! measures the deadlines that `phase()` names. What a machine can not decide (may this client send to that
//! mailbox?) it asks as a [`server::Question`], which the driver answers whenever it can.
//!
//! Invariant: only CRLF.CRLF ends the content of DATA, however the octets were cut into reads. A message with a
//! lone CR, a lone LF or a NUL is refused or repaired, for every client alike.
//!
//! Invariant: octets that a client announced as content are never read as commands.
//!
//! Invariant: in DATA and BDAT alike, the client machine writes no lone CR, no lone LF and no unstuffed dot.
//!
//! Invariant: every buffer is bounded by a setting, and a machine without a message in progress holds none.

pub mod client;
pub mod proxy;
pub mod sasl;
pub mod server;
pub mod stuffing;
