//! What the service answers.

use baton_sdk::prelude::*;

/// The whole answer; without one the client goes on.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Answer {
    pub(crate) action: Action,
    response: Option<SmtpResponse>,
    #[serde(default)]
    pub(crate) modifications: Vec<Modification>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    #[default]
    Accept,
    Discard,
    Reject,
    Quarantine,
}

/// What the client is to be told. Services in use write some keys in either of two ways.
#[derive(Debug, Default, Deserialize)]
struct SmtpResponse {
    status: Option<u16>,
    #[serde(alias = "enhancedStatus")]
    enhanced_status: Option<String>,
    message: Option<String>,
    #[serde(default)]
    disconnect: bool,
}

/// A change to the message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Modification {
    ChangeFrom {
        value: String,
    },
    #[serde(alias = "addRcpt")]
    AddRecipient {
        value: String,
    },
    #[serde(alias = "deleteRcpt")]
    DeleteRecipient {
        value: String,
    },
    ReplaceContents {
        value: String,
    },
    AddHeader {
        name: String,
        value: String,
    },
    InsertHeader {
        index: u32,
        name: String,
        value: String,
    },
    ChangeHeader {
        index: u32,
        name: String,
        value: String,
    },
    DeleteHeader {
        index: u32,
        name: String,
    },
}

impl Answer {
    pub(crate) fn disconnects(&self) -> bool {
        self.response.as_ref().is_some_and(|response| response.disconnect)
    }

    /// The negative reply; 550 5.7.1 where the answer has none that fits.
    pub(crate) fn refusal(&self) -> Reply {
        let given = self.response.as_ref();
        let code = given
            .and_then(|response| response.status)
            .filter(|code| (400..=599).contains(code))
            .unwrap_or(550);
        let class = if code < 500 { "4.7.1" } else { "5.7.1" };
        let enhanced = given.and_then(|response| response.enhanced_status.as_deref()).unwrap_or(class);
        let plain = |enhanced| Reply::new(code, enhanced, self.reason());
        plain(enhanced).or_else(|_| plain(class)).unwrap_or(Reply {
            code,
            enhanced: None,
            text: self.reason().to_owned(),
        })
    }

    /// The reply that ends a session: 421 or 521 (RFC 5321 3.8, RFC 7504).
    pub(crate) fn farewell(&self) -> Reply {
        let refusal = self.refusal();
        Reply { code: if refusal.is_transient() { 421 } else { 521 }, ..refusal }
    }

    /// The words, for clients and operators.
    pub(crate) fn reason(&self) -> &str {
        let text = self.response.as_ref().and_then(|response| response.message.as_deref());
        text.filter(|text| !text.is_empty()).unwrap_or("refused by policy")
    }
}
