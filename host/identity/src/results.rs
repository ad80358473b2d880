//! All that was found out about one message, and how it is told: in the header (RFC 8601), in the history, in metrics.

mod forged;
mod wording;

use baton_mail::header::HeaderName;
use baton_mail::{Domain, ReversePath};

use crate::{ArcOutcome, DkimOutcome, DmarcOutcome, SpfOutcome, Verdict};
pub(crate) use forged::own_results;
pub use forged::without_forged;
use wording::{Field, Statement};

/// Whether the client's address and name fit one another (RFC 8601 2.7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IprevOutcome {
    /// How the check ended.
    pub verdict: Verdict,
    /// The confirmed name.
    pub name: Option<String>,
    /// What was wrong.
    pub reason: Option<String>,
}

/// What is known before the content: who connects, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderResults {
    /// The client's address.
    pub client: std::net::IpAddr,
    /// The way back from the address.
    pub iprev: IprevOutcome,
    /// SPF for the name of EHLO; none when that is no domain.
    pub helo: Option<SpfOutcome>,
    /// SPF for MAIL; none for the null sender.
    pub mail: Option<SpfOutcome>,
}

impl SenderResults {
    /// SPF as DMARC sees it: for MAIL, and for the null sender that of EHLO (RFC 9989 4.3).
    pub(crate) fn spf(&self, sender: &ReversePath) -> Option<&SpfOutcome> {
        match sender {
            ReversePath::Null => self.helo.as_ref(),
            ReversePath::Mailbox(_) => self.mail.as_ref(),
        }
    }
}

/// What was found out about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// What is known before the content.
    pub sender: SenderResults,
    /// Each signature, from the top; one with [`Verdict::None`] and no domain when there is none.
    pub dkim: Vec<DkimOutcome>,
    /// The policy of the author's domain.
    pub dmarc: DmarcOutcome,
    /// The chain of custody; none when the settings do not ask for it.
    pub arc: Option<ArcOutcome>,
}

impl Results {
    /// The results in the words of RFC 8601, one statement for each check.
    pub fn statements(&self) -> Statements {
        let sender = &self.sender;
        let mut all = vec![iprev(sender)];
        all.extend(sender.helo.as_ref().map(|outcome| spf(outcome, "smtp.helo")));
        all.extend(sender.mail.as_ref().map(|outcome| spf(outcome, "smtp.mailfrom")));
        all.extend(self.dkim.iter().map(dkim));
        all.push(dmarc(&self.dmarc));
        all.extend(self.arc.as_ref().map(arc));
        Statements(all)
    }
}

/// Results in words.
#[derive(Debug)]
pub struct Statements(Vec<Statement>);

impl Statements {
    /// The field's name and value.
    pub fn field(&self, authserv_id: &Domain) -> (HeaderName, String) {
        let name = FIELD_NAME.parse().expect("the name is plain text");
        let mut field = Field::new(authserv_id.as_str());
        self.0.iter().for_each(|statement| field.push(statement));
        (name, field.finish())
    }

    /// Each method with its verdict, for metrics: both sets are small and fixed.
    pub fn verdicts(&self) -> impl Iterator<Item = (&'static str, Verdict)> {
        self.0.iter().map(|statement| (statement.method, statement.verdict))
    }

    /// All in one line, for people.
    pub fn summary(&self) -> String {
        self.0.iter().map(Statement::summary).collect::<Vec<_>>().join(", ")
    }
}

fn iprev(sender: &SenderResults) -> Statement {
    let outcome = &sender.iprev;
    let mut statement = Statement::new("iprev", outcome.verdict, outcome.reason.as_deref());
    statement.property("policy.iprev", &sender.client.to_canonical().to_string());
    statement.comment = outcome.name.clone();
    statement
}

fn spf(outcome: &SpfOutcome, property: &'static str) -> Statement {
    let mut statement = Statement::new("spf", outcome.verdict, Some(&outcome.reason));
    statement.property(property, &outcome.domain);
    statement.explanation = outcome.explanation.clone();
    statement
}

fn dkim(outcome: &DkimOutcome) -> Statement {
    let mut statement = Statement::new("dkim", outcome.verdict, outcome.reason.as_deref());
    statement.property("header.d", &outcome.domain);
    statement.property("header.i", outcome.identity.as_deref().unwrap_or_default());
    statement.property("header.s", &outcome.selector);
    statement.property("header.a", outcome.algorithm);
    statement.property("header.b", &outcome.mark);
    statement
}

fn dmarc(outcome: &DmarcOutcome) -> Statement {
    let mut statement = Statement::new("dmarc", outcome.verdict, outcome.reason.as_deref());
    statement.property("header.from", outcome.author.as_ref().map(Domain::as_str).unwrap_or_default());
    statement.property("policy.dmarc", &outcome.wish.map(|wish| wish.to_string()).unwrap_or_default());
    statement
}

fn arc(outcome: &ArcOutcome) -> Statement {
    let mut statement = Statement::new("arc", outcome.verdict, outcome.reason.as_deref());
    statement.property("header.d", &outcome.sealer);
    let oldest = outcome.oldest_pass.map(|set| set.to_string()).unwrap_or_default();
    statement.property("header.oldest-pass", &oldest);
    statement.comment = (outcome.sets > 0).then(|| format!("i={}", outcome.sets));
    statement
}

/// RFC 8601 2.2.
const FIELD_NAME: &str = "Authentication-Results";
