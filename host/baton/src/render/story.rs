//! The story of a message in words: who decided what, when, what the peers said, what comes next.

use baton_api::wire::{JobRow, Recent, Story};
use baton_mail::event::{Decision, Event, Visitor, What};
use baton_mail::{Mailbox, Origin, Phase, UnixMs};

use super::words::{mailboxes, moment, octets, relative, span};

/// The whole story.
pub(crate) fn story(story: &Story) -> String {
    let mut text = format!("Message {}\n", story.message);
    let begin = story.events.first().map_or(story.now, |event| event.at);
    for event in &story.events {
        text.push_str(&entry(event, begin));
    }
    text.push_str(&ending(story));
    text
}

/// What is still to come.
fn ending(story: &Story) -> String {
    if story.jobs.is_empty() {
        return "Nothing of it is in the queue any more.\n".to_owned();
    }
    story.jobs.iter().map(|job| job_line(job, story.now)).collect()
}

fn job_line(job: &JobRow, now: UnixMs) -> String {
    let to = mailboxes(&job.recipients);
    let expiry = format!("given up {}", relative(job.expires_at, now));
    match job.state.as_str() {
        "held" => format!(
            "In the queue, held for {to}: {}; {expiry}.\n",
            job.hold.as_deref().unwrap_or("no reason given")
        ),
        "claimed" => {
            let attempt = job.attempt + 1;
            match &job.waits {
                Some(waits) => format!("In the queue for {to}, {waits} (attempt {attempt}); {expiry}.\n"),
                None => {
                    format!("In the queue, being delivered to {to} now (attempt {attempt}); {expiry}.\n")
                }
            }
        }
        "ready" => format!("In the queue for {to}, next attempt at once; {expiry}.\n"),
        _ => {
            let next = job
                .due
                .map_or_else(String::new, |due| format!(" at {} ({})", moment(due), relative(due, now)));
            // Why it was not tried, when it was the relay that put it off.
            let why = job.last.as_ref().filter(|last| last.code.is_none() && last.phase == Phase::Policy);
            let why = why.map(|last| format!(": {}", last.text)).unwrap_or_default();
            format!("In the queue for {to}, next attempt{next}{why}; {expiry}.\n")
        }
    }
}

/// One event: when, what, and the decisions behind it.
fn entry(event: &Event, begin: UnixMs) -> String {
    let offset =
        if event.at == begin { String::new() } else { format!(" (+{})", span(event.at.since(begin))) };
    let mut text = format!("  {}{offset}  {}\n", moment(event.at), sentence(&event.what));
    for decision in decisions(&event.what) {
        text.push_str(&decision_line(decision));
    }
    text
}

fn decision_line(decision: &Decision) -> String {
    let edits = match decision.edits.as_slice() {
        [] => String::new(),
        edits => format!(", changed {}", edits.join(", ")),
    };
    format!(
        "      {} asked {}: {}{edits} ({} µs)\n",
        decision.hook, decision.plugin, decision.answer, decision.micros
    )
}

/// What plugins decided behind an event.
fn decisions(what: &What) -> &[Decision] {
    match what {
        What::Accepted { decisions, .. }
        | What::Rejected { decisions, .. }
        | What::Routed { decisions, .. }
        | What::Deferred { decisions, .. }
        | What::Failed { decisions, .. } => decisions,
        _ => &[],
    }
}

/// An event in one sentence.
pub(crate) fn sentence(what: &What) -> String {
    match what {
        What::Accepted { origin, sender, recipients, size, .. } => {
            let to = mailboxes(recipients);
            format!("accepted from <{sender}> for {to}, {}, {}", octets(*size), way_in(origin))
        }
        What::Rejected { origin, sender, recipient, reply, .. } => {
            let to = recipient.as_ref().map(|recipient| format!(" for {recipient}")).unwrap_or_default();
            format!("rejected from <{sender}>{to}, {}: {reply}", way_in(origin))
        }
        What::Discarded { by, reason, recipients } => {
            format!("discarded{} by {by}: {reason}", for_whom(recipients))
        }
        What::Routed { recipients, next_hop, .. } => format!("routed{} to {next_hop}", for_whom(recipients)),
        What::Delivered { recipients, status, attempt, took_ms } => {
            format!("delivered to {}: {status} (attempt {attempt}, {took_ms} ms)", mailboxes(recipients))
        }
        What::Deferred { recipients, status, attempt, next_attempt, .. } => format!(
            "deferred{} in phase {}: {status} (attempt {attempt}); next attempt at {}",
            for_whom(recipients),
            status.phase,
            moment(*next_attempt)
        ),
        What::Failed { recipients, status, attempt, .. } => {
            let class = status.class;
            format!(
                "failed{} in phase {}: {status} (attempt {attempt}, {class})",
                for_whom(recipients),
                status.phase
            )
        }
        What::Bounced { report: Some(report), detail } => format!("bounced: {detail}, as message {report}"),
        What::Bounced { report: None, detail } => format!("not bounced: {detail}"),
        What::Held { reason, by } => format!("held by {by}: {reason}"),
        What::Released { by } => format!("released by {by}"),
        What::RetryAsked { by } => format!("attempt at once asked for by {by}"),
        What::Removed(removal) => {
            format!("removed from the queue{} by {}", for_whom(&removal.recipients), removal.by)
        }
        What::Damaged { detail } => format!("damaged and set aside: {detail}"),
        What::Asked { requests } => format!("the sender asked for {}", requests.join(", ")),
        What::Converted { recipients, detail } => format!("converted{}: {detail}", for_whom(recipients)),
        What::Reported { report, action, recipients } => {
            format!("reported to the sender as {action}{}, as message {report}", for_whom(recipients))
        }
        What::BounceAsked { reason, by } => format!("to be returned to the sender, by {by}: {reason}"),
        What::Rerouted { next_hop: Some(next_hop), by } => format!("sent by {next_hop} from now on, by {by}"),
        What::Rerouted { next_hop: None, by } => format!("sent as the settings say again, by {by}"),
        What::Stuck { due, reason } => format!("stuck, due since {}: {reason}", moment(*due)),
        What::Reassigned { to, by } => format!("now {}, by {by}", to.join(", ")),
        What::Suppressed { .. }
        | What::Complained { .. }
        | What::Opened { .. }
        | What::Clicked { .. }
        | What::Unsubscribed { .. }
        | What::CameBack { .. } => told_later(what),
    }
}

