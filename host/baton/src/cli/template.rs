//! The commands about templates.

use std::path::PathBuf;

use baton_content::TemplateName;
use baton_content::template::Part;
use baton_mail::Mailbox;
use baton_mail::tenant::Label;
use clap::{Args, Subcommand, ValueEnum};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct TemplateOptions {
    #[command(subcommand)]
    pub(crate) command: TemplateCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TemplateCommand {
    /// List the templates, or those that ship
    Ls(ListTemplates),
    /// Show a template's sources
    Show(ShowTemplate),
    /// Make a template, or a new version of one; what is not given stays as it was
    Add(AddTemplate),
    /// Render a template with data, or with its own sample
    Preview(PreviewTemplate),
    /// Say what is wrong with a template: missing variables, unclosed tags, no way to unsubscribe …
    Lint(LintTemplate),
    /// List the versions that are kept
    Versions(OneTemplate),
    /// Render a template with data, or with its own sample, and send it to an address
    TestSend(TestSend),
    /// Forget a template with all its versions
    Rm(OneTemplate),
}

/// Whose templates, and which relay.
#[derive(Args, Clone, Debug)]
pub(crate) struct Owner {
    /// The tenant; without one, the templates of the relay itself
    #[arg(long)]
    pub(crate) tenant: Option<Label>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct ListTemplates {
    /// Those that ship, which every tenant can use, extend and copy
    #[arg(long)]
    pub(crate) ready: bool,
    /// How many at most
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// Those behind this name
    #[arg(long)]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) owner: Owner,
}

#[derive(Args, Debug)]
pub(crate) struct OneTemplate {
    /// Its name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) owner: Owner,
}

#[derive(Args, Debug)]
pub(crate) struct ShowTemplate {
    /// Its name; `ready/…` for those that ship
    pub(crate) name: String,
    /// An older version
    #[arg(long)]
    pub(crate) version: Option<u32>,
    /// Only this part, as it is
    #[arg(long)]
    pub(crate) part: Option<PartName>,
    #[command(flatten)]
    pub(crate) owner: Owner,
}

#[derive(Args, Debug)]
pub(crate) struct AddTemplate {
    /// Its name
    pub(crate) name: TemplateName,
    /// Begin with this template, such as `ready/receipt`
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Option<String>,
    /// What it is for
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// The subject
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// The file of the HTML part
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// The file of the text part; without one, text is made from the HTML
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// A JSON file of data for preview, lint and test
    #[arg(long, value_name = "FILE")]
    pub(crate) sample: Option<PathBuf>,
    /// It goes to many: lint asks for a way to unsubscribe and a postal address
    #[arg(long)]
    pub(crate) bulk: Option<bool>,
    /// Only if this is the newest version; 0 if there must be none
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u32>,
    #[command(flatten)]
    pub(crate) owner: Owner,
}

#[derive(Args, Debug)]
pub(crate) struct PreviewTemplate {
    /// Its name; `ready/…` for those that ship
    pub(crate) name: String,
    /// A JSON file of data
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// An older version
    #[arg(long)]
    pub(crate) version: Option<u32>,
    /// Only this part, as it is
    #[arg(long)]
    pub(crate) part: Option<PartName>,
    #[command(flatten)]
    pub(crate) owner: Owner,
}

#[derive(Args, Debug)]
pub(crate) struct LintTemplate {
    /// Its name; `ready/…` for those that ship
    pub(crate) name: String,
    /// A JSON file of data
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// The stream that it is for: what its mail must have is asked of the template
    #[arg(long)]
    pub(crate) stream: Option<Label>,
    #[command(flatten)]
    pub(crate) owner: Owner,
}

#[derive(Args, Debug)]
pub(crate) struct TestSend {
    /// Its name; `ready/…` for those that ship
    pub(crate) name: String,
    /// The author
    #[arg(long, value_name = "MAILBOX")]
    pub(crate) from: Mailbox,
    /// The recipient
    #[arg(long, value_name = "MAILBOX")]
    pub(crate) to: Mailbox,
    /// A JSON file of data
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// The stream by whose rules it is sent
    #[arg(long)]
    pub(crate) stream: Option<Label>,
    #[command(flatten)]
    pub(crate) owner: Owner,
}

/// A part of a template.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PartName {
    Subject,
    Html,
    Text,
}

impl From<PartName> for Part {
    fn from(name: PartName) -> Part {
        match name {
            PartName::Subject => Part::Subject,
            PartName::Html => Part::Html,
            PartName::Text => Part::Text,
        }
    }
}
