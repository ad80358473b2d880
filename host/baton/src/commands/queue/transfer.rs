//! `baton queue move` and `baton queue take`: messages go from one relay's queue to another's, through a pipe between the two
//! commands. By default that is ssh, which knows who may do so and protects what passes.
//!
//! For each message: held and packed here; taken there, on disk before the answer; then forgotten here. Whatever ends in
//! between, it is here, held, or there, and the same command again ends what was begun.

use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail, ensure};
use baton_api::transfers::{Forgotten, Taken};
use baton_api::wire::QueuePage;
use baton_mail::MessageId;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{query, user};
use crate::admin::{Admin, Refused};
use crate::cli::Target;
use crate::cli::queue::MoveOptions;
use crate::commands::write_out;

/// Entries of a page.
const PAGE: &str = "500";
/// Octets of a message in the pipe at most.
const PARCEL_OCTETS_MAX: u64 = 2 << 30;

/// Moves what matches.
pub(super) async fn give(options: MoveOptions) -> Result<()> {
    let MoveOptions { to, via, operate } = options;
    let conditions = operate.filter.conditions();
    let is_empty = conditions.iter().all(|(_, value)| value.is_none());
    ensure!(is_empty == operate.all, "give a filter, or --all to mean every message of the queue");
    let admin = Admin::of(&operate.target)?;
    let body = json!({"from": own_name(), "to": &to, "by": user()}).to_string();
    let mut other = Other::start(&to, via.as_deref())?;
    let (mut next, mut last): (Option<String>, Option<MessageId>) = (None, None);
    let (mut moved, mut stayed) = (0, 0);
    loop {
        let paging = [("after", next.as_deref()), ("limit", Some(PAGE))];
        let query = query(conditions.iter().copied().chain(paging));
        let page: QueuePage = admin.get(&format!("/v1/queue?{query}")).await?;
        // The entries of a message follow one another.
        for id in page.jobs.iter().map(|job| job.message) {
            if last.replace(id) == Some(id) {
                continue;
            }
            match other.give(&admin, id, body.clone().into()).await {
                Ok(()) => moved += 1,
                Err(why) => match why.downcast_ref::<Refused>() {
                    Some(refused) if refused.status == StatusCode::CONFLICT => {
                        stayed += 1;
                        eprintln!("{id}: {why}");
                    }
                    // Delivered, or removed, meanwhile.
                    Some(refused) if refused.status == StatusCode::NOT_FOUND => {}
                    _ => return Err(unfinished(&why, &to, moved)),
                },
            }
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    other.end().await.map_err(|why| unfinished(&why, &to, moved))?;
    let stayed = if stayed > 0 { format!("; {stayed} stayed") } else { String::new() };
    write_out(&format!("{moved} messages moved to {to}{stayed}\n"))
}

fn unfinished(why: &anyhow::Error, to: &str, moved: usize) -> anyhow::Error {
    anyhow!(
        "{why:#}\n{moved} messages were moved to {to} before. What is held \"to move it to {to}\" may be there already: run the same command again, which ends what was begun; only releasing it could deliver it twice"
    )
}

/// The name of this machine.
fn own_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The command at the other relay.
struct Other {
    child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(to: &str, via: Option<&str>) -> Result<Other> {
        let mut command = match via {
            Some(via) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", via]);
                shell
            }
            None => {
                let mut ssh = Command::new("ssh");
                ssh.args(["--", to, "baton", "queue", "take"]);
                ssh
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the command that reaches the other relay can not be started")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else { bail!("the other command has no pipe") };
        Ok(Other { child, input, answers: BufReader::new(output).lines() })
    }

    /// Packs a message here, has it taken there, and forgets it here.
    async fn give(&mut self, admin: &Admin, id: MessageId, movers: Bytes) -> Result<()> {
        let path = format!("/v1/transfers/{id}");
        let parcel = admin.octets(Method::POST, &path, movers.clone()).await?;
        self.input.write_all(&(parcel.len() as u64).to_be_bytes()).await?;
        self.input.write_all(&parcel).await?;
        self.input.flush().await?;
        let answer = self.answers.next_line().await?.context("the other command ended without an answer")?;
        match answer.split_once(' ') {
            Some(("taken" | "known", name)) if name == id.to_string() => {
                let forgotten = admin.octets(Method::DELETE, &path, movers).await?;
                let _: Forgotten = serde_json::from_slice(&forgotten)?;
                Ok(())
            }
            Some(("refused", why)) => bail!("the other relay refuses {id}: {why}"),
            _ => bail!("the other command says what is not understood: {answer}"),
        }
    }

    /// Lets the other command end.
    async fn end(self) -> Result<()> {
        let Other { mut child, input, answers } = self;
        drop((input, answers));
        let status = child.wait().await?;
        ensure!(status.success(), "the other command ended with {status}");
        Ok(())
    }
}

/// Takes what comes by the standard input; answers each message with a line.
pub(super) async fn take(target: Target) -> Result<()> {
    let admin = Admin::of(&target)?;
    let mut input = BufReader::new(tokio::io::stdin());
    while let Some(parcel) = read_parcel(&mut input).await? {
        let answer = match admin.octets(Method::PUT, "/v1/transfers", parcel).await {
            Ok(answer) => {
                let Taken { message, known } = serde_json::from_slice(&answer)?;
                format!("{} {message}\n", if known { "known" } else { "taken" })
            }
            Err(why) => format!("refused {}\n", format!("{why:#}").replace('\n', " ")),
        };
        write_out(&answer)?;
    }
    Ok(())
}

async fn read_parcel(input: &mut (impl AsyncReadExt + Unpin)) -> Result<Option<Bytes>> {
    let mut length = [0; 8];
    match input.read_exact(&mut length).await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let length = u64::from_be_bytes(length);
    ensure!(length <= PARCEL_OCTETS_MAX, "the input is not what `baton queue move` writes");
    let mut parcel = Vec::new();
    input.take(length).read_to_end(&mut parcel).await?;
    ensure!(parcel.len() as u64 == length, "the input ends within a message");
    Ok(Some(parcel.into()))
}
