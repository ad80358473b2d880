//! The mechanisms of AUTH.

/// A SASL mechanism (RFC 4422).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 7677, bound to the TLS connection.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 4616.
    Plain,
    /// Never a standard, and everywhere.
    Login,
    /// RFC 7628.
    OauthBearer,
    /// Google's forerunner of it.
    Xoauth2,
}

impl Mechanism {
    /// All of them, in the order in which they are offered: the best ones first.
    pub const ALL: [Mechanism; 6] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::OauthBearer,
        Mechanism::Xoauth2,
    ];

    /// Its registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::OauthBearer => "OAUTHBEARER",
            Mechanism::Xoauth2 => "XOAUTH2",
        }
    }

    /// The mechanism of that name, in either case (RFC 4954 4).
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name))
    }

    fn bit(self) -> u8 {
        match self {
            Mechanism::ScramSha256Plus => 1,
            Mechanism::ScramSha256 => 2,
            Mechanism::Plain => 4,
            Mechanism::Login => 8,
            Mechanism::OauthBearer => 16,
            Mechanism::Xoauth2 => 32,
        }
    }
}

/// Some of the mechanisms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mechanisms(u8);

impl Mechanisms {
    /// None of them.
    pub const NONE: Mechanisms = Mechanisms(0);
    /// All of them.
    pub const ALL: Mechanisms = Mechanisms(63);

    /// These, and one more.
    #[must_use]
    pub fn with(self, mechanism: Mechanism) -> Mechanisms {
        Mechanisms(self.0 | mechanism.bit())
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Mechanisms) -> Mechanisms {
        Mechanisms(self.0 & other.0)
    }

    /// True when it is one of them.
    pub fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & mechanism.bit() != 0
    }

    /// True when there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order in which they are offered.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |mechanism| self.contains(*mechanism))
    }
}

impl FromIterator<Mechanism> for Mechanisms {
    fn from_iter<I: IntoIterator<Item = Mechanism>>(mechanisms: I) -> Mechanisms {
        mechanisms.into_iter().fold(Mechanisms::NONE, Mechanisms::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        assert_eq!(Mechanism::ALL.into_iter().collect::<Mechanisms>(), Mechanisms::ALL);
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(&mechanism.as_str().to_lowercase()), Some(mechanism));
            let one = Mechanisms::NONE.with(mechanism);
            assert_eq!(one.iter().collect::<Vec<_>>(), [mechanism]);
            assert!(one.and(Mechanisms::ALL) == one && one.and(Mechanisms::NONE).is_empty());
        }
        assert_eq!(Mechanism::from_name("CRAM-MD5"), None);
    }
}
