#![doc = include_str!("../README.md")]

mod accept;
mod accounts;
mod backlog;
pub mod catalog;
mod census;
mod change;
mod claim;
mod commit;
mod core;
mod crc32c;
mod database;
mod error;
mod find;
mod format;
pub mod kv;
mod look;
mod memory;
pub mod metrics;
mod operate;
mod parcel;
mod records;
mod schedule;
mod settings;
mod settle;
pub mod shaping;
mod slot;
mod space;
mod store;
mod upkeep;
mod wal_check;
mod watch;
mod watchdog;

#[cfg(test)]
mod tests;

pub use accept::{Accepted, NewJob, NewMessage};
pub use accounts::{Accounts, ChangeError};
pub use catalog::{Catalog, Tenants};
pub use change::{Assignment, GiveUp};
pub use claim::Claim;
pub use commit::Action;
pub use error::{AcceptError, KvError, OpenError, Refusal, StoreError};
pub use find::{Filter, Found};
pub use format::JobKey;
pub use kv::{Kv, VALUE_OCTETS_MAX};
pub use look::{JobState, JobView, QueueCount, Summary};
pub use metrics::Metrics;
pub use operate::Reached;
pub use parcel::{Arrived, MoveError, Movers};
pub use schedule::LaneRoom;
pub use settings::StoreSettings;
pub use settle::Settlement;
pub use shaping::Measures;
pub use store::Store;
pub use watch::Watch;
