//! What a `Received` field tells (RFC 5321 4.4), and addresses in texts.

use std::net::IpAddr;

use baton_sdk::net::Network;
use baton_sdk::pattern::Pattern;

/// Bits that stay of a masked address: what a provider gives to one place.
const IPV4_MASK_BITS: u8 = 24;
const IPV6_MASK_BITS: u8 = 48;

/// True when the step was between internal hosts: the client's addresses are all internal, its name is, or there was
/// no client at all (mail that a program on the machine handed in).
pub(crate) fn is_internal(value: &str, networks: &[Network], names: &[Pattern]) -> bool {
    let Some(client) = client_of(value) else { return true };
    let name = client.split_ascii_whitespace().nth(1).unwrap_or_default().trim_end_matches('.');
    if names.iter().any(|pattern| pattern.matches_domain(name)) {
        return true;
    }
    let mut addresses = words(client).filter_map(|(word, _)| word.parse::<IpAddr>().ok()).peekable();
    addresses.peek().is_some()
        && addresses.all(|address| networks.iter().any(|network| network.contains(address)))
}

/// The `from` clause, up to `by`; none when the field has no such clause.
fn client_of(value: &str) -> Option<&str> {
    let value = value.trim_start();
    if !value.get(..5)?.eq_ignore_ascii_case("from ") {
        return None;
    }
    // Programs that take local mail name a user where the client stands: "from root by host", "(from userid 0)".
    let lower = value.to_ascii_lowercase();
    let end = lower.find(" by ").unwrap_or(value.len());
    value.get(..end)
}

/// The text with each address replaced by that of its network.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for (word, rest) in words(text) {
        match word.parse::<IpAddr>() {
            Ok(address) => {
                let bits = if address.to_canonical().is_ipv4() { IPV4_MASK_BITS } else { IPV6_MASK_BITS };
                let network = Network::around(address, bits).to_string();
                masked.push_str(network.split('/').next().unwrap_or_default());
            }
            Err(_) => masked.push_str(word),
        }
        masked.push_str(rest);
    }
    masked
}

/// The text as pairs: a word that may be an address, and what stands behind it up to the next one.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // RFC 5321 4.1.3: IPv6 addresses in literals have a tag in front, which is no part of them.
        let tag = rest.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
        let end =
            if tag { 0 } else { rest.find(|character| !is_of_address(character)).unwrap_or(rest.len()) };
        let (word, behind) = rest.split_at(end);
        let gap = if tag {
            5
        } else {
            let next = |at: &usize| {
                let here = behind.get(*at..).unwrap_or_default();
                here.starts_with(is_of_address)
                    || here.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"))
            };
            behind.char_indices().map(|(at, _)| at).find(next).unwrap_or(behind.len())
        };
        let (between, after) = behind.split_at(gap);
        rest = after;
        Some((word, between))
    })
}

fn is_of_address(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | ':' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn internal(value: &str) -> bool {
        is_internal(
            value,
            &["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            &[".corp.example".parse().unwrap()],
        )
    }

    #[test]
    fn steps_are_told_apart_by_their_client() {
        for (value, expected) in [
            ("from pc7 (pc7.lan [10.1.2.3]) by mail.example with ESMTPSA id 1; date", true),
            ("from [IPv6:fd00::7] (unknown) by mail.example; date", true),
            (
                "from mx.other.example (mx.other.example [192.0.2.1]) by mail.example (8.15.2/8.15.2) with ESMTP id 1; date",
                false,
            ),
            ("from [10.1.2.3] (gateway.example [192.0.2.9]) by mail.example; date", false),
            ("by mail.example (Postfix, from userid 1000) id 7; date", true),
            ("from ex1.corp.example by ex2.corp.example with mapi id 15.20.7; date", true),
            ("from unknown.example by mail.example; date", false),
            ("from 10.1.2.3 by mail.example; date", true),
        ] {
            assert_eq!(internal(value), expected, "{value}");
        }
    }

    #[test]
    fn addresses_are_masked_and_nothing_else_is() {
        for (text, expected) in [
            (
                "from a ([192.0.2.77]) by b.example; Thu, 1 Jan 2026 10:11:12 +0000",
                "from a ([192.0.2.0]) by b.example; Thu, 1 Jan 2026 10:11:12 +0000",
            ),
            ("[IPv6:2001:db8:1:2::3]", "[IPv6:2001:db8:1::]"),
            ("2001:db8:1:2::3", "2001:db8:1::"),
            ("version 8.15.2 id 1.2", "version 8.15.2 id 1.2"),
            ("gr\u{f6}\u{df}e 192.0.2.1\u{e4}", "gr\u{f6}\u{df}e 192.0.2.0\u{e4}"),
            ("", ""),
        ] {
            assert_eq!(mask(text), expected);
        }
    }
}
