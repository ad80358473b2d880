//! `baton suppression`: to whom nothing is sent.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use baton_api::suppressions::{
    Imported, NewSuppression, NewSuppressions, SuppressionPage, SuppressionRow, SuppressionsChanged,
    SuppressionsOf,
};
use baton_store::suppression::Reason;
use hyper::Method;

use super::{print, write_out};
use crate::admin::{Admin, escape};
use crate::cli::suppression::{
    AddEntries, ExportEntries, ExportFormat, ImportEntries, ListEntries, ListName, RemoveEntry, Selection,
    ShowAddress, SuppressionCommand,
};
use crate::render;

/// Octets of one request of an import. A longer file goes in several.
const PIECE_OCTETS: usize = 4 << 20;
/// Octets of a line at most; the relay refuses longer ones than it takes by itself.
const LINE_OCTETS_MAX: u64 = 1 << 20;

pub(crate) async fn run(command: SuppressionCommand) -> anyhow::Result<()> {
    match command {
        SuppressionCommand::Ls(options) => list(options).await,
        SuppressionCommand::Show(options) => show(options).await,
        SuppressionCommand::Add(options) => add(options).await,
        SuppressionCommand::Remove(options) => remove(options).await,
        SuppressionCommand::Import(options) => import(options).await,
        SuppressionCommand::Export(options) => export(options).await,
    }
}

async fn list(options: ListEntries) -> anyhow::Result<()> {
    let mut query = options.selection.query();
    query.push(format!("limit={}", options.limit));
    query.extend(options.after.map(|after| format!("after={}", escape(&after))));
    let path = format!("/v1/suppressions?{}", query.join("&"));
    let page: SuppressionPage = Admin::of(&options.target)?.get(&path).await?;
    print(&page, options.target.json, render::suppression::page)
}

async fn show(options: ShowAddress) -> anyhow::Result<()> {
    let path = format!("/v1/suppressions/{}", escape(&options.address.to_string()));
    let found: SuppressionsOf = Admin::of(&options.target)?.get(&path).await?;
    print(&found, options.target.json, render::suppression::of_address)
}

async fn add(options: AddEntries) -> anyhow::Result<()> {
    let AddEntries { addresses, list, reason, days, note, target } = options;
    let reason = read_reason(&reason)?;
    let entry = |address: &baton_mail::Mailbox| NewSuppression {
        address: address.to_string(),
        tenant: list.tenant.clone(),
        stream: list.stream.clone(),
        reason: Some(reason),
        days,
        note: note.clone(),
    };
    let body = NewSuppressions { entries: addresses.iter().map(entry).collect() };
    let changed: SuppressionsChanged =
        Admin::of(&target)?.post("/v1/suppressions", &serde_json::to_value(&body)?).await?;
    print(&changed, target.json, |changed| format!("{} on the list.\n", changed.changed))
}

async fn remove(options: RemoveEntry) -> anyhow::Result<()> {
    let RemoveEntry { address, list, target } = options;
    let path = format!("/v1/suppressions/{}?{}", escape(&address.to_string()), list.query().join("&"));
    let row: SuppressionRow = Admin::of(&target)?.delete(&path).await?;
    print(&row, target.json, |row| format!("Off the list:\n{}", render::suppression::row(row)))
}

async fn export(options: ExportEntries) -> anyhow::Result<()> {
    let format = match options.format {
        ExportFormat::Csv => "csv",
        ExportFormat::Json => "json",
    };
    let mut query = options.selection.query();
    query.push(format!("format={format}"));
    let path = format!("/v1/suppressions/export?{}", query.join("&"));
    let write = |line: &[u8]| {
        write_out(&String::from_utf8_lossy(line))?;
        Ok(true)
    };
    Admin::of(&options.target)?.follow(&path, write).await
}

async fn import(options: ImportEntries) -> anyhow::Result<()> {
    let ImportEntries { file, list, reason, target } = options;
    if let Some(reason) = &reason {
        read_reason(reason)?;
    }
    let mut query = list.query();
    query.extend(reason.map(|reason| format!("reason={}", escape(&reason))));
    let path = format!("/v1/suppressions/import?{}", query.join("&"));
    let admin = Admin::of(&target)?;
    let mut done = Imported::default();
    let mut pieces = Pieces::open(&file)?;
    while let Some((piece, before)) = pieces.next()? {
        let answer = admin.octets(Method::POST, &path, piece.into()).await?;
        let mut part: Imported =
            serde_json::from_slice(&answer).context("the relay's answer is not understood")?;
        part.errors.iter_mut().for_each(|error| error.line += before);
        done.added += part.added;
        done.erased += part.erased;
        done.refused += part.refused;
        done.errors.extend(part.errors);
    }
    print(&done, target.json, render::suppression::imported)?;
    anyhow::ensure!(done.refused == 0, "{} lines were refused", done.refused);
    Ok(())
}

/// A file in pieces of whole lines, each with the line of names before it, when the file has one.
struct Pieces {
    lines: Box<dyn BufRead>,
    header: Vec<u8>,
    seen: u64,
}

impl Pieces {
    fn open(path: &Path) -> anyhow::Result<Pieces> {
        let lines: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            let file = std::fs::File::open(path);
            Box::new(BufReader::new(file.with_context(|| format!("{} can not be read", path.display()))?))
        };
        Ok(Pieces { lines, header: Vec::new(), seen: 0 })
    }

    /// The next piece, and how many lines of the file the count in it is short of.
    fn next(&mut self) -> anyhow::Result<Option<(Vec<u8>, u64)>> {
        let mut piece = self.header.clone();
        let before = self.seen - u64::from(!self.header.is_empty());
        let mut has_lines = false;
        while piece.len() < PIECE_OCTETS {
            let mut line = Vec::new();
            if self.lines.by_ref().take(LINE_OCTETS_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if self.seen == 0 && !line.starts_with(b"{") && !line.contains(&b'@') {
                self.header.clone_from(&line);
            }
            self.seen += 1;
            has_lines = true;
            piece.extend_from_slice(&line);
        }
        Ok(has_lines.then_some((piece, before)))
    }
}

impl Selection {
    fn query(&self) -> Vec<String> {
        let named = [
            ("tenant", &self.tenant),
            ("stream", &self.stream),
            ("reason", &self.reason),
            ("text", &self.text),
        ];
        let mut query: Vec<String> = named
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_deref()?))))
            .collect();
        if self.ended {
            query.push("ended=true".to_owned());
        }
        query
    }
}

impl ListName {
    fn query(&self) -> Vec<String> {
        [("tenant", &self.tenant), ("stream", &self.stream)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_deref()?))))
            .collect()
    }
}

fn read_reason(name: &str) -> anyhow::Result<Reason> {
    Reason::from_name(name).with_context(|| {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("`{name}` is no reason; write one of {}", names.join(", "))
    })
}
