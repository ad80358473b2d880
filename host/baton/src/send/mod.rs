//! `baton send`: messages by SMTP, LMTP or the API, from files or made up, over many sessions at once, and how it went.

mod message;
mod programs;
mod protection;
mod report;
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use baton_mail::{Mailbox, ReversePath};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cli::SendOptions;
use crate::commands::print;
use message::Source;
use protection::Protection;
use report::Report;

pub(crate) use session::{Session, Target};

/// What all sessions share.
struct Job {
    options: SendOptions,
    target: Target,
    sender: ReversePath,
    source: Source,
    total: u64,
    next: AtomicU64,
}

impl Job {
    /// The number of the next message to send, when there is one.
    fn take(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.total).then_some(number)
    }

    /// The recipients of a message; `{n}` in them is its number.
    fn recipients(&self, number: u64) -> anyhow::Result<Vec<Mailbox>> {
        let read = |text: &String| {
            let text =
                if text.contains("{n}") { text.replace("{n}", &number.to_string()) } else { text.clone() };
            text.parse().with_context(|| format!("--rcpt {text}"))
        };
        self.options.recipients.iter().map(read).collect()
    }
}

pub(crate) async fn run(options: SendOptions) -> anyhow::Result<()> {
    let json = options.json;
    let report = send(options).await?;
    print(&report, json, Report::show)?;
    if !report.is_complete() {
        bail!("{} of {} messages were not accepted", report.messages - report.accepted, report.messages);
    }
    Ok(())
}

/// Sends everything and tells how it went.
async fn send(options: SendOptions) -> anyhow::Result<Report> {
    let job = Arc::new(prepare(options)?);
    let began = Instant::now();
    let mut sessions = JoinSet::new();
    for _ in 0..job.options.sessions.max(1) {
        match &job.options.token {
            Some(token) => sessions.spawn(programs::drive_connection(job.clone(), token.clone())),
            None => sessions.spawn(session::drive_sessions(job.clone())),
        };
    }
    let mut report = Report::new(job.total);
    while let Some(ended) = sessions.join_next().await {
        report.merge(ended.context("a session broke off")?);
    }
    report.finish(began.elapsed());
    Ok(report)
}

fn prepare(options: SendOptions) -> anyhow::Result<Job> {
    let sender = match options.from.as_str() {
        "" => ReversePath::Null,
        text => ReversePath::Mailbox(text.parse().with_context(|| format!("--from {text}"))?),
    };
    let source = Source::new(&options)?;
    let total = source.total(options.count);
    let mut target = Target::plain(options.to);
    (target.lmtp, target.auth) = (options.lmtp, options.auth.clone());
    target.tls = options.tls.map(Protection::new).transpose()?;
    let job = Job { target, sender, source, total, next: AtomicU64::new(0), options };
    job.recipients(0)?;
    Ok(job)
}
