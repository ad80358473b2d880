//! What happened to messages, recipients and sessions.

/// Something that happened. Kinds grow: ignore what you do not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// `accepted`, `rejected`, `delivered`, `deferred`, `failed`, `held`, `released`, `removed`, ...
    pub kind: String,
    /// The session's name in logs.
    pub session_id: Option<String>,
    /// The message's name, as `baton explain` takes it.
    pub message_id: Option<String>,
    /// What is known besides, such as `recipient`.
    pub fields: Vec<(String, String)>,
}

impl Event {
    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
