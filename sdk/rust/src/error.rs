//! How a hook says that it can not decide.

use std::fmt;

/// What hooks return: a decision, or a failure for which the operator's policy decides.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the plugin. It is logged, the edits of the call are dropped, and the operator's `on_failure` decides.
///
/// Any error type converts into it, so `?` is enough.
pub struct Error(Box<str>);

impl Error {
    /// A failure in your own words.
    pub fn new(message: impl Into<String>) -> Error {
        Error(message.into().into_boxed_str())
    }

    /// What is written to the log.
    pub fn message(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `Error` itself is deliberately no `std::error::Error`: that is what makes this conversion possible.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Error {
        Error::new(error.to_string())
    }
}

/// The relay refused an edit: it was not granted, or the value is not valid. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}
