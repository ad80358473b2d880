//! From the text of a case file to cases, or to everything that is wrong with it.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::format::RawStep;
use super::scene::Scene;
use super::{Case, Step};
use crate::Hook;

/// Something wrong in a case file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseProblem {
    /// The case's name, or its number when it has none; none when it is about the file.
    pub case: Option<String>,
    /// The key below the case.
    pub key: String,
    /// What is wrong, and what to write.
    pub message: String,
}

/// All that is wrong with a case file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}", lines(problems))]
pub struct InvalidCases {
    /// The file.
    pub file: String,
    /// At least one.
    pub problems: Vec<CaseProblem>,
}

fn lines(problems: &[CaseProblem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

impl fmt::Display for CaseProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(case) = &self.case {
            write!(formatter, "case \"{case}\": ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.message)
    }
}

/// The file as it stands: its own settings, and its cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    config: Value,
    #[serde(default, rename = "case")]
    cases: Vec<Value>,
}

/// Reads a case file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_file(path: &Path) -> Result<Vec<Case>, InvalidCases> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| of_file(&file, &error))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let value = toml::from_str(&text).map_err(|error| of_file(&file, &error))?;
    read_value(&file, value, Some(folder))
}

/// Reads cases that are JSON already, as an artefact carries them. `folder` is where messages are looked for; without
/// one they must be inline.
///
/// # Errors
/// Everything that is wrong with them.
pub fn read_value(file: &str, value: Value, folder: Option<&Path>) -> Result<Vec<Case>, InvalidCases> {
    let raw: RawFile = serde_path_to_error::deserialize(value).map_err(|error| of_file(file, &error))?;
    let mut reader = Reader { folder, case: String::new(), problems: Vec::new() };
    if raw.cases.is_empty() {
        reader.problem("case", "there is none; write [[case]] with name, hook and expect");
    }
    let mut names = HashSet::new();
    let cases: Vec<Case> = raw
        .cases
        .into_iter()
        .enumerate()
        .map(|(index, case)| reader.case(index, case, &raw.config))
        .collect();
    for case in &cases {
        if !names.insert(&case.name) {
            reader.case = case.name.clone();
            reader.problem("name", "there are two cases of that name; rename one");
        }
    }
    if reader.problems.is_empty() {
        Ok(cases)
    } else {
        Err(InvalidCases { file: file.to_owned(), problems: reader.problems })
    }
}

/// Puts the messages of a case file's value into it, so that it stands on its own.
///
/// # Errors
/// A message that can not be read.
pub fn inline_messages(file: &str, value: &mut Value, folder: &Path) -> Result<(), InvalidCases> {
    let cases =
        value.get_mut("case").and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default();
    for case in cases {
        inline_message(file, case, folder)?;
        let steps = case.get_mut("step").and_then(Value::as_array_mut);
        for step in steps.map(Vec::as_mut_slice).unwrap_or_default() {
            inline_message(file, step, folder)?;
        }
    }
    Ok(())
}

fn inline_message(file: &str, call: &mut Value, folder: &Path) -> Result<(), InvalidCases> {
    let Some(call) = call.as_object_mut() else { return Ok(()) };
    let Some(name) = call.get("message").and_then(Value::as_str) else { return Ok(()) };
    let path = folder.join(name);
    let text =
        std::fs::read(&path).map_err(|error| of_file(file, &format!("{}: {error}", path.display())))?;
    let text = String::from_utf8(text)
        .map_err(|_| of_file(file, &format!("{}: only UTF-8 can be carried in a plugin", path.display())))?;
    call.remove("message");
    call.insert("message_text".to_owned(), Value::String(text));
    Ok(())
}

fn of_file(file: &str, error: &dyn fmt::Display) -> InvalidCases {
    let problem = CaseProblem { case: None, key: String::new(), message: error.to_string() };
    InvalidCases { file: file.to_owned(), problems: vec![problem] }
}

/// Collects what is wrong while it reads.
pub(super) struct Reader<'a> {
    pub(super) folder: Option<&'a Path>,
    case: String,
    problems: Vec<CaseProblem>,
}

impl Reader<'_> {
    /// Notes a problem of the case at hand.
    pub(super) fn problem(&mut self, key: &str, message: impl fmt::Display) {
        let case = Some(self.case.clone()).filter(|case| !case.is_empty());
        self.problems.push(CaseProblem { case, key: key.to_owned(), message: message.to_string() });
    }

    /// The value, or none with a note.
    pub(super) fn ok<T, E: fmt::Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.problem(key, error)).ok()
    }

    fn case(&mut self, index: usize, case: Value, config: &Value) -> Case {
        let name = case.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.case = if name.is_empty() { format!("#{}", index + 1) } else { name };
        if case.get("name").is_none() {
            self.problem("name", "is missing");
        }
        let mut base = case.as_object().cloned().unwrap_or_default();
        let steps = base.remove("step").unwrap_or_else(|| Value::Array(Vec::new()));
        let mut values = vec![base.clone()];
        base.remove("expect");
        base.remove("advance_ms");
        // The world goes on as it is; a step adds to it.
        for world in ["dns", "kv", "http", "verify"] {
            base.remove(world);
        }
        match steps {
            Value::Array(steps) => values.extend(steps.iter().map(|step| over(&base, step))),
            _ => self.problem("step", "write each step as [[case.step]]"),
        }
        let steps = values.into_iter().enumerate();
        let steps = steps.filter_map(|(index, value)| self.step(index, value, config)).collect();
        Case { name: self.case.clone(), steps }
    }

    fn step(&mut self, index: usize, value: Map<String, Value>, config: &Value) -> Option<Step> {
        let at = |key: &str| if index == 0 { key.to_owned() } else { format!("step[{}].{key}", index - 1) };
        let raw: RawStep = match serde_path_to_error::deserialize(Value::Object(value)) {
            Ok(raw) => raw,
            Err(error) => {
                let key = at(&error.path().to_string());
                self.problem(&key, error.into_inner());
                return None;
            }
        };
        let mut own = if config.is_null() { Value::Object(Map::new()) } else { config.clone() };
        if !raw.config.is_null() {
            merge(&mut own, &raw.config);
        }
        let before = self.problems.len();
        let point = self.point(&raw.hook);
        if raw.expect == super::Expect::default() {
            self.problem("expect", "says nothing; name at least the decision");
        }
        let (grants, expect, advance_ms) = (raw.grants.clone(), raw.expect.clone(), raw.advance_ms);
        let scene = Scene::read(self, point.unwrap_or_default(), raw);
        for problem in self.problems.iter_mut().skip(before) {
            problem.key = at(&problem.key);
        }
        Some(Step { hook: point?, config: own, grants, advance_ms, scene: scene?, expect })
    }

    /// The hook; `Some(None)` is init.
    fn point(&mut self, name: &str) -> Option<Option<Hook>> {
        if name == "init" {
            return Some(None);
        }
        let hook = Hook::from_name(name);
        if hook.is_none() {
            let names = Hook::ALL.map(Hook::as_str).join(", ");
            self.problem("hook", format!("`{name}` is no hook; write one of init, {names}"));
        }
        hook.map(Some)
    }
}

/// A step laid over its case.
fn over(base: &Map<String, Value>, step: &Value) -> Map<String, Value> {
    let mut value = Value::Object(base.clone());
    merge(&mut value, step);
    match value {
        Value::Object(value) => value,
        _ => Map::new(),
    }
}

/// Puts `over` on `base`: tables key by key, all else is replaced.
pub(super) fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
