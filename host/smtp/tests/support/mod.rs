//! What the integration tests of this crate share.

// Each test uses its part of it.
#![allow(dead_code)]

pub(crate) mod driver;

/// Reads `"raw octets"`, optionally followed by `* count`.
pub(crate) fn raw(text: &str) -> Vec<u8> {
    let end = text.rfind('"').expect("raw octets stand in quotes");
    let inner = text.get(1..end).expect("raw octets stand in quotes");
    let times = text[end + 1..].trim().strip_prefix("* ").map_or(1, |count| count.parse().expect("a count"));
    let mut octets = Vec::new();
    let mut rest = inner.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        octets.push(match rest.next().expect("something follows a backslash") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).expect("two hexadecimal digits")
            }
            other => other,
        });
    }
    octets.repeat(times)
}

/// A small generator of random numbers: the same seed gives the same walk.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// One of `choices`.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}