/// What recipients made of it, or had said before.
fn told_later(what: &What) -> String {
    match what {
        What::Suppressed { recipients, list, reason, detail } => {
            let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
            format!(
                "not sent{}: on the suppression list of {list} for {reason}{detail}",
                for_whom(recipients)
            )
        }
        What::Complained { recipient, feedback, by } => {
            let who = recipient.as_ref().map_or_else(|| "a recipient".to_owned(), ToString::to_string);
            format!("{who} complained ({feedback}), reported by {by}")
        }
        What::Opened { recipient, visitor } => format!("opened by {recipient}{}", asked_by(visitor)),
        What::Clicked { recipient, url, visitor } => {
            format!("{recipient} followed a link to {url}{}", asked_by(visitor))
        }
        What::Unsubscribed { recipient, from, how, visitor } => {
            let asked = visitor.as_ref().map(asked_by).unwrap_or_default();
            format!("{recipient} unsubscribed from {from} by {how}{asked}")
        }
        What::CameBack { recipient, status, by } => {
            let by = if by.is_empty() { String::new() } else { format!(", reported by {by}") };
            format!("came back from {recipient}: {status} ({}){by}", status.class)
        }
        _ => String::new(),
    }
}

fn asked_by(visitor: &Visitor) -> String {
    let program =
        visitor.automatic.as_deref().map(|name| format!(", by a program: {name}")).unwrap_or_default();
    let client = visitor.client.map(|client| format!(" from {client}")).unwrap_or_default();
    let agent = if visitor.agent.is_empty() { String::new() } else { format!(" ({})", visitor.agent) };
    format!("{program}{client}{agent}")
}

fn for_whom(recipients: &[Mailbox]) -> String {
    if recipients.is_empty() { String::new() } else { format!(" for {}", mailboxes(recipients)) }
}

fn way_in(origin: &Origin) -> String {
    let Some(client) = origin.client else { return format!("made by the relay ({})", origin.listener) };
    let helo = origin.helo.as_deref().map(|helo| format!(" ({helo})")).unwrap_or_default();
    let account = origin.account.as_deref().map(|account| format!(" as {account}")).unwrap_or_default();
    let tls = origin.protocol.tls.as_deref().map(|tls| format!(" ({tls})")).unwrap_or_default();
    let protocol = &origin.protocol.name;
    format!("by {protocol}{tls} from {client}{helo}{account} at listener {}", origin.listener)
}

