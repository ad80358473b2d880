//! What a peer offers in its answer to EHLO (RFC 5321 4.1.1.1).

/// The extensions that we know of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The peer answered EHLO or LHLO, not HELO.
    pub extended: bool,
    /// Octets of content at most (RFC 1870); none when it does not say.
    pub size_octets_max: Option<u64>,
    /// SIZE is offered, so `SIZE=` may be sent.
    pub size: bool,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 3030; worth nothing without CHUNKING.
    pub binary_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 2034.
    pub enhanced_status_codes: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 8689.
    pub require_tls: bool,
    /// RFC 6710.
    pub priority: bool,
    /// RFC 2852.
    pub deliver_by: bool,
    /// Recipients of one transaction at most (RFC 9422); none when it does not say.
    pub recipients_max: Option<usize>,
    /// Domains of the recipients of one transaction at most (RFC 9422); none when it does not say.
    pub recipient_domains_max: Option<usize>,
    /// Transactions over one connection at most (RFC 9422); none when it does not say.
    pub transactions_max: Option<u32>,
    /// The mechanisms of AUTH in upper case (RFC 4954); bounded by the reply's size.
    pub auth: Vec<String>,
}

impl Capabilities {
    /// True when content may come that is not made of lines (RFC 3030 3: only by BDAT).
    pub fn takes_binary(&self) -> bool {
        self.binary_mime && self.chunking
    }

    /// Reads the text of the reply; its first line is a greeting.
    pub(super) fn parse(text: &str) -> Capabilities {
        let mut capabilities = Capabilities { extended: true, ..Capabilities::default() };
        for line in text.split('\n').skip(1) {
            let (keyword, arguments) = line.split_once([' ', '=']).unwrap_or((line, ""));
            capabilities.add(&keyword.to_ascii_uppercase(), arguments);
        }
        capabilities
    }

    fn add(&mut self, keyword: &str, arguments: &str) {
        match keyword {
            "SIZE" => {
                self.size = true;
                // SIZE without a number or with 0 means that there is no fixed limit (RFC 1870 4).
                self.size_octets_max = arguments.trim().parse().ok().filter(|limit| *limit > 0);
            }
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "CHUNKING" => self.chunking = true,
            "BINARYMIME" => self.binary_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "STARTTLS" => self.starttls = true,
            "DSN" => self.dsn = true,
            "REQUIRETLS" => self.require_tls = true,
            "MT-PRIORITY" => self.priority = true,
            "DELIVERBY" => self.deliver_by = true,
            "LIMITS" => arguments.split_ascii_whitespace().for_each(|limit| self.add_limit(limit)),
            "AUTH" => self.auth.extend(arguments.split_ascii_whitespace().map(str::to_ascii_uppercase)),
            _ => {}
        }
    }

    /// `NAME=number`. A limit of nothing is none that could be kept (RFC 9422 3: at least 1).
    fn add_limit(&mut self, limit: &str) {
        let Some((name, value)) = limit.split_once('=') else { return };
        let Some(value) = value.parse::<u32>().ok().filter(|value| *value > 0) else { return };
        let count = usize::try_from(value).ok();
        match name.to_ascii_uppercase().as_str() {
            "RCPTMAX" => self.recipients_max = count,
            "RCPTDOMAINMAX" => self.recipient_domains_max = count,
            "MAILMAX" => self.transactions_max = Some(value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_without_regard_to_case() {
        let offered = Capabilities::parse(
            "SIZE of the greeting\nsize 1000\nPipelining\n8BITMIME\nCHUNKING\nSMTPUTF8\nAUTH PLAIN login\nX-FOO",
        );
        assert_eq!(offered.size_octets_max, Some(1000));
        assert!(
            offered.pipelining
                && offered.eight_bit_mime
                && offered.chunking
                && offered.smtputf8
                && !offered.starttls
        );
        assert_eq!(offered.auth, ["PLAIN", "LOGIN"]);
        assert_eq!(Capabilities::parse("x\nSIZE 0").size_octets_max, None);
    }

    #[test]
    fn limits_are_heeded_where_they_make_sense() {
        let limits = |line: &str| {
            let offered = Capabilities::parse(&format!("x\n{line}"));
            (offered.transactions_max, offered.recipients_max, offered.recipient_domains_max)
        };
        assert_eq!(limits("LIMITS MAILMAX=2 rcptmax=10 RCPTDOMAINMAX=1"), (Some(2), Some(10), Some(1)));
        assert_eq!(limits("LIMITS RCPTMAX=0 MAILMAX=-1 RCPTDOMAINMAX NEW=5"), (None, None, None));
    }
}
