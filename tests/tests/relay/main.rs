//! End to end: the real relay between a client and a next hop, a module for each stage.

mod abuse;
mod authors;
mod bounce;
mod checks;
mod cli;
mod clients;
mod custody;
mod delivery;
mod dsn;
mod extensions;
mod hooks;
mod listener;
mod listener_tls;
mod networks;
mod plugins;
mod privileges;
mod queue;
mod registry;
mod replay;
mod reports;
mod router;
mod session;
mod signing;
mod store;
mod story;
mod tls;
