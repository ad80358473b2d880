//! A plugin that does anything: the header field `X-Dice` holds octets, in hexadecimal digits, that say what. For
//! tests with random octets, in which no message may come out malformed.

use crate::bindings::baton::relay::types::{Address, Reply};
use crate::bindings::baton::relay::{envelope, message};
use crate::{Said, reply};

/// The octets that are left.
struct Dice(Vec<u8>);

impl Dice {
    fn octet(&mut self) -> u8 {
        self.0.pop().unwrap_or(0)
    }

    fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.octet(), self.octet()])
    }

    fn octets(&mut self) -> Vec<u8> {
        let len = usize::from(self.octet() % 24);
        (0..len).map(|_| self.octet()).collect()
    }

    /// Any text, with the signs that could do harm more often than by chance.
    fn text(&mut self) -> String {
        let signs = [
            "\r\n",
            "\n",
            "\r",
            "\0",
            " ",
            ":",
            "a",
            "é",
            "\u{2028}",
            "\r\n.\r\n",
            "\t",
            "=?",
            "X-Injected: y",
        ];
        let len = usize::from(self.octet() % 8);
        (0..len)
            .map(|_| match usize::from(self.octet()) {
                octet if octet < 128 => char::from(octet as u8).to_string(),
                octet => signs[octet % signs.len()].to_owned(),
            })
            .collect()
    }

    fn name(&mut self) -> String {
        let names = ["X-A", "Subject", "Content-Type", "To", "x-long-name-that-goes-on-and-on"];
        match self.octet() {
            octet if octet < 200 => names[usize::from(octet) % names.len()].to_owned(),
            _ => self.text(),
        }
    }

    fn address(&mut self) -> Address {
        let domains = ["us.example", "zoo.example", "a..b", "[192.0.2.1]"];
        let local = if self.octet() < 200 { "lion".to_owned() } else { self.text() };
        Address { local, domain: domains[usize::from(self.octet()) % domains.len()].to_owned() }
    }
}

/// Reads the dice and does what they say.
pub(crate) fn roll() -> Said {
    let digits = message::header("X-Dice").unwrap_or_default();
    let octets = digits
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let mut dice = Dice(octets.collect());
    while !dice.0.is_empty() {
        step(&mut dice);
    }
    decide()
}

fn step(dice: &mut Dice) {
    // Most of this is refused, which is the point.
    match dice.octet() % 14 {
        0 => drop(message::add_header(&dice.name(), &dice.text())),
        1 => drop(message::insert_header(u32::from(dice.octet() % 6), &dice.name(), &dice.text())),
        2 => drop(message::set_header(&dice.name(), &dice.text())),
        3 => drop(message::remove_header(&dice.name())),
        4 | 5 => write(dice),
        6 => drop(envelope::add_recipient(&dice.address())),
        7 => drop(envelope::redirect(u32::from(dice.octet() % 3), &[dice.address(), dice.address()])),
        8 => drop(envelope::remove_recipient(u32::from(dice.octet() % 3))),
        9 => drop(envelope::set_sender(Some(&dice.address()))),
        10 => drop(envelope::set_priority(dice.octet() as i8)),
        11 => drop(envelope::tag(&dice.name(), &dice.text())),
        12 => drop(envelope::set_message_stream(&dice.text())),
        _ => drop(envelope::quarantine(&dice.text())),
    }
}

fn write(dice: &mut Dice) {
    let Ok(body) = message::replace_body() else { return };
    for _ in 0..dice.octet() % 6 {
        match dice.octet() % 4 {
            0 => drop(body.write(&dice.octets())),
            1 => drop(body.write(dice.text().as_bytes())),
            2 => drop(body.write(b"a line\r\n")),
            _ => drop(body.copy(u64::from(dice.number() % 400), u64::from(dice.octet()))),
        }
    }
    if dice.octet() < 200 {
        let _ = body.finish();
    }
}

/// The last words come from the message too: `X-Reply` is code, enhanced code and text.
fn decide() -> Said {
    let Some(words) = message::raw_header("X-Reply") else { return Said::Next };
    let code = words.get(1).map_or(0, |octet| u16::from(*octet) * 5);
    let enhanced = words.get(2).map(|octet| (octet % 8, u16::from(*octet) * 9, 1));
    let text = String::from_utf8_lossy(words.get(3..).unwrap_or_default()).replace('~', "\r\n");
    match code % 3 {
        0 => Said::Reject(Reply { code: 550 + code % 7, enhanced, text }),
        1 => Said::Tempfail(Reply { code, enhanced, text }),
        _ => Said::Reject(reply(code, &text)),
    }
}
