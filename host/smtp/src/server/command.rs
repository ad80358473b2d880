//! Command lines (RFC 5321 4.1.1): the verb, and its arguments as text.

use super::session::HelloKind;

/// A command whose arguments are not read yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Hello(HelloKind, &'a str),
    Mail(&'a str),
    Rcpt(&'a str),
    Data(&'a str),
    Bdat(&'a str),
    Auth(&'a str),
    StartTls(&'a str),
    XClient(&'a str),
    XForward,
    Rset(&'a str),
    Vrfy(&'a str),
    Expn(&'a str),
    Quit(&'a str),
    Noop,
    Help,
    /// A command of the standards that we do not offer.
    NotImplemented,
    /// Another protocol, or a header line: this client does not talk to us but through somebody.
    Foreign,
    Unknown,
    /// No CRLF at the end, control characters, or not UTF-8.
    Malformed,
}

impl Command<'_> {
    /// Reads a line, its LF included.
    pub(super) fn parse(line: &[u8]) -> Command<'_> {
        let Some(text) = check_line(line) else { return Command::Malformed };
        let (verb, arguments) = text.split_once(' ').unwrap_or((text, ""));
        let mut upper = [0_u8; VERB_OCTETS_MAX];
        if let Some(place) = upper.get_mut(..verb.len()) {
            place.copy_from_slice(verb.as_bytes());
        }
        upper.make_ascii_uppercase();
        let arguments = arguments.trim_matches(' ');
        match upper.get(..verb.len()).unwrap_or_default() {
            b"MAIL" => Command::Mail(arguments),
            b"RCPT" => Command::Rcpt(arguments),
            b"DATA" => Command::Data(arguments),
            b"BDAT" => Command::Bdat(arguments),
            b"EHLO" => Command::Hello(HelloKind::Ehlo, arguments),
            b"HELO" => Command::Hello(HelloKind::Helo, arguments),
            b"LHLO" => Command::Hello(HelloKind::Lhlo, arguments),
            b"AUTH" => Command::Auth(arguments),
            b"STARTTLS" => Command::StartTls(arguments),
            b"XCLIENT" => Command::XClient(arguments),
            b"XFORWARD" => Command::XForward,
            b"RSET" => Command::Rset(arguments),
            b"NOOP" => Command::Noop,
            b"VRFY" => Command::Vrfy(arguments),
            b"EXPN" => Command::Expn(arguments),
            b"HELP" => Command::Help,
            b"QUIT" => Command::Quit(arguments),
            b"ETRN" | b"ATRN" | b"TURN" | b"SEND" | b"SOML" | b"SAML" | b"BURL" => Command::NotImplemented,
            b"GET" | b"POST" | b"CONNECT" | b"PUT" | b"HEAD" | b"DELETE" | b"OPTIONS" | b"PATCH"
            | b"TRACE" | b"PRI" => Command::Foreign,
            _ if verb.contains(':') => Command::Foreign,
            _ => Command::Unknown,
        }
    }
}

impl Command<'_> {
    /// True for a command that no client may give before it protected the connection, where it must (RFC 3207 4).
    /// DATA and BDAT are refused anyway, since MAIL was; and the octets behind them need their own care.
    pub(super) fn needs_protection(&self) -> bool {
        matches!(
            self,
            Command::Mail(_) | Command::Rcpt(_) | Command::Auth(_) | Command::Vrfy(_) | Command::Expn(_)
        )
    }
}

impl Command<'_> {
    /// True for a command that is the last one of a group: the client must wait for its reply (RFC 2920 3.1). DATA and
    /// STARTTLS look for themselves; QUIT ends the session whatever follows.
    pub(super) fn ends_group(&self) -> bool {
        matches!(
            self,
            Command::Hello(..) | Command::Vrfy(_) | Command::Expn(_) | Command::Noop | Command::XClient(_)
        )
    }

    /// True for a command behind which something belongs to it, or which looks at what follows by itself.
    pub(super) fn knows_what_follows(&self) -> bool {
        matches!(
            self,
            Command::Bdat(_) | Command::Data(_) | Command::StartTls(_) | Command::Quit(_) | Command::Foreign
        )
    }
}

/// The text of a line that ends with CRLF and holds neither control characters nor broken UTF-8.
///
/// A lone LF ends the line so that its sender gets an answer, but it is never obeyed (RFC 5321 2.3.8).
fn check_line(line: &[u8]) -> Option<&str> {
    let line = line.strip_suffix(b"\r\n")?;
    if line.iter().any(u8::is_ascii_control) {
        return None;
    }
    std::str::from_utf8(line).ok()
}

/// Octets of the longest verb that is known.
const VERB_OCTETS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_read_without_regard_to_case() {
        assert_eq!(Command::parse(b"mAiL FROM:<a@b>  \r\n"), Command::Mail("FROM:<a@b>"));
        assert_eq!(Command::parse(b"QUIT\r\n"), Command::Quit(""));
        assert_eq!(Command::parse(b"starttls\r\n"), Command::StartTls(""));
        assert_eq!(Command::parse(b"MAILX\r\n"), Command::Unknown);
        assert_eq!(Command::parse(b"AVERYLONGVERB x\r\n"), Command::Unknown);
        assert_eq!(Command::parse(b"\r\n"), Command::Unknown);
    }

    #[test]
    fn only_whole_lines_of_text_are_commands() {
        for bad in
            [&b"NOOP\n"[..], b"NO\rOP\r\n", b"NOOP\0\r\n", b"NOOP\t\r\n", b"\xff\xfe\r\n", b"NOOP\r\r\n"]
        {
            assert_eq!(Command::parse(bad), Command::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn other_protocols_are_told_apart() {
        for foreign in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"post /\r\n",
            b"Subject: x\r\n",
            b"Host:\r\n",
            b"CONNECT a:25 HTTP/1.1\r\n",
        ] {
            assert_eq!(Command::parse(foreign), Command::Foreign, "{foreign:?}");
        }
    }
}
