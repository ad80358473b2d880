//! The account of the demo: what was sent, what came of it, whether that is right.

use baton_api::wire::Story;
use baton_hooks::Hook;

use super::perform::Said;
use super::scenario::{Act, Content, Expect, Place, Way};
use super::stage::Stage;
use crate::render;
use crate::sink::storage::{Stored, read_all};

/// What arrived, and what was found so far.
pub(super) struct Account {
    sink: Vec<Stored>,
    mailstore: Vec<Stored>,
    differences: usize,
}

/// One checked expectation, in words.
struct Finding {
    holds: bool,
    words: String,
}

/// What an act left behind.
struct Trace<'a> {
    content: &'a [u8],
    said: &'a Said,
    stories: &'a [Story],
}

impl Account {
    /// Reads what the sinks got.
    pub(super) fn open(stage: &Stage) -> anyhow::Result<Account> {
        Ok(Account {
            sink: read_all(&stage.mail_of(Place::Sink.name()))?,
            mailstore: read_all(&stage.mail_of(Place::Mailstore.name()))?,
            differences: 0,
        })
    }

    /// How many things differ from what should be.
    pub(super) fn differences(&self) -> usize {
        self.differences
    }

    /// Tells of one message.
    pub(super) async fn tell(
        &mut self,
        number: usize,
        act: &Act,
        content: &[u8],
        said: &Said,
        stage: &Stage,
    ) -> anyhow::Result<String> {
        let mut stories = Vec::new();
        for id in said.ids() {
            stories.push(stage.admin().get::<Story>(&format!("/v1/messages/{id}")).await?);
        }
        let mut text = format!("{number:>2}. {}\n", act.title);
        text.push_str(&format!("    sent: {}\n", sent(act, content.len())));
        for line in said.lines() {
            text.push_str(&format!("    the relay said: {line}\n"));
        }
        let trace = Trace { content, said, stories: &stories };
        for expect in act.expect {
            let finding = self.check(expect, &trace);
            self.differences += usize::from(!finding.holds);
            let mark = if finding.holds { "as it should be" } else { "DIFFERS" };
            text.push_str(&format!("    {mark}: {}\n", finding.words));
        }
        for story in &stories {
            for line in render::story::story(story).lines() {
                text.push_str(&format!("    | {line}\n"));
            }
        }
        text.push('\n');
        Ok(text)
    }

    /// How often each hook asked a plugin, by the relay's metrics; each must have.
    pub(super) fn hooks(&mut self, metrics: &str) -> String {
        let mut text = String::from("Calls of plugins, by hook:");
        for hook in Hook::ALL {
            let count = calls_of(metrics, hook);
            text.push_str(&format!(" {hook} {count}"));
            if count == 0 {
                self.differences += 1;
                text.push_str(" (DIFFERS: it decided nothing)");
            }
        }
        text.push_str(".\n");
        text
    }

    fn check(&self, expect: &Expect, trace: &Trace<'_>) -> Finding {
        match *expect {
            Expect::Arrives { place, recipients } => self.check_arrival(place, recipients, trace.content),
            Expect::Tagged { recipient, line } => self.check_tag(recipient, line, trace.content),
            Expect::RefusedBy { plugin, reply } => {
                let refused = trace.said.lines().iter().any(|line| line.starts_with(reply));
                let named = told(trace.stories, "rejected", plugin);
                Finding {
                    holds: refused && named,
                    words: format!("refused with {reply}, and the story names {plugin}"),
                }
            }
            Expect::TurnedAway { word } => {
                let holds = matches!(trace.said, Said::TurnedAway(said) if said.contains(word));
                Finding { holds, words: format!("turned away, with {word} in the reply") }
            }
            Expect::Told { kind, word } => {
                let detail = if word.is_empty() { String::new() } else { format!(", with \"{word}\"") };
                Finding {
                    holds: told(trace.stories, kind, word),
                    words: format!("the story has \"{kind}\"{detail}"),
                }
            }
            Expect::Reported { sender, about } => self.check_report(sender, about),
            Expect::Nothing { recipient } => {
                let came = self.sink.iter().chain(&self.mailstore).any(|stored| names(stored, recipient));
                Finding { holds: !came, words: format!("nothing arrived for {recipient}") }
            }
        }
    }

