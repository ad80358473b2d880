//! What the domain in `From` wants done when nobody vouches for it: DMARC by RFC 9989, with the tree walk in place of a
//! list of public suffixes, `np`, `psd` and `t`; `pct` is gone.
//!
//! Written here because `mail-auth` 0.13 takes the first of several records where the standard discards all.
//!
//! Invariant: one domain costs eight questions at most (RFC 9989 4.10); trouble with the DNS is `temperror`, never a pass
//! and never "no policy".

mod record;
mod walk;

use std::fmt;

use baton_dns::{DnsError, Resolver};
use baton_mail::Domain;
use baton_mail::header::{HeaderIndex, addresses};

use crate::reports::PublishedPolicy;
use crate::{DkimOutcome, SpfOutcome, Verdict};
use record::{Alignment, Record};
use walk::{Walk, organizational};

/// What a domain wants done with mail that fails, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Nothing.
    None,
    /// To be treated with suspicion.
    Quarantine,
    /// To be refused.
    Reject,
}

impl fmt::Display for Wish {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Wish::None => "none",
            Wish::Quarantine => "quarantine",
            Wish::Reject => "reject",
        })
    }
}

/// How the check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmarcOutcome {
    /// How.
    pub verdict: Verdict,
    /// The domain in `From`; none when there is not exactly one.
    pub author: Option<Domain>,
    /// Where the record stands, when there is one.
    pub record_at: Option<String>,
    /// What its owner wants done on failure, test mode taken into account.
    pub wish: Option<Wish>,
    /// Why.
    pub reason: Option<String>,
    /// What a report to the domain tells; none when there was nothing to evaluate.
    pub evaluated: Option<Evaluated>,
}

/// How a policy was evaluated, as reports tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// What the domain published, with the defaults of what it left out.
    pub published: PublishedPolicy,
    /// What its owner wants done on failure, but for the test mode.
    pub wish: Wish,
    /// It asks for reports.
    pub wants_reports: bool,
    /// SPF passed in alignment.
    pub spf: bool,
    /// DKIM did.
    pub dkim: bool,
}

impl DmarcOutcome {
    pub(crate) fn without_record(
        verdict: Verdict,
        author: Option<Domain>,
        reason: impl Into<String>,
    ) -> Self {
        let reason = Some(reason.into());
        DmarcOutcome { verdict, author, record_at: None, wish: None, reason, evaluated: None }
    }
}

/// Reads a text as a record; true when it is one.
pub(crate) fn read_record(text: &[u8]) -> bool {
    Record::read(text).is_some()
}

/// The domain in `From`, or why there is none. Who may write what into it is all that DMARC is about, so two fields or
/// two domains are as bad as none (RFC 9989 11.5, RFC 5322 3.6.2).
pub(crate) fn author(header: &HeaderIndex) -> Result<Domain, &'static str> {
    let fields = header.all("From");
    let [field] = fields.as_slice() else {
        return Err(if fields.is_empty() { "there is no From" } else { "there are several From fields" });
    };
    let mut domains = addresses(field).into_iter().map(|(_, address)| {
        let (_, domain) = address.rsplit_once('@')?;
        domain.trim().parse::<Domain>().ok().filter(|domain| domain.as_literal().is_none())
    });
    let first = domains.next().flatten().ok_or("there is no domain in From")?;
    if domains.all(|domain| domain.as_ref() == Some(&first)) {
        Ok(first)
    } else {
        Err("there are several domains in From")
    }
}

