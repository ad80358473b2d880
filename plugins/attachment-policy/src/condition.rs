//! Which attachments a rule means.

use std::collections::BTreeSet;

use baton_sdk::prelude::*;
use baton_sdk::{Digest, Part};

use crate::name;

/// The settings of a condition: an attachment is meant when all that is given fits it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConditionConfig {
    /// Patterns of names, one of which fits: `*.exe`, `invoice*.do?`.
    pub filename: Vec<String>,
    /// Extensions, one of which it has: `exe`, or a group such as `@executable`.
    pub extension: Vec<String>,
    /// It runs, and looks harmless: `invoice.pdf.exe`.
    pub double_extension: bool,
    /// Media types, one of which it has: `application/x-msdownload`, `video/*`.
    pub content_type: Vec<String>,
    /// Its decoded content is larger than this, in octets.
    pub size_over_octets: Option<u64>,
    /// SHA-256 digests in hexadecimal digits, one of which its content has.
    pub sha256: Vec<String>,
    /// The rule holds only when there are more of them than this.
    pub count_over: u32,
    /// The rule holds only when all of them together are larger than this, in octets.
    pub total_over_octets: u64,
}

/// A condition, ready to be asked.
pub(crate) struct Condition {
    filename: Vec<String>,
    extension: BTreeSet<String>,
    double_extension: bool,
    content_type: Vec<String>,
    size_over_octets: Option<u64>,
    sha256: BTreeSet<Vec<u8>>,
    count_over: u32,
    total_over_octets: u64,
}

/// A leaf that is more than the text of the message.
pub(crate) struct Attachment {
    part: Part,
    filename: Option<String>,
    /// As a system would open it.
    opened: Option<String>,
    content_type: String,
}

impl Attachment {
    /// The leaf as an attachment; none when it is the text, which has no name and is not said to be an attachment.
    pub(crate) fn of(part: Part) -> Option<Attachment> {
        let (filename, content_type) = (part.filename(), part.content_type());
        let is_text = matches!(content_type.as_str(), "text/plain" | "text/html");
        if is_text && filename.is_none() && part.disposition().as_deref() != Some("attachment") {
            return None;
        }
        let opened = filename.as_deref().map(name::opened);
        Some(Attachment { part, filename, opened, content_type })
    }

    /// Its name for people.
    pub(crate) fn shown(&self) -> String {
        name::shown(self.filename.as_deref())
    }
}

impl Condition {
    /// Reads the settings; an error comes with the field that it is in.
    pub(crate) fn read(config: ConditionConfig) -> Result<Condition, (&'static str, Error)> {
        let mut extension = BTreeSet::new();
        for text in config.extension {
            let plain = text.trim_start_matches('.').to_ascii_lowercase();
            match name::group(&plain) {
                Some(group) => extension.extend(group.iter().map(|known| (*known).to_owned())),
                None if plain.is_empty() || plain.contains(['@', '*', '?', '.']) => {
                    let advice = ": write exe, or one of @executable, @macro, @archive, @disk-image";
                    return Err(("extension", Error::new([&text, advice].concat())));
                }
                None => {
                    extension.insert(plain);
                }
            }
        }
        if let Some(text) = config.content_type.iter().find(|text| !text.contains('/')) {
            return Err(("content_type", Error::new([text, ": write application/pdf or video/*"].concat())));
        }
        let mut sha256 = BTreeSet::new();
        for text in &config.sha256 {
            let digest = read_digest(text)
                .ok_or_else(|| ("sha256", Error::new([text, ": not 64 hexadecimal digits"].concat())))?;
            sha256.insert(digest);
        }
        Ok(Condition {
            filename: config.filename.iter().map(|pattern| pattern.to_lowercase()).collect(),
            extension,
            double_extension: config.double_extension,
            content_type: config.content_type.iter().map(|text| text.to_ascii_lowercase()).collect(),
            size_over_octets: config.size_over_octets,
            sha256,
            count_over: config.count_over,
            total_over_octets: config.total_over_octets,
        })
    }

    /// The first attachment that is meant, when the rule holds.
    pub(crate) fn first<'a>(&self, attachments: &'a [Attachment]) -> Result<Option<&'a Attachment>> {
        let (mut first, mut count, mut octets) = (None, 0_u32, 0_u64);
        for attachment in attachments {
            if self.means(attachment)? {
                first = first.or(Some(attachment));
                count += 1;
                if self.total_over_octets > 0 {
                    octets = octets.saturating_add(attachment.part.decoded_size());
                }
            }
        }
        let holds =
            count > self.count_over && (self.total_over_octets == 0 || octets > self.total_over_octets);
        Ok(first.filter(|_| holds))
    }

    /// The cheap questions come first; the relay digests only what is left.
    fn means(&self, attachment: &Attachment) -> Result<bool> {
        let opened = attachment.opened.as_deref();
        let has = |question: &dyn Fn(&str) -> bool| opened.is_some_and(question);
        let fits = (self.filename.is_empty()
            || has(&|opened| self.filename.iter().any(|pattern| name::matches(pattern, opened))))
            && (self.extension.is_empty()
                || has(&|opened| name::extension(opened).is_some_and(|own| self.extension.contains(own))))
            && (!self.double_extension || has(&name::is_disguised))
            && (self.content_type.is_empty()
                || self.content_type.iter().any(|pattern| name::matches(pattern, &attachment.content_type)))
            && self.size_over_octets.is_none_or(|octets| attachment.part.decoded_size() > octets);
        if !fits || self.sha256.is_empty() {
            return Ok(fits);
        }
        Ok(self.sha256.contains(&attachment.part.digest(Digest::Sha256)?))
    }
}

fn read_digest(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()).collect()
}
