//! Regular expressions in settings (feature `regex`).

use std::sync::OnceLock;

use regex_lite::Regex;

use crate::Result;

/// An expression that is compiled when it is first needed.
///
/// Compiling costs more than most messages do, so an instance compiles only what the message at hand needs. Call
/// [`LazyRegex::check`] in [`crate::Plugin::check`], so that a mistake is found at load.
///
/// Matching takes time in proportion to text and expression, never more.
#[derive(Debug)]
pub struct LazyRegex {
    text: String,
    compiled: OnceLock<Regex>,
}

impl LazyRegex {
    /// An expression, not looked at yet.
    pub fn new(text: impl Into<String>) -> LazyRegex {
        LazyRegex { text: text.into(), compiled: OnceLock::new() }
    }

    /// Compiles it; the error says what is wrong with it.
    pub fn check(&self) -> Result<()> {
        self.compiled().map(|_| ())
    }

    /// True when the expression matches somewhere in the text. `(?i)` in front of it ignores case.
    pub fn is_match(&self, text: &str) -> Result<bool> {
        Ok(self.compiled()?.is_match(text))
    }

    fn compiled(&self) -> Result<&Regex> {
        if let Some(regex) = self.compiled.get() {
            return Ok(regex);
        }
        let regex = Regex::new(&self.text)?;
        Ok(self.compiled.get_or_init(|| regex))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_found_by_the_check() {
        assert!(LazyRegex::new("a(").check().is_err());
        let regex = LazyRegex::new("(?i)^re: ");
        assert!(regex.check().is_ok());
        assert!(regex.is_match("RE: hello").unwrap() && !regex.is_match("hello").unwrap());
    }
}
