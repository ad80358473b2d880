//! What is wrong with the settings: the key, the value, the reason, the remedy.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The key path, such as `listeners.submission.address`; empty when it is the file as a whole.
    pub(crate) key: String,
    /// The line in the file, when it stands there.
    pub(crate) line: Option<usize>,
    /// The value as it was given.
    pub(crate) value: Option<String>,
    /// Why it can not be used.
    pub(crate) reason: String,
    /// What to write instead.
    pub(crate) remedy: String,
}

impl Problem {
    pub(crate) fn new(
        key: &str,
        value: Option<String>,
        reason: impl fmt::Display,
        remedy: impl fmt::Display,
    ) -> Problem {
        Problem {
            key: key.to_owned(),
            line: None,
            value,
            reason: reason.to_string(),
            remedy: remedy.to_string(),
        }
    }

    /// All but the key: what an interface shows beside it.
    pub(crate) fn message(&self) -> String {
        let line = self.line.map(|line| format!(" (line {line})")).unwrap_or_default();
        match &self.value {
            Some(value) => format!("`{value}`: {}; {}{line}", self.reason, self.remedy),
            None => format!("{}; {}{line}", self.reason, self.remedy),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.message())
    }
}

/// All that is wrong, in the order it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one more.
    pub(crate) fn push(
        &mut self,
        key: &str,
        value: Option<String>,
        reason: impl fmt::Display,
        remedy: impl fmt::Display,
    ) {
        self.0.push(Problem::new(key, value, reason, remedy));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many, in words.
    pub(crate) fn count(&self) -> String {
        if self.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", self.len()) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Gives every problem the line of its key, found by `line_of`, and puts them in the order of the file.
    pub(crate) fn locate(mut self, line_of: impl Fn(&str) -> usize) -> Problems {
        for problem in &mut self.0 {
            problem.line = problem.line.or_else(|| Some(line_of(&problem.key)));
        }
        self.0.sort_by_key(|problem| problem.line);
        self
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Problems {
        Problems(problems.into_iter().collect())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
