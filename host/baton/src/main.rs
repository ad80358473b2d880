//! Baton: a programmable SMTP relay. This program wires its stages together and gives people commands.
//!
//! Invariant: no stage knows the settings file; each is given the checked values that it needs.
//! Invariant: an error that reaches a person names the key, file or socket, and the remedy.

mod admin;
mod children;
mod cli;
mod commands;
mod compiling;
mod demo;
mod events;
mod logs;
mod measure;
mod ports;
mod privileges;
mod registry;
mod relay;
mod reload;
mod render;
mod reporting;
mod runtime;
mod send;
mod serve;
mod settings;
mod sink;
mod top;
mod watch;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// RocksDB's allocations are its, too: the C library's allocator scatters what RocksDB reads from a long queue.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(options) => return serve::run(&options),
        Command::Check(options) => runtime::threads(None)?.block_on(commands::check::run(options)),
        Command::Reload(target) => runtime::single()?.block_on(commands::reload::run(target)),
        Command::Queue(options) => runtime::single()?.block_on(commands::queue::run(options.command)),
        Command::Explain(options) => runtime::single()?.block_on(commands::explain::run(options)),
        Command::Search(options) => runtime::single()?.block_on(commands::search::search(options)),
        Command::Events(options) => runtime::single()?.block_on(commands::search::events(options)),
        Command::Followers(options) => runtime::single()?.block_on(commands::search::followers(options)),
        Command::Webhook(options) => runtime::single()?.block_on(commands::webhook::run(options.command)),
        Command::Report(options) => runtime::single()?.block_on(commands::webhook::report(options)),
        Command::Simulate(options) => commands::simulate::run(&options),
        Command::Top(options) => runtime::single()?.block_on(top::run(options)),
        Command::Trace(options) => runtime::single()?.block_on(commands::trace::run(options)),
        Command::Shaping(options) => runtime::single()?.block_on(commands::shaping::run(options.command)),
        Command::Blocklists(target) => {
            runtime::single()?.block_on(commands::shaping::show_blocklists(target))
        }
        Command::Warmup(options) => {
            runtime::single()?.block_on(commands::shaping::run_warmup(options.command))
        }
        Command::Domain(options) => {
            return runtime::threads(None)?.block_on(commands::domain::run(options.command));
        }
        Command::Reports(options) => runtime::single()?.block_on(commands::reports::run(options.command)),
        Command::Suppression(options) => {
            runtime::single()?.block_on(commands::suppression::run(options.command))
        }
        Command::Person(options) => runtime::single()?.block_on(commands::person::run(options.command)),
        Command::User(options) => runtime::single()?.block_on(commands::user::run(options.command)),
        Command::Operator(options) => runtime::single()?.block_on(commands::operator::run(options.command)),
        Command::Tenant(options) => {
            runtime::single()?.block_on(commands::tenants::run_tenant(options.command))
        }
        Command::Stream(options) => {
            runtime::single()?.block_on(commands::tenants::run_stream(options.command))
        }
        Command::Token(options) => runtime::single()?.block_on(commands::tenants::run_token(options.command)),
        Command::Tracking(options) => runtime::single()?.block_on(commands::tracking::run(options.command)),
        Command::Template(options) => {
            return runtime::single()?.block_on(commands::template::run(options.command));
        }
        Command::Plugins(target) => runtime::single()?.block_on(commands::plugins::run(target)),
        Command::Plugin(options) => runtime::threads(None)?.block_on(commands::plugin::run(options.command)),
        Command::Policy(options) => runtime::threads(None)?.block_on(commands::policy::run(options.command)),
        Command::CompileForRelay => return Ok(compiling::run()),
        Command::Demo(options) => runtime::threads(None)?.block_on(demo::run(options)),
        Command::Sink(options) => runtime::for_load(options.threads)?.block_on(sink::run(options)),
        Command::Send(options) => runtime::for_load(options.threads)?.block_on(send::run(options)),
    }?;
    Ok(ExitCode::SUCCESS)
}
