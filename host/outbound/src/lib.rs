//! Delivery: claims from the queue, the `route` plugins, the router, ready queues, connections, and what follows
//! from each outcome.
//!
//! ```text
//! queue ─► dispatch ─► route hook ─► router ─► site ─► ready queue ─► worker ─► link ─► next hop
//!   ▲                                                                    │
//!   └────────── settle ◄── report ◄── bounce hook ◄── classify ◄─────────┘
//! ```
//!
//! Invariant: only a positive completion by the next hop is a delivery. A timeout, a lost connection, a panic or a
//! cut-off is a deferral, and a job that is dropped anywhere in this crate goes back to the queue.
//!
//! Invariant: every recipient of a claimed job is named in exactly one settlement, and a report about failed
//! recipients is in the same settlement as their outcomes.
//!
//! Invariant: every wait for a peer has a deadline that is a setting; every queue, cache and buffer has a bound.
//!
//! Invariant: expiry holds at every step: before routing, before sending, and in judging a failure. No plugin can
//! extend it beyond what the envelope says.
//!
//! Invariant: the relay does not deliver to itself, nor to this machine, because the DNS, a recipient or a plugin
//! says so; only the settings can (RFC 5321 5.1).
//!
//! Invariant: the settings of a next hop come first, then what is published by DANE, then MTA-STS; mail for a mail host
//! whose TLSA records, or whose domain's MTA-STS policy, can not be satisfied waits.
//!
//! Invariant: mail for a next hop that needs TLS waits rather than goes without; nothing that a peer says, or does not
//! offer, changes that.
//!
//! Invariant: a report has the null return path, and mail with the null return path causes no report.
//!
//! Invariant: the suppression lists are asked before each attempt; when they can not be read, mail waits.
//!
//! This crate knows nothing of how mail comes in.

mod bounce_hook;
mod connect;
mod counting;
mod delivery;
mod departures;
mod dispatch;
mod endpoint;
mod fitting;
mod gate;
mod hosts;
mod job;
mod link;
mod log;
mod login;
mod loops;
mod maildir;
mod measuring;
pub mod metrics;
mod next_hop;
mod operator;
mod outbound;
mod overflow;
mod placing;
mod protection;
mod race;
mod ready;
mod report;
mod retry;
mod route_hook;
mod router;
mod routes;
mod security;
mod settings;
mod settle;
mod shaping;
mod shared;
pub mod simulate;
mod site;
mod sources;
mod sts;
mod suppressed;
mod told;
mod verify;
mod verp;
mod view;
mod worker;

pub use baton_mail::classify::{Classes, ClassesError};
pub use endpoint::Endpoint;
pub use login::{Login, LoginMechanism, LoginSecret};
pub use next_hop::{HostPort, InvalidNextHop, LmtpTarget, NextHop};
pub use operator::read_next_hop;
pub use outbound::{Outbound, OutboundDeps};
pub use retry::{ClassRetry, RetryByClass};
pub use routes::{DomainPattern, DomainTable, RouteTable, RouteTarget, UnknownNextHop};
pub use security::{Published, Sts, TlsPolicy, TlsSettings, TlsUse};
pub use settings::{
    Convert, DelayReports, DsnSettings, LimitSettings, LoopSettings, OutboundSettings, RetrySettings,
    TimeoutSettings,
};
pub use shaping::{
    EnhancedPattern, InvalidRate, Limits, Provider, ProviderMatch, Rate, Rule, RuleAction, RuleScope,
    ShapingSettings, TotalLimits,
};
pub use sources::{
    BlocklistSettings, Listing, ListingRow, Pool, Position, Proxy, Source, SourceSettings, WarmupPlan,
    WarmupRow, WarmupState,
};
pub use sts::{HttpClient, Policies, StsSettings};
pub use verify::{RecipientAnswer, Unasked, Verifier};
pub use view::{DeliveryView, SiteRow};
