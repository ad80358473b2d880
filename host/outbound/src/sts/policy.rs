//! The policy that a domain publishes, and the record that says that there is one (RFC 8461 3). Pure reading.

use std::fmt::Write;
use std::time::Duration;

use baton_mail::UnixMs;

/// What senders do when the policy is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Mail waits.
    Enforce,
    /// Mail goes on; the failure is counted.
    Testing,
    /// There is no policy any more.
    None,
}

/// A policy as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The id of the record by which it was found.
    pub(crate) id: String,
    pub(crate) mode: Mode,
    /// Names of mail hosts in lower case; `*.` in front stands for one label.
    pub(crate) hosts: Vec<String>,
    max_age_s: u64,
    fetched_at: UnixMs,
}

impl Policy {
    /// Reads a policy file, or says what is wrong with it.
    pub(crate) fn read(text: &str, id: &str, fetched_at: UnixMs) -> Result<Policy, String> {
        let (mut version, mut mode, mut max_age) = (None, None, None);
        let mut hosts = Vec::new();
        for line in text.split('\n').map(str::trim_end).filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once(':').ok_or("a line has no colon")?;
            let value = value.trim();
            // Of what stands there twice the first counts, but for the hosts (RFC 8461 3.2).
            match key.trim_end() {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" if hosts.len() < HOSTS_MAX => hosts.push(read_host(value)?),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err("its version is not STSv1".to_owned());
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err("its mode is none of enforce, testing and none".to_owned()),
        };
        let digits = max_age.filter(|text| text.len() <= 10 && text.bytes().all(|one| one.is_ascii_digit()));
        let max_age_s: u64 = digits.and_then(|text| text.parse().ok()).ok_or("its max_age is no number")?;
        if hosts.is_empty() && mode != Mode::None {
            return Err("it names no mail host".to_owned());
        }
        let max_age_s = max_age_s.min(MAX_AGE_S_MAX);
        Ok(Policy { id: id.to_owned(), mode, hosts, max_age_s, fetched_at })
    }

    /// True when mail for the domain may go to this host (RFC 8461 4.1).
    pub(crate) fn lists(&self, host: &str) -> bool {
        self.hosts.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
            None => pattern == host,
        })
    }

    /// How long it is valid from now on; none when it is not any more.
    pub(crate) fn left(&self, now: UnixMs) -> Option<Duration> {
        let age = now.since(self.fetched_at);
        Duration::from_secs(self.max_age_s).checked_sub(age).filter(|left| !left.is_zero())
    }

    /// True when it should be fetched again although its id is the same: nobody who keeps us from fetching shall be able
    /// to wait for its end (RFC 8461 10.2).
    pub(crate) fn is_due(&self, now: UnixMs) -> bool {
        let age = now.since(self.fetched_at);
        age >= REFRESH_AFTER.min(Duration::from_secs(self.max_age_s / 2))
    }

    /// The policy in words of its own, as reports quote it (RFC 8460 4.4).
    pub(crate) fn lines(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let first = ["version: STSv1".to_owned(), format!("mode: {mode}")];
        let hosts = self.hosts.iter().map(|host| format!("mx: {host}"));
        first.into_iter().chain(hosts).chain([format!("max_age: {}", self.max_age_s)]).collect()
    }

    /// As it is kept over a restart.
    pub(crate) fn to_kept(&self) -> String {
        let mut text = format!("{} {}\n", self.id, self.fetched_at.0);
        for line in self.lines() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// The policy of a text by [`Policy::to_kept`].
    pub(crate) fn of_kept(text: &str) -> Option<Policy> {
        let (first, policy) = text.split_once('\n')?;
        let (id, fetched_at) = first.split_once(' ')?;
        Policy::read(policy, id, UnixMs(fetched_at.parse().ok()?)).ok()
    }
}

/// A host name, or one with `*` in the place of its first label.
fn read_host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let parsed: baton_mail::Domain =
        name.parse().map_err(|_| "one of its mail hosts is no name".to_owned())?;
    Ok(if name.len() == text.len() { parsed.to_string() } else { format!("*.{parsed}") })
}

