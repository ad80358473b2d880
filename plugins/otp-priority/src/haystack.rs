//! A text in which hundreds of words are looked for: which pairs of octets it has tells of nearly all that they are not there.

/// The bits of the set of pairs.
const BITS: usize = 4_096;

/// The text, in lower case, and the pairs of octets in it.
pub(crate) struct Haystack {
    text: String,
    pairs: [u64; BITS / 64],
}

impl Haystack {
    pub(crate) fn new(text: String) -> Haystack {
        let mut pairs = [0; BITS / 64];
        for (at, bit) in places(&text) {
            if let Some(some) = pairs.get_mut(at) {
                *some |= bit;
            }
        }
        Haystack { text, pairs }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// True when the word stands in the text: at the beginning of a word, unless the script writes no blanks.
    pub(crate) fn has(&self, word: &str) -> bool {
        let is_there = |(at, bit): (usize, u64)| self.pairs.get(at).is_some_and(|some| some & bit != 0);
        places(word).all(is_there) && stands_in(word, &self.text)
    }
}

/// Where the set has the pairs of a text. Other pairs may have the same place.
fn places(text: &str) -> impl Iterator<Item = (usize, u64)> {
    let place = |pair: &[u8]| match pair {
        [first, second] => ((usize::from(*first) << 5) ^ usize::from(*second)) % BITS,
        _ => 0,
    };
    text.as_bytes().windows(2).map(place).map(|at| (at / 64, 1 << (at % 64)))
}

fn stands_in(word: &str, text: &str) -> bool {
    let spaced = word.chars().next().is_some_and(|first| first.is_alphabetic() && (first as u32) < 0x0e00);
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        !spaced || !before.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_where_words_begin() {
        let has = |text: &str, word| Haystack::new(text.to_owned()).has(word);
        assert!(has("mushroomotp otp", "otp") && !has("mushroomotp", "otp"));
        assert!(has("您的验证码是", "验证码") && has("a", "a") && !has("", "otp"));
    }
}
