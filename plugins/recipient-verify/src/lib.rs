//! Asks the next hop whether it takes a recipient, and remembers the answer.
//!
//! Invariant: clients that logged in are never asked about, so that nobody can list the users of other hosts.
//! Invariant: a recipient is refused only by what its own host said about it; what the host says about us is no answer.

use std::time::Duration;

use baton_sdk::pattern::Pattern;
use baton_sdk::prelude::*;
use baton_sdk::{Bucket, VerifyError};

/// Octets of a key at most; the store takes 512.
const KEY_OCTETS_MAX: usize = 400;
/// Characters of the next hop's words that are passed on.
const WORDS_MAX: usize = 200;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Recipients that are asked about.
    pub recipients: Vec<Pattern>,
    /// Recipients that are not, whatever `recipients` says.
    #[serde(default = "default_exempt_recipients")]
    pub exempt_recipients: Vec<Pattern>,
    /// The bucket of the key-value store; needs a grant.
    #[serde(default = "default_bucket")]
    pub bucket: String,
    /// A yes is remembered for so long, in seconds.
    #[serde(default = "default_positive_ttl_s")]
    pub positive_ttl_s: u32,
    /// A no is remembered for so long, in seconds.
    #[serde(default = "default_negative_ttl_s")]
    pub negative_ttl_s: u32,
    /// That there was no answer is remembered for so long, in seconds.
    #[serde(default = "default_unknown_ttl_s")]
    pub unknown_ttl_s: u32,
    /// What is done when the next hop gives no answer.
    #[serde(default)]
    pub on_unknown: OnUnknown,
}

/// What is done when the next hop gives no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// The recipient is taken; the queue tries.
    #[default]
    Pass,
    /// The recipient is put off.
    Tempfail,
}

/// The plugin.
pub struct RecipientVerify {
    config: Config,
}

#[baton_sdk::plugin]
impl Plugin for RecipientVerify {
    type Config = Config;

    fn new(config: Config) -> Result<RecipientVerify, Problems> {
        let mut problems = Problems::default();
        if config.recipients.is_empty() {
            problems.add("recipients", "there is nobody to ask about");
        }
        let times = [
            ("positive_ttl_s", config.positive_ttl_s),
            ("negative_ttl_s", config.negative_ttl_s),
            ("unknown_ttl_s", config.unknown_ttl_s),
        ];
        for (key, _) in times.iter().filter(|(_, seconds)| *seconds == 0) {
            problems.add(*key, "must be at least 1");
        }
        problems.finish(RecipientVerify { config })
    }
}

/// What is known of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    /// With the words of the next hop.
    No(String),
    Unknown,
}

#[baton_sdk::hook]
impl Rcpt for RecipientVerify {
    fn on_rcpt(&self, cx: &Context, rcpt: &Address) -> Result<RcptDecision> {
        if cx.session().account().is_some() || !self.is_meant(rcpt) {
            return next();
        }
        let bucket = cx.kv(&self.config.bucket)?;
        let key = key(rcpt);
        let known = match bucket.get(&key)?.and_then(|value| Known::read(&value)) {
            Some(known) => known,
            None => self.ask(cx, &bucket, &key, rcpt)?,
        };
        match known {
            Known::Yes => next(),
            Known::No(words) => {
                cx.metrics().count("refused", 1, &[]);
                reject(550, "5.1.1", ["no such recipient: ", &words].concat())
            }
            Known::Unknown if self.config.on_unknown == OnUnknown::Pass => next(),
            Known::Unknown => {
                tempfail(450, "4.1.1", "the recipient can not be verified now, try again later")
            }
        }
    }
}

impl RecipientVerify {
    fn is_meant(&self, rcpt: &Address) -> bool {
        let among = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(rcpt));
        among(&self.config.recipients) && !among(&self.config.exempt_recipients)
    }

    fn ask(&self, cx: &Context, bucket: &Bucket, key: &str, rcpt: &Address) -> Result<Known> {
        let known = match cx.verify().recipient(rcpt) {
            Ok(answer) => Known::from_reply(&answer.host, &answer.reply),
            Err(VerifyError::Denied) => return Err(VerifyError::Denied.into()),
            Err(VerifyError::Timeout | VerifyError::Failed(_)) => Known::Unknown,
        };
        let (word, seconds) = match &known {
            Known::Yes => ("yes", self.config.positive_ttl_s),
            Known::No(_) => ("no", self.config.negative_ttl_s),
            Known::Unknown => ("unknown", self.config.unknown_ttl_s),
        };
        cx.metrics().count("asked", 1, &[("answer", word)]);
        bucket.set(key, &known.written(), Some(Duration::from_secs(u64::from(seconds))))?;
        Ok(known)
    }
}

impl Known {
    /// A no is a 5xx reply about the mailbox (RFC 3463: x.1.x, and x.2.1 disabled). Without an enhanced code it is one
    /// of the codes that RFC 5321 and RFC 7504 have for that. All other refusals are about us or about the moment.
    fn from_reply(host: &str, reply: &Reply) -> Known {
        let is_about_mailbox = match reply.enhanced {
            Some((5, 1, _) | (5, 2, 1)) => true,
            Some(_) => false,
            None => matches!(reply.code, 550 | 551 | 553 | 556),
        };
        if reply.is_positive() {
            Known::Yes
        } else if reply.is_permanent() && is_about_mailbox {
            let words: String = reply.text.chars().take(WORDS_MAX).collect();
            Known::No([host, " said ", &reply.code.to_string(), " ", &words].concat())
        } else {
            Known::Unknown
        }
    }

    fn read(value: &[u8]) -> Option<Known> {
        let (kind, words) = value.split_first()?;
        match kind {
            b'+' => Some(Known::Yes),
            b'-' => Some(Known::No(String::from_utf8_lossy(words).into_owned())),
            b'?' => Some(Known::Unknown),
            _ => None,
        }
    }

    fn written(&self) -> Vec<u8> {
        match self {
            Known::Yes => b"+".to_vec(),
            Known::No(words) => ["-", words].concat().into_bytes(),
            Known::Unknown => b"?".to_vec(),
        }
    }
}

/// Local parts differ by case in principle (RFC 5321 2.4), so they are kept as they are.
fn key(rcpt: &Address) -> String {
    let key = [rcpt.domain(), "/", rcpt.local()].concat();
    let end = (0..=key.len().min(KEY_OCTETS_MAX)).rev().find(|&at| key.is_char_boundary(at)).unwrap_or(0);
    key.get(..end).unwrap_or_default().to_owned()
}

fn default_exempt_recipients() -> Vec<Pattern> {
    vec![Pattern::Local("postmaster".to_owned())]
}

fn default_bucket() -> String {
    "recipient-verify".to_owned()
}

fn default_positive_ttl_s() -> u32 {
    7 * 86_400
}

fn default_negative_ttl_s() -> u32 {
    3 * 3_600
}

fn default_unknown_ttl_s() -> u32 {
    60
}

#[cfg(test)]
mod tests;
