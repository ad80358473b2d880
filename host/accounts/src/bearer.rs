//! Why a token is not taken, in the words of the mechanism that it came by.

use serde_json::json;

/// Why a token is not taken, as OAUTHBEARER tells it (RFC 7628 3.2.2).
pub(crate) fn oauthbearer_error(status: &str, scope: Option<&str>, issuer: Option<&str>) -> String {
    let mut error = serde_json::Map::from_iter([("status".to_owned(), status.into())]);
    if let Some(scope) = scope {
        error.insert("scope".to_owned(), scope.into());
    }
    if let Some(issuer) = issuer.filter(|issuer| issuer.starts_with("https://")) {
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        error.insert("openid-configuration".to_owned(), at.into());
    }
    serde_json::Value::Object(error).to_string()
}

/// Why a token is not taken, as XOAUTH2 tells it.
pub(crate) fn xoauth2_error(scope: Option<&str>) -> String {
    json!({ "status": "401", "schemes": "bearer", "scope": scope.unwrap_or_default() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_json() {
        let error = oauthbearer_error("invalid_token", Some("mail.send"), Some("https://id.example/"));
        let error: serde_json::Value = serde_json::from_str(&error).unwrap();
        assert_eq!(error["status"], "invalid_token");
        assert_eq!(error["openid-configuration"], "https://id.example/.well-known/openid-configuration");
        assert!(xoauth2_error(None).contains("\"401\""));
    }
}
