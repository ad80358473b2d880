//! What the sum of the scores means, after the data chain: the operator's thresholds, natively.
//!
//! They judge what no plugin decided. A plugin that accepts, holds or refuses a message has the last word on it.

use baton_mail::edit::{Edit, MessageEdit};
use baton_mail::event::Decision;
use baton_mail::header::{self, HeaderName};
use baton_mail::{EnhancedCode, Reply};

use crate::call::MessageContent;
use crate::{Call, DataAnswer, Hook, Thresholds, Verdict};

/// Who decided, in stories and logs.
const THRESHOLDS: &str = "thresholds";
const HEADER: &str = "X-Spam-Score";

impl Thresholds {
    /// Judges a message after its data chain.
    pub(crate) fn judge(&self, call: &mut Call, verdict: &mut Verdict<DataAnswer>) {
        let is_reached = |threshold: Option<f64>, score: f64| threshold.is_some_and(|from| score >= from);
        let score = call.envelope.total_score();
        if verdict.answer != DataAnswer::Next {
            return;
        }
        let reason = format!("score {score:.1}");
        let (answer, edits) = if is_reached(self.reject, score) {
            (DataAnswer::Reject(self.reply()), Vec::new())
        } else if is_reached(self.quarantine, score) {
            (DataAnswer::Quarantine(reason.clone()), Vec::new())
        } else if is_reached(self.tag, score) {
            (DataAnswer::Next, self.tag(call, score))
        } else {
            return;
        };
        let words = match &answer {
            DataAnswer::Next => format!("tag ({reason})"),
            DataAnswer::Reject(reply) => format!("reject {reply} ({reason})"),
            _ => format!("quarantine {reason}"),
        };
        if answer != DataAnswer::Next {
            verdict.by = Some(THRESHOLDS.to_owned());
        }
        verdict.answer = answer;
        let hook = Hook::Data.as_str().to_owned();
        verdict.decisions.push(Decision {
            plugin: THRESHOLDS.to_owned(),
            hook,
            answer: words,
            edits,
            micros: 0,
        });
    }

    fn reply(&self) -> Reply {
        let plain = || Reply::new(550, EnhancedCode(5, 7, 1), "Refused as unwanted mail");
        self.reply.clone().unwrap_or_else(plain)
    }

    /// Writes the sum into the header; what a sender wrote there is taken out.
    fn tag(&self, call: &mut Call, score: f64) -> Vec<String> {
        let plain = || HEADER.parse::<HeaderName>().expect("the name is one");
        let name = self.header.clone().unwrap_or_else(plain);
        let Some(message) = call.content.take() else { return Vec::new() };
        if message.header().is_err() {
            // A header that can not be read safely is not changed.
            call.content = Some(message);
            return Vec::new();
        }
        let edit = MessageEdit::Set(name, format!("{score:.1}"));
        let summary = Edit::Message(edit.clone()).summary();
        let content = header::apply(message.into_content(), &[edit], call.envelope.smtputf8);
        call.content = Some(MessageContent::new(content));
        vec![summary]
    }
}
