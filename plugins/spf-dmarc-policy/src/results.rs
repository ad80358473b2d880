//! The field `Authentication-Results` (RFC 8601 2.2), with the liberties that senders take: values with `/`, `=` and `@` in
//! them, and the DMARC policy in a comment.

/// What one field says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    /// Who says it.
    pub(crate) authserv_id: String,
    pub(crate) outcomes: Vec<Outcome>,
}

/// What was found by one method about one thing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// `spf`, `dkim`, `dmarc`, ... in lower case.
    pub(crate) method: String,
    /// `pass`, `fail`, `none`, ... in lower case.
    pub(crate) result: String,
    /// `header.from` and its like, in lower case, with their values.
    properties: Vec<(String, String)>,
    comments: Vec<String>,
}

impl Outcome {
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The DMARC policy of the domain, in lower case: a property (RFC 8601 2.7, and names in use), or `p=` in a comment.
    pub(crate) fn policy(&self) -> Option<String> {
        let names = ["policy.dmarc", "policy.published-domain-policy", "policy.p"];
        if let Some(value) = names.iter().find_map(|name| self.property(name)) {
            return Some(value.to_ascii_lowercase());
        }
        let mut words = self.comments.iter().flat_map(|comment| comment.split([' ', ',', ';', '\t']));
        words.find_map(|word| word.to_ascii_lowercase().strip_prefix("p=").map(str::to_owned))
    }
}

impl Field {
    /// Reads a value, unfolded; none when it has no authserv-id. What can not be read of it is left out.
    pub(crate) fn read(value: &str) -> Option<Field> {
        let mut clauses = clauses(value).into_iter();
        // A version may follow (RFC 8601 2.2), which nobody uses.
        let authserv_id = clauses.next()?.words.first().filter(|word| !word.contains('='))?.clone();
        Some(Field { authserv_id, outcomes: clauses.filter_map(Clause::outcome).collect() })
    }
}

/// What stands between two semicolons: words, such as `header.from=a.example`, and comments.
#[derive(Default)]
struct Clause {
    words: Vec<String>,
    comments: Vec<String>,
}

impl Clause {
    fn outcome(self) -> Option<Outcome> {
        let mut pairs = self.words.iter().filter_map(|word| word.split_once('='));
        let (method, result) = pairs.next()?;
        // The method may have a version: `dkim/1=pass`.
        let method = method.split('/').next().unwrap_or_default().to_ascii_lowercase();
        if method.is_empty() || result.is_empty() {
            return None;
        }
        let properties = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Some(Outcome { method, result: result.to_ascii_lowercase(), properties, comments: self.comments })
    }
}

fn clauses(value: &str) -> Vec<Clause> {
    let mut all = vec![Clause::default()];
    let mut word = String::new();
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted(&mut characters, &mut word),
            '(' => {
                let text = comment(&mut characters);
                if let Some(clause) = all.last_mut() {
                    clause.comments.push(text);
                }
            }
            ';' => {
                end_word(&mut all, &mut word);
                all.push(Clause::default());
            }
            character if character.is_whitespace() => {
                // White space and comments may stand around `=` (CFWS).
                while characters.next_if(|next| next.is_whitespace()).is_some() {}
                if characters.peek() != Some(&'=') && !is_waiting(&word) {
                    end_word(&mut all, &mut word);
                }
            }
            other => word.push(other),
        }
    }
    end_word(&mut all, &mut word);
    all
}

fn end_word(all: &mut [Clause], word: &mut String) {
    if let (false, Some(clause)) = (word.is_empty(), all.last_mut()) {
        clause.words.push(std::mem::take(word));
    }
}

/// True when the value of the word is still to come.
fn is_waiting(word: &str) -> bool {
    word.split_once('=').is_some_and(|(_, value)| value.is_empty())
}

/// The rest of a quoted string goes to the word as it is meant.
fn quoted(characters: &mut impl Iterator<Item = char>, word: &mut String) {
    while let Some(character) = characters.next() {
        match character {
            '"' => return,
            '\\' => word.extend(characters.next()),
            other => word.push(other),
        }
    }
}

