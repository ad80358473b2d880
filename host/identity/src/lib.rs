//! Who really sent a message: SPF, DKIM, DMARC, ARC and the client's name are checked for what arrives, and what leaves is
//! signed.
//!
//! The protocols are written here, over the relay's one resolver. `mail-auth` 0.13, the last version for our compiler,
//! brings a resolver of its own, takes the first of several SPF or DMARC records where the standards say that none
//! counts, does not bound SPF look-ups in vain, keeps lines of blanks at the end of a relaxed DKIM body, and reads whole
//! messages with a parser that hostile mail can abort.
//!
//! Invariant: nothing of a message is read beyond the bounds of `baton-mail`; what lies beyond is `permerror`, said so.
//!
//! Invariant: trouble with the DNS is `temperror`: never a pass, never "nothing was published".
//!
//! Invariant: work for one message is bounded: questions to the DNS, signatures, names in them, bits of keys, time.
//!
//! Invariant: whatever strangers chose is quoted by the grammar of the field that tells of it.
//!
//! Invariant: a private key is in no log, no error and no debug output.
//!
//! Deliberately absent: any decision about mail. What is done on a result is a plugin's matter.

mod arc;
mod checks;
mod dkim;
mod dmarc;
pub mod domains;
pub mod hostile;
pub mod reports;
mod results;
mod settings;
mod signer;
mod spf;
mod tags;
mod verdict;
mod webhook;

pub use arc::ArcOutcome;
pub use checks::{Arrival, Begun, Checker};
pub use dkim::{DkimOutcome, KeyFailure};
pub use dmarc::{DmarcOutcome, Evaluated, Wish};
pub use results::{IprevOutcome, Results, SenderResults, Statements, without_forged};
pub use settings::CheckSettings;
pub use signer::{Seal, Signed, Signer, SignerError};
pub use spf::{LOOKUPS_MAX, SpfOutcome, SpfQuery, VOIDS_MAX, check_host};
pub use verdict::Verdict;
pub use webhook::WebhookKey;
