//! How clients send tokens: OAUTHBEARER (RFC 7628) and XOAUTH2, its forerunner.

use baton_mail::text::is_unsafe;

use super::name::unescape;

/// Octets of a token at most.
const TOKEN_OCTETS_MAX: usize = 8_192;

/// What a client sends.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Whom it wants to be; none leaves that to the token.
    pub user: Option<String>,
    /// The token.
    pub token: String,
}

impl Bearer {
    /// Reads the message of OAUTHBEARER: `n,a=user,` and fields with `^A` behind each (RFC 7628 3.1).
    pub fn read_oauthbearer(message: &[u8]) -> Option<Bearer> {
        let text = std::str::from_utf8(message).ok()?;
        let (header, fields) = text.split_once('\x01')?;
        let (flag, rest) = header.split_once(',')?;
        let authority = rest.strip_suffix(',')?;
        // Nothing is bound to the connection here.
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let user = match authority.strip_prefix("a=") {
            Some(name) => {
                Some(unescape(name).filter(|name| !name.is_empty() && !name.chars().any(is_unsafe))?)
            }
            None if authority.is_empty() => None,
            None => return None,
        };
        Some(Bearer { user, token: read_token(fields)? })
    }

    /// Reads the message of XOAUTH2: `user=` and `auth=Bearer` with `^A` behind each.
    pub fn read_xoauth2(message: &[u8]) -> Option<Bearer> {
        let text = std::str::from_utf8(message).ok()?;
        let (user, fields) = text.strip_prefix("user=")?.split_once('\x01')?;
        let is_name = !user.is_empty() && !user.chars().any(is_unsafe);
        is_name.then_some(())?;
        Some(Bearer { user: Some(user.to_owned()), token: read_token(fields)? })
    }
}

/// The token among `key=value^A` fields, which end with one more `^A`.
fn read_token(fields: &str) -> Option<String> {
    let fields = fields.strip_suffix("\x01\x01")?;
    let mut token = None;
    for field in fields.split('\x01') {
        let (key, value) = field.split_once('=')?;
        if key.is_empty() || !key.chars().all(|letter| letter.is_ascii_alphabetic()) {
            return None;
        }
        if key == "auth" && token.replace(value).is_some() {
            return None;
        }
    }
    // RFC 6750 2.1; the scheme in either case (RFC 9110 11.1).
    let (scheme, token) = token?.split_once(' ')?;
    let is_token = scheme.eq_ignore_ascii_case("bearer")
        && (1..=TOKEN_OCTETS_MAX).contains(&token.len())
        && token.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(&octet));
    is_token.then(|| token.to_owned())
}

impl std::fmt::Debug for Bearer {
    /// Nothing that a log may not have.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Bearer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_7628_and_of_google() {
        let message = "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
            auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let bearer = Bearer::read_oauthbearer(message.as_bytes()).unwrap();
        assert_eq!(bearer.user.as_deref(), Some("user@example.com"));
        assert_eq!(bearer.token, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        let bearer = Bearer::read_oauthbearer(b"n,,\x01auth=bearer abc\x01\x01").unwrap();
        assert_eq!((bearer.user, bearer.token.as_str()), (None, "abc"));
        let message =
            b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01";
        let bearer = Bearer::read_xoauth2(message).unwrap();
        assert_eq!(bearer.user.as_deref(), Some("someuser@example.com"));
        assert!(bearer.token.starts_with("ya29.") && format!("{bearer:?}") == "Bearer { .. }");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in [
            "",
            "n,,",
            "n,,\x01",
            "n,,\x01\x01",
            "n,,\x01auth=Bearer abc\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Basic abc\x01\x01",
            "n,,\x01auth=Bearer a b\x01\x01",
            "n,,\x01auth=Bearer abc\x01auth=Bearer def\x01\x01",
            "n,,\x01host\x01auth=Bearer abc\x01\x01",
            "n,,\x01ho st=x\x01auth=Bearer abc\x01\x01",
            "p=tls-exporter,,\x01auth=Bearer abc\x01\x01",
            "n,user,\x01auth=Bearer abc\x01\x01",
            "n,a=,\x01auth=Bearer abc\x01\x01",
            "n,a=x=2,\x01auth=Bearer abc\x01\x01",
            "n,a=x\n,\x01auth=Bearer abc\x01\x01",
        ] {
            assert_eq!(Bearer::read_oauthbearer(bad.as_bytes()), None, "{bad:?}");
        }
        for bad in ["", "user=\x01auth=Bearer abc\x01\x01", "user=a\x01\x01\x01", "auth=Bearer abc\x01\x01"] {
            assert_eq!(Bearer::read_xoauth2(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Bearer::read_oauthbearer(b"n,,\x01auth=Bearer \xff\x01\x01"), None);
    }
}