/// The rest of a comment; comments nest.
fn comment(characters: &mut impl Iterator<Item = char>) -> String {
    let (mut text, mut depth) = (String::new(), 1_u32);
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            ')' if depth == 1 => break,
            ')' => depth -= 1,
            '(' => depth += 1,
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> (String, Vec<(String, String)>) {
        let field = Field::read(value).unwrap();
        (
            field.authserv_id,
            field.outcomes.into_iter().map(|outcome| (outcome.method, outcome.result)).collect(),
        )
    }

    fn pair(method: &str, result: &str) -> (String, String) {
        (method.to_owned(), result.to_owned())
    }

    /// RFC 8601 appendix B.
    #[test]
    fn the_examples_of_the_standard_are_read() {
        assert_eq!(read("example.org 1; none"), ("example.org".into(), vec![]));
        assert_eq!(
            read("example.com; spf=pass smtp.mailfrom=example.net"),
            ("example.com".into(), vec![pair("spf", "pass")])
        );
        assert_eq!(
            read(
                "example.com; auth=pass (cleartext) smtp.auth=sender@example.net; spf=pass smtp.mailfrom=example.net"
            ),
            ("example.com".into(), vec![pair("auth", "pass"), pair("spf", "pass")])
        );
        let long = "example.com; dkim=pass (good signature) header.d=example.com; dkim=fail (bad signature) reason=\"signature verification failed\" header.i=@newyork.example.com";
        assert_eq!(read(long).1, [pair("dkim", "pass"), pair("dkim", "fail")]);
        let odd = "foo.example.net (foobar) 1 (baz); dkim (Because I like it) / 1 (One yay) = (wait for it) fail policy (A dot can go here) . (like that) expired (this surprised me) = (as I wasn't expecting it) 1362471462";
        assert_eq!(Field::read(odd).unwrap().authserv_id, "foo.example.net");
    }

    #[test]
    fn policies_are_found_where_hosts_write_them() {
        for value in [
            "mx.google.com; dmarc=fail (p=REJECT sp=NONE dis=NONE) header.from=bank.example",
            "mail.example; dmarc=fail policy.published-domain-policy=reject header.from=bank.example",
            "mail.example; dmarc=fail (policy=x, p=reject) header.from=bank.example",
            "mail.example; dmarc = fail policy.dmarc = \"reject\" header.from = bank.example",
        ] {
            let outcome = Field::read(value).unwrap().outcomes.pop().unwrap();
            assert_eq!(
                (outcome.result.as_str(), outcome.policy().as_deref()),
                ("fail", Some("reject")),
                "{value}"
            );
            assert_eq!(outcome.property("header.from"), Some("bank.example"));
        }
        let none = Field::read("mail.example; dmarc=fail header.from=bank.example (sp=reject)").unwrap();
        assert_eq!(none.outcomes[0].policy(), None);
    }

    #[test]
    fn values_keep_what_is_in_them() {
        let field = Field::read("mx.example; dkim=pass header.b=ab/c+d== header.i=\"@a;b.example\"; spf=softfail smtp.mailfrom=<a@b.example>").unwrap();
        assert_eq!(field.outcomes[0].property("header.b"), Some("ab/c+d=="));
        assert_eq!(field.outcomes[0].property("header.i"), Some("@a;b.example"));
        assert_eq!(field.outcomes[1].result, "softfail");
    }

    #[test]
    fn what_is_broken_is_left_out() {
        assert_eq!(Field::read(""), None);
        assert_eq!(Field::read("; spf=pass"), None);
        assert_eq!(Field::read("spf=pass smtp.mailfrom=a"), None);
        assert_eq!(read("mx.example; ; spf; =; (open \"x"), ("mx.example".into(), vec![]));
        assert_eq!(read("mx.example; \"spf=pass"), ("mx.example".into(), vec![pair("spf", "pass")]));
    }
}
