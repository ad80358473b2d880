//! Takes secrets out of what is written down.

use memchr::memmem;
use serde_json::Value;

use crate::secrets::Secrets;

/// What stands for a secret, in records and when they are replayed.
pub(crate) const SECRET: &str = "replayed";

/// The secrets of a plugin, to be found in text and octets.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    /// As they are and as they are quoted, the longest first, so that none hides in another one.
    secrets: Vec<String>,
}

impl Mask {
    /// Masks these.
    pub(crate) fn of(secrets: &Secrets) -> Mask {
        let mut all = Vec::new();
        for secret in secrets.values() {
            let plain = secret.reveal().to_owned();
            all.push(plain.escape_debug().to_string());
            all.push(Value::from(plain.as_str()).to_string().trim_matches('"').to_owned());
            all.push(plain);
        }
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.dedup();
        Mask { secrets: all }
    }

    /// The text without them.
    pub(crate) fn text(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| text.replace(secret.as_str(), SECRET))
    }

    /// The octets without them.
    pub(crate) fn octets(&self, octets: &[u8]) -> Vec<u8> {
        self.secrets.iter().fold(octets.to_vec(), |octets, secret| without(octets, secret.as_bytes()))
    }

    /// The value without them: in its texts, in the names of its members, in octets that are lists of numbers.
    pub(crate) fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => match octets_of(&items) {
                Some(octets) => self.octets(&octets).into(),
                None => items.into_iter().map(|item| self.value(item)).collect(),
            },
            Value::Object(members) => {
                members.into_iter().map(|(name, value)| (self.text(name), self.value(value))).collect()
            }
            other => other,
        }
    }
}

fn without(octets: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(octets.len());
    let mut from = 0;
    for at in memmem::find_iter(&octets, secret) {
        kept.extend_from_slice(octets.get(from..at).unwrap_or_default());
        kept.extend_from_slice(SECRET.as_bytes());
        from = at + secret.len();
    }
    if from == 0 {
        return octets;
    }
    kept.extend_from_slice(octets.get(from..).unwrap_or_default());
    kept
}

fn octets_of(items: &[Value]) -> Option<Vec<u8>> {
    items.iter().map(|item| item.as_u64().and_then(|number| u8::try_from(number).ok())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::SecretSource;

    #[test]
    fn secrets_are_found_wherever_they_are() {
        let sources = [("token".to_owned(), SecretSource::MadeUp("s3cr\"et".to_owned()))].into();
        let mask = Mask::of(&crate::secrets::read(&sources, &["token".to_owned()]).unwrap());
        assert_eq!(mask.text("GET /?k=s3cr\"et HTTP".to_owned()), "GET /?k=replayed HTTP");
        assert_eq!(mask.text(format!("{:?}", "a s3cr\"et")), "\"a replayed\"");
        assert_eq!(mask.octets(b"s3cr\"ets3cr\"et."), b"replayedreplayed.");
        let value = json!({ "s3cr\"et": ["s3cr\"et", 7, b"x s3cr\"et".to_vec()] });
        assert_eq!(mask.value(value), json!({ "replayed": ["replayed", 7, b"x replayed".to_vec()] }));
        assert_eq!(mask.value(json!([1, 2, 300])), json!([1, 2, 300]));
    }
}