/// The newest messages, a line each.
pub(crate) fn recent(recent: &Recent) -> String {
    if recent.messages.is_empty() {
        return "No message is known yet.\n".to_owned();
    }
    let line = |event: &Event| {
        format!("{}  {} ({})\n", event.message, sentence(&event.what), relative(event.at, recent.now))
    };
    recent.messages.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use baton_mail::status::Remote;
    use baton_mail::{EnhancedCode, FailureClass, MessageId, Reply, Status};

    use super::*;

    fn decision(answer: &str) -> Decision {
        Decision {
            plugin: "guard@3fa9#2".to_owned(),
            hook: "rcpt".to_owned(),
            answer: answer.to_owned(),
            edits: vec!["header+X-Spam".to_owned()],
            micros: 17,
        }
    }

    fn to() -> Vec<Mailbox> {
        vec!["b@example.org".parse().unwrap()]
    }

    fn remote() -> Remote {
        Remote::named("mx.example.org").at("192.0.2.7".parse().unwrap())
    }

    fn sample(whats: Vec<What>, jobs: Vec<JobRow>) -> Story {
        let message = MessageId::first_at(UnixMs(1_700_000_000_000));
        let event =
            |(index, what)| Event { message, at: UnixMs(1_700_000_000_000 + 1_500 * index as u64), what };
        Story {
            message,
            now: UnixMs(1_700_000_010_000),
            events: whats.into_iter().enumerate().map(event).collect(),
            jobs,
        }
    }

    #[test]
    fn a_deferred_message_says_why_and_when_next() {
        let reply = Reply::new(451, EnhancedCode(4, 7, 1), "come back later");
        let status = Status::from_reply(Phase::Rcpt, &reply, remote());
        let next = UnixMs(1_700_000_310_000);
        let what = What::Deferred {
            recipients: to(),
            status: status.clone(),
            attempt: 1,
            next_attempt: next,
            decisions: vec![decision("next")],
        };
        let job = JobRow {
            message: MessageId::first_at(UnixMs(1_700_000_000_000)),
            job: 0,
            queue: "example.org".to_owned(),
            state: "waiting".to_owned(),
            due: Some(next),
            attempt: 1,
            recipients: to(),
            sender: baton_mail::ReversePath::Null,
            size: 100,
            received_at: UnixMs(1_700_000_000_000),
            expires_at: UnixMs(1_700_432_000_000),
            last: Some(status),
            waits: None,
            hold: None,
            tenant: None,
            stream: None,
            priority: 0,
            route: None,
            give_up: None,
        };
        let text = story(&sample(vec![what], vec![job]));
        for part in [
            "deferred for b@example.org in phase rcpt: 451 4.7.1 come back later (mx.example.org [192.0.2.7])",
            "rcpt asked guard@3fa9#2: next, changed header+X-Spam (17 µs)",
            "next attempt at 2023-11-14 22:18:30.000Z (in 5 min)",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_finished_message_says_so() {
        let status =
            Status::from_reply(Phase::Data, &Reply::new(250, EnhancedCode(2, 0, 0), "taken"), remote());
        let accepted = What::Accepted {
            origin: Origin::internal(),
            sender: "a@example.com".parse().map(baton_mail::ReversePath::Mailbox).unwrap(),
            recipients: to(),
            size: 4_096,
            decisions: Vec::new(),
        };
        let delivered = What::Delivered { recipients: to(), status, attempt: 1, took_ms: 12 };
        let text = story(&sample(vec![accepted, delivered], Vec::new()));
        assert!(text.contains("(+1.5 s)  delivered to b@example.org: 250 2.0.0 taken"), "{text}");
        assert!(text.ends_with("Nothing of it is in the queue any more.\n"));
    }

    #[test]
    fn failures_name_their_class_and_reports_their_message() {
        let status =
            Status::ours(Phase::Policy, FailureClass::BadMailbox, EnhancedCode(5, 1, 1), "no such user");
        let failed = What::Failed { recipients: to(), status, attempt: 3, decisions: Vec::new() };
        assert!(sentence(&failed).contains("(attempt 3, bad-mailbox)"));
        let none = What::Bounced { report: None, detail: "the sender is null".to_owned() };
        assert_eq!(sentence(&none), "not bounced: the sender is null");
    }

    #[test]
    fn what_recipients_did_is_told_with_who_asked() {
        let recipient = || to().remove(0);
        let visitor = Visitor {
            client: Some("192.0.2.9".parse().unwrap()),
            agent: "Mozilla/5.0".to_owned(),
            automatic: Some("scanner".to_owned()),
        };
        let url = "https://shop.example/".to_owned();
        let clicked = What::Clicked { recipient: recipient(), url, visitor };
        assert_eq!(
            sentence(&clicked),
            "b@example.org followed a link to https://shop.example/, by a program: scanner from 192.0.2.9 (Mozilla/5.0)"
        );
        let opened = What::Opened { recipient: recipient(), visitor: Visitor::default() };
        assert_eq!(sentence(&opened), "opened by b@example.org");
        let (list, reason) = ("tenant acme".to_owned(), "complaint".to_owned());
        let suppressed = What::Suppressed { recipients: to(), list, reason, detail: String::new() };
        assert_eq!(
            sentence(&suppressed),
            "not sent for b@example.org: on the suppression list of tenant acme for complaint"
        );
        let from = "stream acme/news".to_owned();
        let how = "one-click".to_owned();
        let unsubscribed = What::Unsubscribed { recipient: recipient(), from, how, visitor: None };
        assert_eq!(sentence(&unsubscribed), "b@example.org unsubscribed from stream acme/news by one-click");
        let (feedback, by) = ("abuse".to_owned(), "yahoo.com".to_owned());
        let complained = What::Complained { recipient: None, feedback, by };
        assert_eq!(sentence(&complained), "a recipient complained (abuse), reported by yahoo.com");
    }
}