/// Evaluates the policy of `author` on what SPF and DKIM found. `spf` is the outcome for MAIL, or for HELO when MAIL was
/// the null sender.
pub(crate) async fn evaluate(
    resolver: &Resolver,
    author: Domain,
    spf: Option<&SpfOutcome>,
    dkim: &[DkimOutcome],
) -> DmarcOutcome {
    let walk = match Walk::from(resolver, author.as_str()).await {
        Ok(walk) => walk,
        Err(trouble) => return DmarcOutcome::without_record(Verdict::TempError, Some(author), trouble),
    };
    if walk.start_has_several {
        return DmarcOutcome::without_record(Verdict::None, Some(author), "several records, so none counts");
    }
    let home = organizational(&walk);
    let Some((at, record)) = applicable(&walk, home) else {
        return DmarcOutcome::without_record(Verdict::None, Some(author), "no record");
    };
    if record.policy.is_none() && record.reports_to.is_none() {
        // RFC 9989 4.10.1.
        return DmarcOutcome::without_record(
            Verdict::None,
            Some(author),
            format!("the record of {at} has no policy"),
        );
    }
    let wish = wish(resolver, record, at, author.as_str()).await;
    let alignments = Alignments { resolver, author: author.as_str(), home, known: Vec::new() };
    let aligned = alignments.find(record, spf, dkim).await;
    let (verdict, reason) = match &aligned.trouble {
        _ if aligned.spf || aligned.dkim => (Verdict::Pass, None),
        Some(trouble) => (Verdict::TempError, Some(trouble.clone())),
        None => (Verdict::Fail, Some("nothing that passed is of the domain in From".to_owned())),
    };
    let evaluated = Evaluated {
        published: record.published(),
        wish,
        wants_reports: record.reports_to.is_some(),
        spf: aligned.spf,
        dkim: aligned.dkim,
    };
    DmarcOutcome {
        verdict,
        record_at: Some(at.to_owned()),
        wish: Some(if record.is_test { wish.next_lower() } else { wish }),
        reason,
        evaluated: Some(evaluated),
        author: Some(author),
    }
}

/// Where the record of a domain wants reports (`rua`); none when there is not exactly one record, or it wants none.
pub(crate) async fn reports_to(resolver: &Resolver, domain: &Domain) -> Result<Option<String>, DnsError> {
    let texts = resolver.texts(&format!("_dmarc.{domain}")).await?.records;
    let mut records = texts.iter().filter_map(|text| Record::read(text));
    let (Some(record), None) = (records.next(), records.next()) else { return Ok(None) };
    Ok(record.reports_to)
}

/// True when both names are of one organization.
///
/// # Errors
/// What was wrong with the DNS.
pub(crate) async fn is_same_organization(
    resolver: &Resolver,
    one: &str,
    other: &str,
) -> Result<bool, String> {
    if one == other {
        return Ok(true);
    }
    let (one, other) = (Walk::from(resolver, one).await?, Walk::from(resolver, other).await?);
    Ok(organizational(&one) == organizational(&other))
}

/// The record that counts: the author's own, else that of its organization, else that of the public suffix above
/// (RFC 9989 4.10.1).
fn applicable<'a>(walk: &'a Walk, home: &str) -> Option<(&'a str, &'a Record)> {
    let at = |name: &str| walk.records.iter().find(|(own, _)| own == name);
    let found = at(&walk.start).or_else(|| at(home)).or_else(|| walk.records.last())?;
    Some((found.0.as_str(), &found.1))
}

/// What is wanted for mail of `author` by a record that stands at `at`, but for the test mode.
async fn wish(resolver: &Resolver, record: &Record, at: &str, author: &str) -> Wish {
    let own = record.policy.unwrap_or(Wish::None);
    let below = record.subdomains.unwrap_or(own);
    let missing = record.missing.unwrap_or(below);
    match record.policy {
        None => Wish::None,
        Some(_) if at == author => own,
        // A name that does not exist has a policy of its own (RFC 9989 3.2.13). Unless we know that, it exists.
        Some(_) if missing != below => match resolver.four(author).await {
            Ok(found) if !found.name_exists => missing,
            _ => below,
        },
        Some(_) => below,
    }
}

impl Wish {
    /// What holds in its place in test mode (RFC 9989 4.7).
    fn next_lower(self) -> Wish {
        match self {
            Wish::Reject => Wish::Quarantine,
            Wish::Quarantine | Wish::None => Wish::None,
        }
    }
}