/// The id of the one record that says that there is a policy; none when there is none, or several (RFC 8461 3.1).
pub(crate) fn record_id(texts: &[Vec<u8>]) -> Option<String> {
    let mut records = texts.iter().filter_map(|text| std::str::from_utf8(text).ok()).filter(|text| {
        text.strip_prefix("v=STSv1").is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with(';'))
    });
    let (record, None) = (records.next()?, records.next()) else { return None };
    let mut fields = record.split(';').skip(1).filter_map(|field| field.trim().split_once('='));
    let id = fields.find(|(name, _)| *name == "id")?.1;
    let is_id = (1..=ID_OCTETS_MAX).contains(&id.len()) && id.bytes().all(|one| one.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

/// About a year, the most that RFC 8461 3.2 allows.
const MAX_AGE_S_MAX: u64 = 31_557_600;
/// Each day, as RFC 8461 3.3 advises.
const REFRESH_AFTER: Duration = Duration::from_secs(86_400);
/// Hosts of one policy that are read.
const HOSTS_MAX: usize = 200;
/// RFC 8461 3.1.
const ID_OCTETS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: STSv1\r\nmode: enforce\r\nmx: Mail.example.com\r\nmx: *.example.net\nmx: backup.example.com\r\n\
         max_age: 604800\r\nextra: yes\r\n";

    fn read(text: &str) -> Result<Policy, String> {
        Policy::read(text, "a1", UnixMs(1_000_000))
    }

    #[test]
    fn hosts_match_with_one_label_in_place_of_the_star() {
        let policy = read(TEXT).unwrap();
        for good in ["mail.example.com", "backup.example.com", "mx1.example.net"] {
            assert!(policy.lists(good), "{good}");
        }
        for bad in [
            "example.net",
            "a.b.example.net",
            "mail.example.com.evil.example",
            "evil-example.net",
            ".example.net",
        ] {
            assert!(!policy.lists(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for bad in [
            "",
            "mode: enforce\nmx: a.example\nmax_age: 1",
            "version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 1",
            "version: STSv1\nmode: maybe\nmx: a.example\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: a.example",
            "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: -1",
            "version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1",
            "<html>",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("version: STSv1\nmode: none\nmax_age: 1").unwrap().mode, Mode::None);
        let twice = read("version: STSv1\nmode: testing\nmode: enforce\nmx: a.example\nmax_age: 99999999999");
        assert!(twice.is_err(), "eleven digits");
        let twice =
            read("version: STSv1\nmode: testing\nmode: enforce\nmx: a.example\nmax_age: 9999999999").unwrap();
        assert_eq!((twice.mode, twice.max_age_s), (Mode::Testing, MAX_AGE_S_MAX));
    }

    #[test]
    fn a_policy_ends_and_is_kept_with_its_time() {
        let policy = read(TEXT).unwrap();
        assert_eq!(Policy::of_kept(&policy.to_kept()), Some(policy.clone()));
        let day = 86_400_000;
        assert!(!policy.is_due(UnixMs(1_000_000 + day - 1)) && policy.is_due(UnixMs(1_000_000 + day)));
        assert!(policy.left(UnixMs(1_000_000 + 7 * day - 1)).is_some());
        assert_eq!(policy.left(UnixMs(1_000_000 + 7 * day)), None);
        // A clock that went back makes no policy immortal, and breaks none.
        assert!(policy.left(UnixMs(0)).is_some());
    }

    #[test]
    fn one_record_counts_and_several_do_not() {
        let id = |texts: &[&str]| {
            record_id(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>())
        };
        assert_eq!(id(&["other", "v=STSv1; id=20160831085700Z;"]), Some("20160831085700Z".to_owned()));
        assert_eq!(id(&["v=STSv1 ;id=1"]), Some("1".to_owned()));
        for bad in [
            &["v=STSv1; id=1", "v=STSv1; id=2"][..],
            &["v=STSv10; id=1"],
            &["v=STSv1; id=a-b"],
            &["v=STSv1"],
            &[],
        ] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }
}
