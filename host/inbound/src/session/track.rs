//! Links, a pixel and a way to unsubscribe, put into mail of users before it is signed.
//!
//! Who has several recipients in one message has one content for all of them, and links are a person's own: such a message
//! goes out as it is, and its story says so.

use baton_content::track::{self, Tracked, Tracker, Whose, Wish};
use baton_mail::body::Content;
use baton_mail::header::HeaderIndex;
use baton_mail::{Envelope, Mailbox, MessageId, UnixMs};

use super::Session;
use super::data::INLINE_CHECK_OCTETS;
use super::draft::Draft;
use crate::Policy;
use crate::replies::Refusal;
use crate::trace::has_field;

impl Session {
    /// The content with what the message asks for in `X-Baton-Track`, or else its stream; that field is taken out. Mail of
    /// strangers stays as it is.
    pub(super) async fn track(&self, draft: &mut Draft, content: Content) -> Result<Content, Refusal> {
        let policy = self.listener.deps.policy.load_full();
        if !self.is_user() || draft.call.envelope.binary {
            return Ok(content);
        }
        // As it is with most mail: the fields need not be told apart to know that this one is not there.
        if !has_field(&content.header, track::FIELD) && self.wish_of_stream(&draft.call.envelope).is_none() {
            return Ok(content);
        }
        // A header beyond the bounds is relayed unread where the policy says so.
        let Ok(fields) = HeaderIndex::scan(&content.header, &policy.mime.header) else { return Ok(content) };
        let asked = track::asked(&fields).map_err(|_| Refusal::TrackingUnclear)?;
        let wish = asked.unwrap_or_else(|| self.wish_of_stream(&draft.call.envelope));
        let tracker = self.listener.deps.tracking.load_full();
        let recipient = match draft.call.envelope.recipients.as_slice() {
            [only] => Some(only.address.clone()),
            _ => None,
        };
        let (Some(tracker), Some(recipient)) = (tracker, recipient.clone()) else {
            return untracked(draft, content, wish, recipient.is_some(), &policy);
        };
        let job = Job::new(&draft.call.envelope, recipient, self.listener.deps.clock.now(), wish);
        let tracked = if content.len() <= INLINE_CHECK_OCTETS {
            job.run(&tracker, content, &policy)
        } else {
            let run = move || job.run(&tracker, content, &policy);
            tokio::task::spawn_blocking(run).await.map_err(|_| Refusal::Internal)?
        };
        draft.tracked = tracked.summary().map(|summary| format!("tracked: {summary}"));
        Ok(tracked.content)
    }

    /// What the stream says.
    fn wish_of_stream(&self, envelope: &Envelope) -> Wish {
        let Some(name) = envelope.stream.as_deref() else { return Wish::default() };
        let stream = self.listener.deps.store.tenants().stream(envelope.tenant.as_deref(), name);
        stream.map_or(Wish::default(), |stream| Wish::from(&stream.value))
    }
}

/// A message that can not be tracked goes out without the field; but not one that would show a link which leads nowhere.
fn untracked(
    draft: &mut Draft,
    content: Content,
    wish: Wish,
    is_for_one: bool,
    policy: &Policy,
) -> Result<Content, Refusal> {
    if track::has_placeholder(&content, &policy.mime).unwrap_or(false) {
        return Err(if is_for_one { Refusal::TrackingOff } else { Refusal::TrackingForMany });
    }
    if !wish.is_none() {
        let why = if is_for_one { "tracking.base_url is not set" } else { "it has several recipients" };
        draft.tracked = Some(format!("not tracked ({wish}): {why}"));
    }
    Ok(track::without_field(content))
}

/// What the work needs, on whichever thread it is done.
struct Job {
    message: MessageId,
    recipient: Mailbox,
    tenant: String,
    stream: String,
    at: UnixMs,
    wish: Wish,
}

impl Job {
    fn new(envelope: &Envelope, recipient: Mailbox, at: UnixMs, wish: Wish) -> Job {
        let text = |name: &Option<String>| name.clone().unwrap_or_default();
        let (tenant, stream) = (text(&envelope.tenant), text(&envelope.stream));
        Job { message: envelope.id, recipient, tenant, stream, at, wish }
    }

    fn run(&self, tracker: &Tracker, content: Content, policy: &Policy) -> Tracked {
        let whose = Whose {
            message: self.message,
            recipient: &self.recipient,
            tenant: &self.tenant,
            stream: &self.stream,
            at: self.at,
        };
        let unchanged = content.clone();
        // Beyond the bounds it is relayed unparsed, where the policy says so.
        let unparsed = |_| Tracked { content: track::without_field(unchanged), ..Tracked::default() };
        tracker.track(content, &policy.mime, &whose, self.wish).unwrap_or_else(unparsed)
    }
}
