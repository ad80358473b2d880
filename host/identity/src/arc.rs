//! Chains of custody: ARC by RFC 8617. Each relay on the way adds a set of three fields, which tell what it found when it
//! checked the message (`ARC-Authentication-Results`), sign the message as it left (`ARC-Message-Signature`), and seal all
//! sets so far (`ARC-Seal`).
//!
//! Checked only when asked for: whether to believe a sealer is a matter of whom one knows, and the working group moves
//! ARC to Historic. A chain that holds says that nobody touched it since it was sealed, not that its sealers are honest.
//!
//! Invariant: work is bounded: 50 sets (RFC 8617 4.2.1), each key asked for once.
//!
//! Invariant: a chain that failed is never made to look whole: it is sealed as failed, once, and not again.

mod chain;
mod seal;
mod verify;

use baton_mail::header::HeaderIndex;

use crate::Verdict;

pub(crate) use seal::{Sealing, seal_set};
pub(crate) use verify::evaluate;

/// What became of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArcOutcome {
    /// [`Verdict::None`], [`Verdict::Pass`] or [`Verdict::Fail`] (RFC 8617 4.4); when the DNS gave no answer
    /// [`Verdict::TempError`], and when the header could not be read [`Verdict::PermError`].
    pub verdict: Verdict,
    /// The highest place in the chain; 0 without one.
    pub sets: u32,
    /// The domain that sealed last; empty when that could not be read.
    pub sealer: String,
    /// When it passes: the oldest set whose signature still fits the message, or 0 when all do (RFC 8617 5.2). What is
    /// older was changed by whoever made that one.
    pub oldest_pass: Option<u32>,
    /// A relay before us said already that the chain failed: it ends there (RFC 8617 5.1.2).
    pub is_closed: bool,
    /// What is wrong.
    pub reason: Option<String>,
}

/// True when a header has a chain of the right structure.
pub(crate) fn read_chain(header: &HeaderIndex) -> bool {
    matches!(chain::read(header), Some(Ok(_)))
}

impl ArcOutcome {
    /// An outcome about no set in particular.
    pub(crate) fn without_chain(verdict: Verdict, reason: Option<&str>) -> ArcOutcome {
        ArcOutcome {
            verdict,
            sets: 0,
            sealer: String::new(),
            oldest_pass: None,
            is_closed: false,
            reason: reason.map(str::to_owned),
        }
    }
}

/// Sets of one chain (RFC 8617 4.2.1).
const SETS_MAX: u32 = 50;
