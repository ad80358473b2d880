//! `baton user`: the accounts of the running relay.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use baton_api::accounts::{AccountChange, AccountPage, AccountRow};
use baton_mail::AccountName;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::print;
use crate::admin::{Admin, escape};
use crate::cli::user::{AddUser, ListUsers, NewPassword, OneUser, PasswordSource, Rights, UserCommand};
use crate::render;

/// Octets of a password's line that are read.
const LINE_OCTETS_MAX: u64 = 4_096;

/// The exit status of a program that Ctrl-C ended: 128 and SIGINT.
const INTERRUPTED: i32 = 130;

pub(crate) async fn run(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add(options) => add(options).await,
        UserCommand::List(options) => list(options).await,
        UserCommand::Passwd(options) => passwd(options).await,
        UserCommand::Set(options) => change(&options.one, &options.rights.change()).await,
        UserCommand::Disable(one) => change(&one, &disabled(true)).await,
        UserCommand::Enable(one) => change(&one, &disabled(false)).await,
        UserCommand::Remove(one) => remove(&one).await,
    }
}

async fn add(options: AddUser) -> anyhow::Result<()> {
    let AddUser { one, password, no_password, rights } = options;
    let mut body = rights.change();
    if !no_password {
        body.password = Some(read_password(&password, one.name.as_str()).await?);
    }
    let row: AccountRow =
        Admin::of(&one.target)?.put(&path(&one.name), &serde_json::to_value(&body)?).await?;
    print(&row, one.target.json, render::user::added)
}

async fn passwd(options: NewPassword) -> anyhow::Result<()> {
    let password = read_password(&options.password, options.one.name.as_str()).await?;
    change(&options.one, &AccountChange { password: Some(password), ..AccountChange::default() }).await
}

async fn change(one: &OneUser, body: &AccountChange) -> anyhow::Result<()> {
    let row: AccountRow =
        Admin::of(&one.target)?.patch(&path(&one.name), &serde_json::to_value(body)?).await?;
    print(&row, one.target.json, render::user::shown)
}

async fn list(options: ListUsers) -> anyhow::Result<()> {
    let ListUsers { name, target } = options;
    let admin = Admin::of(&target)?;
    if let Some(name) = name {
        let row: AccountRow = admin.get(&path(&name)).await?;
        return print(&row, target.json, render::user::shown);
    }
    let mut rows = Vec::new();
    let mut after = String::new();
    loop {
        let page: AccountPage = admin.get(&format!("/v1/accounts?limit=1000{after}")).await?;
        rows.extend(page.accounts);
        match page.next {
            Some(next) => after = format!("&after={}", escape(next.as_str())),
            None => return print(&rows, target.json, |rows| render::user::list(rows)),
        }
    }
}

async fn remove(one: &OneUser) -> anyhow::Result<()> {
    let row: AccountRow = Admin::of(&one.target)?.delete(&path(&one.name)).await?;
    print(&row, one.target.json, |row| format!("{} is removed.\n", row.name))
}

impl Rights {
    fn change(&self) -> AccountChange {
        let has_rules = self.own_name || !self.senders.is_empty();
        AccountChange {
            tenant: self.tenant.clone(),
            stream: self.stream.clone(),
            senders: has_rules.then(|| self.senders.clone()),
            messages_per_hour: self.quota.messages_per_hour,
            messages_per_day: self.quota.messages_per_day,
            recipients_per_hour: self.quota.recipients_per_hour,
            recipients_per_day: self.quota.recipients_per_day,
            ..AccountChange::default()
        }
    }
}

fn disabled(disabled: bool) -> AccountChange {
    AccountChange { disabled: Some(disabled), ..AccountChange::default() }
}

fn path(name: &AccountName) -> String {
    format!("/v1/accounts/{}", escape(name.as_str()))
}

/// The password of that name, asked for or read.
pub(super) async fn read_password(source: &PasswordSource, name: &str) -> anyhow::Result<String> {
    let password = match source.password_file.as_deref() {
        Some(path) if path == Path::new("-") => first_line(std::io::stdin().lock())?,
        Some(path) => {
            let file = std::fs::File::open(path);
            first_line(std::io::BufReader::new(
                file.with_context(|| format!("the password file {} can not be read", path.display()))?,
            ))?
        }
        None if std::io::stdin().is_terminal() => return ask_twice(name).await,
        None => bail!(
            "there is no terminal to ask for the password: give it by `--password-file FILE`, or `-` for the standard input"
        ),
    };
    ensure!(!password.is_empty(), "the password is empty");
    Ok(password)
}

fn first_line(reader: impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    reader.take(LINE_OCTETS_MAX).read_line(&mut line).context("the password can not be read as UTF-8")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

async fn ask_twice(name: &str) -> anyhow::Result<String> {
    let password = ask(&format!("Password for {name}: ")).await?;
    ensure!(!password.is_empty(), "the password is empty");
    ensure!(password == ask("The same again: ").await?, "the passwords differ");
    Ok(password)
}

/// Asks on the terminal, which does not show what is typed. Whoever gives up by Ctrl-C has a terminal that shows it again.
async fn ask(question: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    write!(std::io::stderr(), "{question}")?;
    // Before the terminal falls silent: nothing may end the program then.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let before = tcgetattr(&stdin).context("the terminal does not answer")?;
    let mut silent = before.clone();
    silent.local_modes -= LocalModes::ECHO;
    silent.local_modes |= LocalModes::ECHONL;
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let read = tokio::task::spawn_blocking(|| first_line(std::io::stdin().lock()));
    let line = tokio::select! {
        line = read => Some(line),
        _ = interrupts.recv() => None,
    };
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    match line {
        Some(line) => line?,
        None => {
            // The thread that reads can not be told to stop, so nothing may wait for it.
            std::process::exit(INTERRUPTED)
        }
    }
}
