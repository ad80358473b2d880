//! Paths and parameters of MAIL and RCPT (RFC 5321 4.1.2).

use baton_mail::{Mailbox, ReversePath, xtext};

use super::question::RcptPath;

/// Octets of a path, brackets included (RFC 5321 4.5.3.1.3).
const PATH_OCTETS_MAX: usize = 256;

/// ESMTP parameters: keyword in upper case, value.
pub type Parameters = Vec<(String, Option<String>)>;

/// `FROM:<path> parameters`, cut at its borders.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathArgument<'a> {
    /// What is between the brackets, without source route.
    pub(super) path: &'a str,
    parameters: &'a str,
}

impl<'a> PathArgument<'a> {
    /// Cuts `arguments`, which begin with `keyword` (`FROM:` or `TO:`). Blanks after the colon are common and
    /// harmless.
    pub(super) fn parse(arguments: &'a str, keyword: &str) -> Option<PathArgument<'a>> {
        let (start, rest) = arguments.split_at_checked(keyword.len())?;
        if !start.eq_ignore_ascii_case(keyword) {
            return None;
        }
        let inner = rest.trim_start_matches(' ').strip_prefix('<')?;
        let end = bracket_end(inner)?;
        let (path, rest) = inner.split_at_checked(end)?;
        let parameters = rest.strip_prefix('>')?;
        if path.len() + 2 > PATH_OCTETS_MAX || !(parameters.is_empty() || parameters.starts_with(' ')) {
            return None;
        }
        Some(PathArgument { path: without_route(path)?, parameters })
    }

    /// The sender (RFC 5321 4.1.1.2).
    pub(super) fn reverse_path(&self) -> Option<ReversePath> {
        if self.path.is_empty() {
            Some(ReversePath::Null)
        } else {
            Some(ReversePath::Mailbox(self.mailbox()?))
        }
    }

    /// The recipient (RFC 5321 4.1.1.3).
    pub(super) fn forward_path(&self) -> Option<RcptPath> {
        if self.path.eq_ignore_ascii_case("postmaster") {
            return Some(RcptPath::Postmaster);
        }
        self.mailbox().map(RcptPath::Mailbox)
    }

    fn mailbox(&self) -> Option<Mailbox> {
        self.path.parse().ok()
    }

    /// The parameters; none when one is malformed or comes twice.
    pub(super) fn parameters(&self) -> Option<Parameters> {
        let mut parameters = Parameters::new();
        for text in self.parameters.split(' ').filter(|text| !text.is_empty()) {
            let (keyword, value) = match text.split_once('=') {
                Some((keyword, value)) => (keyword, Some(value)),
                None => (text, None),
            };
            if !is_keyword(keyword) || value.is_some_and(|value| !is_value(value)) {
                return None;
            }
            let keyword = keyword.to_ascii_uppercase();
            if parameters.iter().any(|(other, _)| *other == keyword) {
                return None;
            }
            parameters.push((keyword, value.map(str::to_owned)));
        }
        Some(parameters)
    }
}

/// Where the closing bracket is, outside of quotes.
fn bracket_end(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

/// Drops `@a,@b:` before the mailbox (RFC 5321 appendix C: it must be accepted and should be ignored).
fn without_route(path: &str) -> Option<&str> {
    if path.starts_with('@') { path.split_once(':').map(|(_, mailbox)| mailbox) } else { Some(path) }
}

/// RFC 5321 4.1.2 `esmtp-keyword`.
fn is_keyword(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// RFC 5321 4.1.2 `esmtp-value`, beyond ASCII by RFC 6531 3.3.
fn is_value(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|character| !matches!(character, '=' | ' ') && !baton_mail::text::is_unsafe(character))
}

/// `xtext` in ASCII that stands for no control character, as the value of AUTH= must (RFC 4954 5).
pub(super) fn is_harmless_xtext(text: &str) -> bool {
    text.is_ascii() && xtext::decode(text).is_some_and(|meant| !meant.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(text: &str) -> Option<String> {
        match PathArgument::parse(text, "TO:")?.forward_path()? {
            RcptPath::Postmaster => Some("postmaster".to_owned()),
            RcptPath::Mailbox(mailbox) => Some(mailbox.to_string()),
        }
    }

    #[test]
    fn source_routes_are_dropped_and_quotes_kept() {
        assert_eq!(forward("TO:<@a.example,@b.example:c@d.example>").as_deref(), Some("c@d.example"));
        assert_eq!(
            forward("to: <\"a@b > \\\" c\"@us.example>").as_deref(),
            Some("\"a@b > \\\" c\"@us.example")
        );
        assert_eq!(forward("TO:<PostMaster>").as_deref(), Some("postmaster"));
        assert_eq!(forward("TO:<user%other@us.example>").as_deref(), Some("user%other@us.example"));
        assert_eq!(forward("TO:<user@[127.0.0.1]>").as_deref(), Some("user@[127.0.0.1]"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let long_local = format!("TO:<{}@us.example>", "x".repeat(65));
        let long_path = format!("TO:<a@{}>", ["x".repeat(60).as_str(); 5].join("."));
        for bad in [
            "TO:a@b",
            "TO:<a@b",
            "TO:<>",
            "TO:<a>",
            "TO:<@us>",
            "TO:<user@us.>",
            "TO:<user@us:2525>",
            "TO:<a!b>",
            "TO:<a@b>x",
            "TO:<\"a@b>",
            "TO: ",
            "FROM:<a@b>",
            "TO",
            "TO:<a@b@c>",
            &long_local,
            &long_path,
        ] {
            assert_eq!(forward(bad), None, "{bad}");
        }
    }

    #[test]
    fn parameters_are_read_strictly() {
        let parameters = |text: &str| PathArgument::parse(&format!("FROM:<>{text}"), "FROM:")?.parameters();
        assert_eq!(parameters("").unwrap(), []);
        assert_eq!(parameters(" size=10  body=8BITMIME SMTPUTF8").unwrap().len(), 3);
        assert_eq!(parameters(" size=10").unwrap(), [("SIZE".to_owned(), Some("10".to_owned()))]);
        for bad in [" =1", " size=", " a=b=c", " size=1 SIZE=2", " a_b=1", " -a"] {
            assert_eq!(parameters(bad), None, "{bad}");
        }
    }

    #[test]
    fn xtext_hides_no_line_break() {
        assert!(is_harmless_xtext("e+3Dmc2@example.com") && is_harmless_xtext("<>"));
        for bad in ["a+0Ab", "a+0d", "a+", "a+3", "a+zz", "a+3d", "ä"] {
            assert!(!is_harmless_xtext(bad), "{bad}");
        }
    }
}
