//! Notifications of Amazon SES in JSON, as SNS sends them by mail: bounces, late copies, deliveries and complaints. Fields that
//! are not known are passed over, as its reference asks.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::recipients::mailbox;
use super::report::{Action, Group, behind_type, read_action, read_status};
use super::{COPIES_MAX, Clues, Feedback, Message, PART_CHARS_MAX, clues, feedback};
use crate::EnhancedCode;
use crate::status::STATUS_TEXT_OCTETS_MAX;
use crate::text::sanitize;

/// What was notified of, and which message it says that it is about.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Notification {
    #[serde(alias = "eventType")]
    notification_type: String,
    mail: Sent,
    bounce: Bounce,
    delivery_delay: Delay,
    delivery: Delivery,
    complaint: Complaint,
}

/// The message, as SES got it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Sent {
    common_headers: CommonHeaders,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CommonHeaders {
    message_id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Bounce {
    bounce_type: String,
    bounce_sub_type: String,
    bounced_recipients: Vec<Recipient>,
    remote_mta_ip: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Delay {
    delay_type: String,
    delayed_recipients: Vec<Recipient>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Delivery {
    recipients: Vec<String>,
    smtp_response: String,
    remote_mta_ip: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Complaint {
    complained_recipients: Vec<Recipient>,
    complaint_feedback_type: Option<String>,
    user_agent: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Recipient {
    email_address: String,
    action: Option<String>,
    status: Option<String>,
    diagnostic_code: Option<String>,
}

/// What SNS puts around it, unless it is told not to.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    message: String,
}

/// The notification that a message is; none when it is something else.
pub(super) fn read(message: &Message<'_>) -> Option<Notification> {
    let part = message.parts_of(|kind| matches!(kind, "text/plain" | "application/json")).next()?;
    let text = part.text(PART_CHARS_MAX, false);
    let text = text.trim_start();
    if !text.starts_with('{') {
        return None;
    }
    parse(text).or_else(|| parse(&unbroken(text)))
}

fn parse(text: &str) -> Option<Notification> {
    let inner: Option<Envelope> = first_value(text);
    let found: Notification = first_value(inner.as_ref().map_or(text, |envelope| &envelope.message))?;
    let is_known = ["Bounce", "DeliveryDelay", "Delivery", "Complaint"];
    is_known.contains(&found.notification_type.as_str()).then_some(found)
}

/// The value that a text begins with: a footer stands behind it.
fn first_value<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

/// Without the breaks that sendmail puts into lines that are too long: no JSON has a line end within a text.
fn unbroken(text: &str) -> String {
    text.replace("!\r\n ", "").replace("!\n ", "")
}

impl Notification {
    /// What became of the copies; none when it is no report of that.
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = match self.notification_type.as_str() {
            "Bounce" => self.bounce.bounced_recipients.iter().map(|one| self.bounced(one)).collect(),
            "DeliveryDelay" => {
                self.delivery_delay.delayed_recipients.iter().map(|one| self.late(one)).collect()
            }
            "Delivery" => self.delivery.recipients.iter().map(|one| self.delivered(one)).collect(),
            _ => Vec::new(),
        };
        groups.truncate(COPIES_MAX);
        groups
    }

    fn bounced(&self, one: &Recipient) -> Group {
        let Bounce { bounce_type, bounce_sub_type, .. } = &self.bounce;
        let passing = (bounce_type == "Transient").then_some(EnhancedCode(4, 0, 0));
        let mut group = group(one, Action::Failed, &format!("{bounce_type} {bounce_sub_type}"));
        group.status = group.status.or(passing);
        group.remote = host(self.bounce.remote_mta_ip.as_deref());
        group
    }

    fn late(&self, one: &Recipient) -> Group {
        group(one, Action::Delayed, &self.delivery_delay.delay_type)
    }

    fn delivered(&self, address: &str) -> Group {
        let response = &self.delivery.smtp_response;
        let code = response.split_whitespace().nth(1).and_then(|code| code.parse().ok());
        Group {
            recipient: mailbox(address),
            action: Some(Action::Delivered),
            status: code.filter(|code: &EnhancedCode| code.0 == 2),
            diagnostic: sanitize(response, STATUS_TEXT_OCTETS_MAX),
            remote: host(self.delivery.remote_mta_ip.as_deref()),
            ..Group::default()
        }
    }

    /// The complaint that it is.
    pub(super) fn feedback(&self, message: &Message<'_>) -> Option<Feedback> {
        if self.notification_type != "Complaint" {
            return None;
        }
        let Complaint { complained_recipients, complaint_feedback_type: kind, user_agent } = &self.complaint;
        let kind = kind.as_deref().unwrap_or("abuse").to_ascii_lowercase();
        let by = user_agent.clone().or_else(|| message.field("From")).unwrap_or_default();
        let recipients = complained_recipients.iter().filter_map(|one| mailbox(&one.email_address));
        Some(Feedback {
            kind: sanitize(&kind, feedback::KIND_OCTETS_MAX),
            by: sanitize(&by, feedback::BY_OCTETS_MAX),
            recipients: recipients.take(feedback::RECIPIENTS_MAX).collect(),
            clues: self.clues(message),
        })
    }

    /// Which message it may be about.
    pub(super) fn clues(&self, message: &Message<'_>) -> Clues {
        let mut clues = clues::find(message.content);
        clues.add_message_id(&self.mail.common_headers.message_id);
        clues
    }
}

/// A recipient, with what is said in general where nothing is said about it.
fn group(one: &Recipient, usual: Action, in_general: &str) -> Group {
    let diagnostic = one.diagnostic_code.as_deref().map_or_else(|| in_general.to_owned(), behind_type);
    Group {
        recipient: mailbox(&one.email_address),
        action: Some(one.action.as_deref().and_then(read_action).unwrap_or(usual)),
        status: one.status.as_deref().and_then(read_status),
        diagnostic: sanitize(&diagnostic, STATUS_TEXT_OCTETS_MAX),
        ..Group::default()
    }
}

fn host(address: Option<&str>) -> Option<String> {
    address.map(|address| sanitize(address, 255))
}
