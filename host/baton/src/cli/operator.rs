//! The commands about operators: people who use the console.

use baton_mail::operator::Role;
use baton_mail::tenant::Label;
use clap::{Args, Subcommand};

use super::Target;
use super::user::PasswordSource;

#[derive(Args, Debug)]
pub(crate) struct OperatorOptions {
    #[command(subcommand)]
    pub(crate) command: OperatorCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Make an operator; the password is asked for, or read from a file
    Add(AddOperator),
    /// List the operators, or show one
    #[command(alias = "ls")]
    List(ListOperators),
    /// Give an operator a new password; its sessions end
    Passwd(NewOperatorPassword),
    /// Change what an operator may do; its sessions end
    Set(SetOperator),
    /// Remove an operator; its sessions end
    #[command(alias = "rm")]
    Remove(OneOperator),
}

#[derive(Args, Debug)]
pub(crate) struct OneOperator {
    /// Its name: lower case letters, digits, hyphens
    pub(crate) name: Label,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct AddOperator {
    #[command(flatten)]
    pub(crate) one: OneOperator,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
    #[command(flatten)]
    pub(crate) rights: OperatorRights,
}

#[derive(Args, Debug)]
pub(crate) struct NewOperatorPassword {
    #[command(flatten)]
    pub(crate) one: OneOperator,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
}

#[derive(Args, Debug)]
pub(crate) struct SetOperator {
    #[command(flatten)]
    pub(crate) one: OneOperator,
    #[command(flatten)]
    pub(crate) rights: OperatorRights,
    /// It may not log in
    #[arg(long, value_name = "BOOL")]
    pub(crate) disabled: Option<bool>,
}

/// What an operator may do. What is not given stays as it is.
#[derive(Args, Debug)]
pub(crate) struct OperatorRights {
    /// `viewer` looks, `operator` runs the mail, `admin` may everything; a new one is a viewer unless it is said
    #[arg(long)]
    pub(crate) role: Option<Role>,
    /// The only tenant that it sees; an empty text lets it see all of the relay
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// What is to be remembered
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ListOperators {
    /// Only this one
    pub(crate) name: Option<Label>,
    #[command(flatten)]
    pub(crate) target: Target,
}
