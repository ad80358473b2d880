//! What went wrong in a script, with its place.

use rquickjs::{Object, Value};

use crate::Misplaced;

/// The name of the prelude in stacks; its frames are not the author's.
pub(crate) const PRELUDE: &str = "baton:prelude";
/// What the prelude calls the error for an answer that is no decision.
const BAD_DECISION: &str = "BadDecision";
/// What the prelude calls the error for a setting that is wrong.
const CONFIG_ERROR: &str = "ConfigError";
/// Frames of a stack that are told.
const FRAMES_MAX: usize = 8;

/// An exception of the script.
pub(crate) struct Fault {
    /// `TypeError: cannot read property 'x' of undefined`
    pub(crate) words: String,
    /// The author's frames, the innermost first: function, file, line, column.
    frames: Vec<Frame>,
    pub(crate) is_bad_decision: bool,
    /// What a `ConfigError` is about.
    setting: Option<String>,
}

struct Frame {
    function: String,
    place: String,
    line: u32,
    column: u32,
}

impl Fault {
    /// A fault that stands nowhere in the script.
    pub(crate) fn without_place(words: String) -> Fault {
        Fault { words, frames: Vec::new(), is_bad_decision: false, setting: None }
    }

    /// Reads what was thrown.
    pub(crate) fn of(thrown: &Value<'_>) -> Fault {
        let Some(error) = thrown.as_object().filter(|object| object.is_error()) else {
            let shown = thrown.ctx().json_stringify(thrown.clone()).ok().flatten();
            let shown = shown.and_then(|text| text.to_string().ok());
            let shown = shown.as_deref().unwrap_or("something");
            return Fault::without_place(format!("threw {shown}, which is no Error"));
        };
        let (name, message) = (property(error, "name"), property(error, "message"));
        let stack = property(error, "stack");
        Fault {
            is_bad_decision: name == BAD_DECISION,
            setting: error
                .get::<_, Option<String>>("setting")
                .ok()
                .flatten()
                .filter(|_| name == CONFIG_ERROR),
            words: if [BAD_DECISION, CONFIG_ERROR].contains(&name.as_str()) {
                message
            } else {
                format!("{name}: {message}")
            },
            frames: stack.lines().filter_map(frame).take(FRAMES_MAX).collect(),
        }
    }

    /// `policy/x.js:3:9: TypeError: … (at check policy/x.js:3:9, at onRcpt policy/x.js:8:10)`
    pub(crate) fn told(&self, file: &str) -> String {
        let stack: Vec<String> = self
            .frames
            .iter()
            .map(|frame| format!("at {} {}:{}:{}", frame.function, frame.place, frame.line, frame.column))
            .collect();
        match self.frames.first() {
            None => format!("{file}: {}", self.words),
            Some(Frame { place, line, column, .. }) => {
                format!("{place}:{line}:{column}: {} ({})", self.words, stack.join(", "))
            }
        }
    }

    /// For a script that does not load.
    pub(crate) fn into_problem(self) -> Misplaced {
        let (line, column) = self.frames.first().map_or((0, 0), |frame| (frame.line, frame.column));
        Misplaced { line, column, message: self.words, setting: self.setting }
    }
}

/// Line and column in front of the words, as far as they are known.
pub(crate) fn placed(problem: &Misplaced) -> String {
    match problem.line {
        0 => problem.message.clone(),
        line => format!("{line}:{}: {}", problem.column, problem.message),
    }
}

fn property(error: &Object<'_>, name: &str) -> String {
    error.get::<_, Option<String>>(name).ok().flatten().unwrap_or_default()
}

/// One line of a stack, `    at onRcpt (policy/x.js:3:9)` or `    at policy/x.js:3:9`; none when it is not the author's.
fn frame(line: &str) -> Option<Frame> {
    let line = line.trim().strip_prefix("at ")?;
    let (function, place) = match line.strip_suffix(')').and_then(|line| line.rsplit_once(" (")) {
        Some((function, place)) => (function, place),
        None => ("<top>", line),
    };
    let (place, column) = place.rsplit_once(':')?;
    let (place, line) = place.rsplit_once(':')?;
    if place == PRELUDE || place == "native" {
        return None;
    }
    let function = if function.is_empty() { "<anonymous>" } else { function };
    Some(Frame {
        function: function.to_owned(),
        place: place.to_owned(),
        line: line.parse().ok()?,
        column: column.parse().ok()?,
    })
}