    fn stored(&self, place: Place) -> &[Stored] {
        match place {
            Place::Sink => &self.sink,
            Place::Mailstore => &self.mailstore,
        }
    }

    /// One copy for each recipient, with our trace fields in front and the content as it was.
    fn check_arrival(&self, place: Place, recipients: &[&str], content: &[u8]) -> Finding {
        let copies: Vec<Vec<&Stored>> = recipients
            .iter()
            .map(|recipient| self.stored(place).iter().filter(|stored| names(stored, recipient)).collect())
            .collect();
        let exact = |copies: &Vec<&Stored>| match copies.as_slice() {
            [one] => one.content.ends_with(content) && one.content.starts_with(first_field(place)),
            _ => false,
        };
        let words = format!(
            "arrived at the {} for {}, once and octet for octet",
            place.name(),
            recipients.join(", ")
        );
        Finding { holds: copies.iter().all(exact), words }
    }

    fn check_tag(&self, recipient: &str, line: &str, content: &[u8]) -> Finding {
        let body = split_header(content).1;
        let tagged = self.sink.iter().filter(|stored| names(stored, recipient)).any(|stored| {
            let (header, rest) = split_header(&stored.content);
            rest == body
                && header
                    .split(|octet| *octet == b'\n')
                    .any(|found| found.trim_ascii_end() == line.as_bytes())
        });
        Finding { holds: tagged, words: format!("arrived for {recipient} with the header line {line}") }
    }

    fn check_report(&self, sender: &str, about: &str) -> Finding {
        let is_report = |stored: &Stored| {
            let text = String::from_utf8_lossy(&stored.content);
            stored.envelope.sender.is_empty()
                && names(stored, sender)
                && text.contains("multipart/report")
                && text.contains(about)
                && text.contains("Status: 5.1.1")
        };
        let reports = self.sink.iter().filter(|stored| is_report(stored)).count();
        Finding { holds: reports == 1, words: format!("one report about {about} arrived at {sender}") }
    }
}

/// What a copy begins with: `Received` at a next hop, `Return-Path` at final delivery (RFC 5321 4.4).
fn first_field(place: Place) -> &'static [u8] {
    match place {
        Place::Sink => b"Received: ",
        Place::Mailstore => b"Return-Path: ",
    }
}

fn names(stored: &Stored, recipient: &str) -> bool {
    stored.envelope.recipients.iter().any(|found| found == recipient)
}

/// Header lines and what follows, from the empty line on.
fn split_header(content: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memmem::find(content, b"\r\n\r\n").map_or(content.len(), |at| at + 2);
    content.split_at_checked(end).unwrap_or((content, &[]))
}

/// True when an event of that kind has that word anywhere.
fn told(stories: &[Story], kind: &str, word: &str) -> bool {
    stories.iter().flat_map(|story| &story.events).any(|event| {
        let what = serde_json::to_value(&event.what).unwrap_or_default();
        what.get(kind).is_some_and(|what| what.to_string().contains(word))
    })
}

/// The calls of all plugins at one hook.
fn calls_of(metrics: &str, hook: Hook) -> u64 {
    let label = format!("hook=\"{hook}\"");
    let counted =
        metrics.lines().filter(|line| line.starts_with("baton_hooks_calls_total{") && line.contains(&label));
    counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn sent(act: &Act, octets: usize) -> String {
    let what = match act.content {
        Content::File(name) => name,
        Content::MadeUp { .. } => "a message made for this",
    };
    let way = match act.way {
        Way::Smtp => "",
        Way::ListedClient => ", by a client on a blocklist",
        Way::Submission(_) => ", by submission with a password",
    };
    let size = render::words::octets(octets as u64);
    format!("{what} ({size}) from <{}> to {}{way}", act.sender, act.recipients.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_summed_over_plugins() {
        let metrics = "baton_hooks_calls_total{plugin=\"a\",hook=\"rcpt\"} 2\n\
                       baton_hooks_calls_total{plugin=\"b\",hook=\"rcpt\"} 3\n\
                       baton_hooks_calls_total{plugin=\"b\",hook=\"data\"} 7\n";
        assert_eq!((calls_of(metrics, Hook::Rcpt), calls_of(metrics, Hook::Auth)), (5, 0));
    }
}