/// What passed in alignment with the author's domain.
#[derive(Default)]
struct Aligned {
    spf: bool,
    dkim: bool,
    /// Why there may be more that could not be found out.
    trouble: Option<String>,
}

/// Compares domains with the author's.
struct Alignments<'a> {
    resolver: &'a Resolver,
    author: &'a str,
    /// The author's organizational domain.
    home: &'a str,
    /// Domains that were compared already.
    known: Vec<(String, bool)>,
}

impl Alignments<'_> {
    async fn find(mut self, record: &Record, spf: Option<&SpfOutcome>, dkim: &[DkimOutcome]) -> Aligned {
        let spf = spf.map(|spf| ("SPF", spf.verdict, spf.domain.as_str(), record.spf));
        let dkim = dkim.iter().map(|dkim| ("DKIM", dkim.verdict, dkim.domain.as_str(), record.dkim));
        let mut aligned = Aligned::default();
        for (method, verdict, domain, alignment) in spf.into_iter().chain(dkim) {
            if !matches!(verdict, Verdict::Pass | Verdict::TempError) || domain.is_empty() {
                continue;
            }
            match self.is_aligned(&domain.to_ascii_lowercase(), alignment).await {
                Ok(true) if verdict == Verdict::Pass && method == "SPF" => aligned.spf = true,
                Ok(true) if verdict == Verdict::Pass => aligned.dkim = true,
                // What might have been a pass keeps the verdict open (RFC 9989 5.3.6).
                Ok(true) => {
                    aligned.trouble = Some(format!("{method} of {domain} could not be checked now"));
                }
                Ok(false) => {}
                Err(error) => aligned.trouble = Some(error),
            }
        }
        aligned
    }

    /// RFC 9989 4.4: the same domain, or in relaxed mode the same organization.
    async fn is_aligned(&mut self, domain: &str, alignment: Alignment) -> Result<bool, String> {
        if domain == self.author {
            return Ok(true);
        }
        let is_below_home =
            domain.strip_suffix(self.home).is_some_and(|before| before.is_empty() || before.ends_with('.'));
        if alignment == Alignment::Strict || !is_below_home {
            return Ok(false);
        }
        if let Some((_, aligned)) = self.known.iter().find(|(known, _)| known == domain) {
            return Ok(*aligned);
        }
        let walk = Walk::from(self.resolver, domain).await?;
        let aligned = organizational(&walk) == self.home;
        self.known.push((domain.to_owned(), aligned));
        Ok(aligned)
    }
}

#[cfg(test)]
mod tests {
    use baton_mail::header::HeaderLimits;
    use bytes::Bytes;

    use super::*;

    fn author_of(header: &str) -> Result<String, &'static str> {
        let header = Bytes::copy_from_slice(header.as_bytes());
        let index = HeaderIndex::scan(&header, &HeaderLimits::default()).unwrap();
        author(&index).map(|domain| domain.to_string())
    }

    #[test]
    fn there_is_exactly_one_author_domain() {
        for (header, expected) in [
            ("From: a@One.example\r\n", Ok("one.example".to_owned())),
            ("From: \"b@two.example\" <a@one.example>\r\n", Ok("one.example".to_owned())),
            ("From: a@one.example, b@ONE.example\r\n", Ok("one.example".to_owned())),
            ("From: G: a@one.example;\r\n", Ok("one.example".to_owned())),
            ("from : a@m\u{fc}nchen.example\r\n", Ok("xn--mnchen-3ya.example".to_owned())),
            ("From: a@one.example\r\nFrom: a@one.example\r\n", Err("there are several From fields")),
            ("From: a@one.example, b@two.example\r\n", Err("there are several domains in From")),
            ("From: a@one.example, b\r\n", Ok("one.example".to_owned())),
            ("From: a\r\n", Err("there is no domain in From")),
            ("From: a@[192.0.2.1]\r\n", Err("there is no domain in From")),
            ("From:\r\n", Err("there is no domain in From")),
            ("Fr om: a@one.example\r\n", Err("there is no From")),
        ] {
            assert_eq!(author_of(header), expected, "{header}");
        }
    }
}
