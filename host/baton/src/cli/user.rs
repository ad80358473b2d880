//! The commands about accounts.

use std::path::PathBuf;

use baton_mail::AccountName;
use baton_mail::account::SenderRule;
use clap::{Args, Subcommand};

use super::Target;
use super::tenants::QuotaOptions;

#[derive(Args, Debug)]
pub(crate) struct UserOptions {
    #[command(subcommand)]
    pub(crate) command: UserCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account; the password is asked for, or read from a file
    Add(AddUser),
    /// List the accounts, or show one
    List(ListUsers),
    /// Give an account a new password; open sessions have to authenticate again
    Passwd(NewPassword),
    /// Change what an account may do
    Set(SetUser),
    /// Let an account not authenticate any more; open sessions end at their next message
    Disable(OneUser),
    /// Let an account authenticate again
    Enable(OneUser),
    /// Remove an account
    Remove(OneUser),
}

#[derive(Args, Debug)]
pub(crate) struct OneUser {
    /// The account
    pub(crate) name: AccountName,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Where the password comes from. Never from the command line, which others can see.
#[derive(Args, Debug)]
pub(crate) struct PasswordSource {
    /// Read the password from the first line of this file; `-` is the standard input. Without it, it is asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct AddUser {
    #[command(flatten)]
    pub(crate) one: OneUser,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
    /// Make it without a password: only tokens and plugins can vouch for it
    #[arg(long, conflicts_with = "password_file")]
    pub(crate) no_password: bool,
    #[command(flatten)]
    pub(crate) rights: Rights,
}

#[derive(Args, Debug)]
pub(crate) struct NewPassword {
    #[command(flatten)]
    pub(crate) one: OneUser,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
}

#[derive(Args, Debug)]
pub(crate) struct SetUser {
    #[command(flatten)]
    pub(crate) one: OneUser,
    #[command(flatten)]
    pub(crate) rights: Rights,
}

/// What an account may do. What is not given stays as it is.
#[derive(Args, Debug)]
pub(crate) struct Rights {
    /// Whose mail it is; empty for nobody's
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Which stream of that tenant; empty for none
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// In whose name it may send, by MAIL and by From: an address, `@domain`, `@.domain` for all below it too, or `*`. Several are given one by one and replace those before. Without any it sends in its own name
    #[arg(long = "sender", value_name = "RULE")]
    pub(crate) senders: Vec<SenderRule>,
    /// Take all sender rules away: it sends in its own name
    #[arg(long, conflicts_with = "senders")]
    pub(crate) own_name: bool,
    #[command(flatten)]
    pub(crate) quota: QuotaOptions,
}

#[derive(Args, Debug)]
pub(crate) struct ListUsers {
    /// Only this account
    pub(crate) name: Option<AccountName>,
    #[command(flatten)]
    pub(crate) target: Target,
}
