//! `baton demo`: a relay at work. It sends real mail through all six hooks, shows what became of each message, and
//! checks it: anything that differs makes it fail.

mod account;
mod blocklist;
mod perform;
mod scenario;
mod stage;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use baton_api::wire::QueuePage;
use tokio::time::{Instant, sleep};

use crate::children;
use crate::cli::DemoOptions;
use crate::commands::write_out;
use account::Account;
use scenario::ACTS;
use stage::Stage;

/// How long all deliveries may take.
const QUIET_MAX: Duration = Duration::from_secs(40);
/// Between looks at the queue.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn run(options: DemoOptions) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("baton-demo-").tempdir()?;
    let path = if options.keep { folder.keep() } else { folder.path().to_owned() };
    let shown = perform_all(&options, &path).await;
    if options.keep {
        write_out(&format!("Settings, spool, logs and delivered mail are in {}\n", path.display()))?;
    } else if shown.is_err() {
        eprintln!("the relay said:\n{}", children::log_of(&path, "relay"));
    }
    shown
}

async fn perform_all(options: &DemoOptions, folder: &std::path::Path) -> anyhow::Result<()> {
    ensure!(options.corpus.is_dir(), "--corpus: there is no folder {}", options.corpus.display());
    write_out("Starting a relay with seven plugins, an SMTP sink and an LMTP sink ...\n")?;
    let stage = Stage::start(folder, &options.plugins).await?;
    write_out(&format!(
        "The relay listens on {} (smtp) and {} (submission), with the settings of {}/baton.toml.\n\n",
        stage.smtp,
        stage.submission,
        folder.display()
    ))?;
    let mut performed = Vec::new();
    for act in ACTS {
        let content = perform::content(act, &options.corpus)?;
        let said = perform::perform(act, &content, &stage).await?;
        performed.push((act, content, said));
    }
    wait_until_quiet(&stage).await?;
    let mut account = Account::open(&stage)?;
    for (number, (act, content, said)) in performed.iter().enumerate() {
        let block = account.tell(number + 1, act, content, said, &stage).await?;
        write_out(&block)?;
    }
    let metrics = stage.admin().text("/metrics").await?;
    write_out(&account.hooks(&metrics))?;
    stage.stop().await?;
    match account.differences() {
        0 => write_out(&format!("All {} messages came to the end that they should.\n", ACTS.len())),
        1 => bail!("1 thing differs from what should be"),
        count => bail!("{count} things differ from what should be"),
    }
}

/// Waits until every message has come to its end: nothing is left in the queue.
async fn wait_until_quiet(stage: &Stage) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let page: QueuePage = stage.admin().get("/v1/queue").await.context("the relay does not answer")?;
        if page.jobs.is_empty() {
            return Ok(());
        }
        ensure!(began.elapsed() < QUIET_MAX, "mail is stuck:\n{}", crate::render::queue::page(&page));
        sleep(LOOK_EVERY).await;
    }
}
