//! XCLIENT (<https://www.postfix.org/XCLIENT_README.html>): a client that is trusted tells for whom it speaks. The
//! session begins anew, as if that client had connected.
//!
//! Invariant: only who was offered it is heard, and no value holds a control character once it is decoded.

use std::net::{IpAddr, Ipv6Addr};

use baton_mail::text::is_unsafe;
use baton_mail::{Domain, xtext};

use super::question::Question;
use super::reply::Say;
use super::session::Turn;
use super::state::State;
use super::verdict::Pending;

/// What a trusted client says of the one for whom it speaks; what it leaves out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XClient {
    /// The client's name in the DNS.
    pub name: Option<Told<Domain>>,
    /// The client's address.
    pub address: Option<Told<IpAddr>>,
    /// The client's port.
    pub port: Option<Told<u16>>,
    /// `SMTP` or `ESMTP`: what the client speaks; it says so again by HELO or EHLO.
    pub protocol: Option<Told<String>>,
    /// What the client called itself, until it does so again.
    pub helo: Option<Told<String>>,
    /// The account that the client authenticated as.
    pub login: Option<Told<String>>,
    /// The address that the client connected to.
    pub server_address: Option<Told<IpAddr>>,
    /// The port that the client connected to.
    pub server_port: Option<Told<u16>>,
}

/// What a trusted client says of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<T> {
    /// This it is.
    Is(T),
    /// There is none.
    Unavailable,
    /// There is none just now, such as for want of an answer of the DNS.
    Temporarily,
}

impl<T> Told<T> {
    /// The value, where there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Told::Is(value) => Some(value),
            Told::Unavailable | Told::Temporarily => None,
        }
    }
}

/// XCLIENT: anywhere but inside a transaction.
pub(super) fn handle(state: State, arguments: &str, turn: &mut Turn<'_>) -> State {
    match check_xclient(&state, arguments, turn) {
        Ok(told) => {
            let account = told.login.clone().and_then(Told::value).map(Into::into);
            State::ToAsk(Question::XClient(Box::new(told)), Pending::XClient { account })
        }
        Err(say) => {
            turn.fault(say);
            state
        }
    }
}

fn check_xclient(state: &State, arguments: &str, turn: &Turn<'_>) -> Result<XClient, Say> {
    if !turn.session.offers_xclient {
        return Err(Say::NotTrusted);
    }
    if state.has_transaction() {
        return Err(Say::InsideTransaction);
    }
    parse(arguments).ok_or(Say::BadArguments)
}

/// `NAME=VALUE` pairs, the values in `xtext` (RFC 3461 4); none when anything is not as it should be.
fn parse(arguments: &str) -> Option<XClient> {
    let mut told = XClient::default();
    let mut count = 0;
    for pair in arguments.split(' ').filter(|pair| !pair.is_empty()) {
        let (attribute, value) = pair.split_once('=')?;
        let value = xtext::decode(value).filter(|text| !text.chars().any(is_unsafe))?;
        match attribute.to_ascii_uppercase().as_str() {
            "NAME" => told.name = Some(read(&value, |text| text.parse().ok())?),
            "ADDR" => told.address = Some(read(&value, parse_address)?),
            "PORT" => told.port = Some(read(&value, parse_port)?),
            "PROTO" => told.protocol = Some(read(&value, parse_protocol)?),
            "HELO" => told.helo = Some(read(&value, parse_word)?),
            "LOGIN" => told.login = Some(read(&value, parse_word)?),
            "DESTADDR" => told.server_address = Some(read(&value, parse_address)?),
            "DESTPORT" => told.server_port = Some(read(&value, parse_port)?),
            _ => return None,
        }
        count += 1;
    }
    (count > 0).then_some(told)
}

fn read<T>(value: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Told<T>> {
    if value.eq_ignore_ascii_case("[UNAVAILABLE]") {
        Some(Told::Unavailable)
    } else if value.eq_ignore_ascii_case("[TEMPUNAVAIL]") {
        Some(Told::Temporarily)
    } else {
        parse(value).map(Told::Is)
    }
}

/// An IPv4 address as it is, an IPv6 address behind `IPV6:`.
fn parse_address(text: &str) -> Option<IpAddr> {
    match text.split_at_checked(IPV6.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(IPV6) => {
            rest.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => text.parse().ok().filter(IpAddr::is_ipv4),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn parse_protocol(text: &str) -> Option<String> {
    ["SMTP", "ESMTP"].iter().find(|known| text.eq_ignore_ascii_case(known)).map(|known| (*known).to_owned())
}

fn parse_word(text: &str) -> Option<String> {
    let is_plain = |character: char| character != ' ' && !is_unsafe(character);
    let fits = !text.is_empty() && text.len() <= WORD_OCTETS_MAX && text.chars().all(is_plain);
    fits.then(|| text.to_owned())
}

/// What stands before an IPv6 address.
const IPV6: &str = "IPV6:";
/// Octets of HELO and LOGIN, as of the name in EHLO.
const WORD_OCTETS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_attributes_are_read() {
        let told = parse(
            "NAME=spike.porcupine.org ADDR=168.100.189.2 port=40000 PROTO=esmtp HELO=spike LOGIN=a+2Bb@x.example \
             DESTADDR=IPV6:2001:db8::2 DESTPORT=25",
        )
        .unwrap();
        assert_eq!(told.name, Some(Told::Is("spike.porcupine.org".parse().unwrap())));
        assert_eq!(told.address, Some(Told::Is([168, 100, 189, 2].into())));
        assert_eq!((told.port, told.server_port), (Some(Told::Is(40_000)), Some(Told::Is(25))));
        assert_eq!(told.protocol, Some(Told::Is("ESMTP".to_owned())));
        assert_eq!(told.helo, Some(Told::Is("spike".to_owned())));
        assert_eq!(told.login, Some(Told::Is("a+b@x.example".to_owned())));
        assert_eq!(told.server_address, Some(Told::Is("2001:db8::2".parse().unwrap())));
        let absent = parse("NAME=[UNAVAILABLE] ADDR=[tempunavail] LOGIN=[UNAVAILABLE]").unwrap();
        assert_eq!((absent.name, absent.address), (Some(Told::Unavailable), Some(Told::Temporarily)));
        assert_eq!((absent.login, absent.port), (Some(Told::Unavailable), None));
    }

    /// A1, A20.
    #[test]
    fn what_is_malformed_is_refused_as_a_whole() {
        for bad in [
            "",
            " ",
            "NAME",
            "NAME=",
            "NAME=a+0D+0AX",
            "NAME=a b=c",
            "FOO=bar",
            "ADDR=2001:db8::1",
            "ADDR=IPV6:192.0.2.1",
            "ADDR=192.0.2",
            "ADDR=192.0.2.1 ADDR",
            "PORT=65536",
            "PORT=+2B1",
            "PORT=-1",
            "PORT=",
            "PROTO=LMTP",
            "HELO=",
            "HELO=a+20b",
            "HELO=a+0A",
            "LOGIN=a+00",
            "LOGIN=a+7Fb",
            "LOGIN=a+4",
            "LOGIN=a+zz",
            "LOGIN=+FF",
            "DESTPORT=x",
            "DESTADDR=IPV6:",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        assert_eq!(parse(&format!("LOGIN={}", "x".repeat(256))), None);
    }
}
