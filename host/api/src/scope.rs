//! Whose mail a request may see and change.
//!
//! Invariant: what lies outside a scope is as if it were not there; nothing tells whether it is.

use crate::Problem;

/// The part of the relay that a request is about. The admin socket's is all of it; a token's is what it was given for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// One tenant only.
    pub tenant: Option<String>,
    /// One stream of it only.
    pub stream: Option<String>,
}

impl Scope {
    /// All of the relay.
    pub fn everything() -> Scope {
        Scope::default()
    }

    /// The tenant that is meant, when the request names this one or none.
    ///
    /// # Errors
    /// When it is another one than the scope's.
    pub fn tenant(&self, asked: Option<String>) -> Result<Option<String>, Problem> {
        narrow("tenant", self.tenant.as_ref(), asked)
    }

    /// The stream that is meant, likewise.
    ///
    /// # Errors
    /// When it is another one than the scope's.
    pub fn stream(&self, asked: Option<String>) -> Result<Option<String>, Problem> {
        narrow("stream", self.stream.as_ref(), asked)
    }

    /// The tenant that is meant where there must be one.
    ///
    /// # Errors
    /// When none is named, or another one than the scope's.
    pub fn one_tenant(&self, asked: Option<String>) -> Result<String, Problem> {
        self.tenant(asked)?.ok_or_else(|| Problem::field("tenant", "is missing: name the tenant"))
    }
}

fn narrow(field: &str, own: Option<&String>, asked: Option<String>) -> Result<Option<String>, Problem> {
    match (own, asked) {
        (Some(own), Some(asked)) if *own != asked => {
            Err(Problem::forbidden(format!("this token is for another {field}")))
        }
        (Some(own), _) => Ok(Some(own.clone())),
        (None, asked) => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_never_left() {
        let scope = Scope { tenant: Some("acme".to_owned()), stream: None };
        assert_eq!(scope.tenant(None).unwrap().as_deref(), Some("acme"));
        assert_eq!(scope.one_tenant(Some("acme".to_owned())).unwrap(), "acme");
        assert_eq!(scope.tenant(Some("bolt".to_owned())).unwrap_err().status, 403);
        assert_eq!(scope.stream(Some("news".to_owned())).unwrap().as_deref(), Some("news"));
        let all = Scope::everything();
        assert_eq!(all.tenant(Some("bolt".to_owned())).unwrap().as_deref(), Some("bolt"));
        assert_eq!(all.one_tenant(None).unwrap_err().errors[0].field, "tenant");
    }
}
