//! What one listener allows.

use baton_mail::Domain;

use super::mechanism::Mechanisms;

/// The limits and offers of a session. Every limit names its unit; [`ServerSettings::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Our own name, in the greeting and the answer to EHLO.
    pub hostname: Domain,
    /// Octets of content at most (RFC 1870); 0 means no limit.
    pub size_octets_max: u64,
    /// Recipients of one message (RFC 5321 4.5.3.1.8).
    pub recipients_max: usize,
    /// Octets of a command line, CRLF included (RFC 5321 4.5.3.1.4, with room for parameters).
    pub command_octets_max: usize,
    /// Octets of a line of an AUTH exchange, CRLF included (RFC 4954 4).
    pub auth_octets_max: usize,
    /// Mistakes of the client (syntax, order, failed AUTH) since its last message until it is cut off.
    pub errors_max: u32,
    /// NOOP, RSET, HELP, VRFY and EHLO since the last message until the client is cut off.
    pub junk_commands_max: u32,
    /// Transactions in one session.
    pub transactions_max: u32,
    /// BDAT chunks of one message.
    pub chunks_max: u32,
    /// Octets of a line of content without its CRLF; 0 means no limit. RFC 5321 4.5.3.1.6 says 998.
    pub line_octets_max: usize,
    /// What happens to content with lone CR, lone LF or NUL.
    pub bare_line_ending: BareLineEnding,
    /// Speak LMTP (RFC 2033) instead of SMTP.
    pub lmtp: bool,
    /// Offer SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// Offer CHUNKING (RFC 3030).
    pub chunking: bool,
    /// Offer BINARYMIME (RFC 3030) where CHUNKING is offered.
    pub binary_mime: bool,
    /// Offer DSN (RFC 3461).
    pub dsn: bool,
    /// Offer REQUIRETLS (RFC 8689): only under TLS.
    pub require_tls: bool,
    /// Offer MT-PRIORITY (RFC 6710).
    pub priority: bool,
    /// Offer DELIVERBY (RFC 2852).
    pub deliver_by: bool,
    /// Seconds that a message may be held at most; above 0 FUTURERELEASE is offered (RFC 4865), which is for submission.
    pub hold_s_max: u32,
    /// Tell the limits on recipients and transactions (LIMITS, RFC 9422).
    pub limits: bool,
    /// Which AUTH mechanisms to offer (RFC 4954).
    pub auth: AuthOffer,
    /// Offer STARTTLS (RFC 3207).
    pub starttls: StartTls,
    /// What VRFY and EXPN are told.
    pub vrfy: Vrfy,
    /// Offer PIPELINING (RFC 2920).
    pub pipelining: bool,
}

impl ServerSettings {
    /// The defaults of a relay of that name.
    pub fn new(hostname: Domain) -> ServerSettings {
        ServerSettings {
            hostname,
            size_octets_max: 50 * 1024 * 1024,
            recipients_max: 1_000,
            command_octets_max: 2_048,
            auth_octets_max: 12_288,
            errors_max: 20,
            junk_commands_max: 100,
            transactions_max: 1_000,
            chunks_max: 10_000,
            line_octets_max: 0,
            bare_line_ending: BareLineEnding::Refuse,
            lmtp: false,
            smtputf8: true,
            chunking: true,
            binary_mime: true,
            dsn: true,
            require_tls: false,
            priority: true,
            deliver_by: true,
            hold_s_max: 0,
            limits: true,
            auth: AuthOffer::None,
            starttls: StartTls::None,
            vrfy: Vrfy::Silent,
            pipelining: true,
        }
    }
}

/// What happens to content with lone CR, lone LF or NUL (RFC 5321 2.3.8). Neither choice ever ends a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareLineEnding {
    /// The message is read to its end and refused with 550.
    #[default]
    Refuse,
    /// Lone CR and LF become CRLF, NUL becomes a space.
    Repair,
}

/// What clients learn who ask about a mailbox without mail for it (RFC 5321 3.5, 7.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vrfy {
    /// Neither VRFY nor EXPN is known here: 502.
    Off,
    /// VRFY is answered with 252, which tells nothing; EXPN is not known.
    #[default]
    Silent,
    /// The driver is asked.
    Ask,
}

/// The AUTH mechanisms of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthOffer {
    /// AUTH is not known here.
    #[default]
    None,
    /// AUTH is known, but not before the connection is protected (RFC 4954 4).
    AfterTls,
    /// These mechanisms, of which there is at least one.
    Offered(Mechanisms),
}

impl AuthOffer {
    /// The mechanisms that are offered now.
    pub(super) fn mechanisms(self) -> Mechanisms {
        match self {
            AuthOffer::Offered(mechanisms) => mechanisms,
            AuthOffer::None | AuthOffer::AfterTls => Mechanisms::NONE,
        }
    }
}

/// Whether clients may, or must, protect the connection (RFC 3207).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// STARTTLS is not known here.
    #[default]
    None,
    /// Clients may.
    Offered,
    /// No mail and no credentials before it (RFC 3207 4).
    Required,
}
