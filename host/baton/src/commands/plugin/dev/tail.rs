//! The log of the local relay as it grows, told in an author's words.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The end of a log.
pub(super) struct Tail {
    path: PathBuf,
    read_octets: u64,
}

impl Tail {
    /// Everything that the log has from its beginning.
    pub(super) fn of(path: &Path) -> Tail {
        Tail { path: path.to_owned(), read_octets: 0 }
    }

    /// The whole lines that came since this was asked last, each in words.
    pub(super) fn news(&mut self) -> String {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read_octets))?;
            file.read_to_string(&mut text)
        });
        // A log that can not be read now has no news; the next look finds it.
        if read.is_err() {
            return String::new();
        }
        let whole = text.rfind('\n').map_or("", |end| text.get(..=end).unwrap_or_default());
        self.read_octets += whole.len() as u64;
        whole.lines().map(|line| in_words(line) + "\n").collect()
    }
}

/// A decision with its cost, a line of the plugin, or the line as it is.
fn in_words(line: &str) -> String {
    let Ok(fields) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("target") {
        "hooks::decision" => {
            let micros = fields.get("micros").and_then(Value::as_u64).unwrap_or_default();
            let edits = Some(text("edits")).filter(|edits| !edits.is_empty());
            let edits = edits.map(|edits| format!(" [{edits}]")).unwrap_or_default();
            format!("{:8} {}{edits}  {micros} µs", text("hook"), text("answer"))
        }
        "hooks::plugin" => {
            let rest = Some(text("fields")).filter(|rest| !rest.is_empty()).map(|rest| format!("  {rest}"));
            format!(
                "     log {}: {}{}",
                text("level").to_lowercase(),
                text("message"),
                rest.unwrap_or_default()
            )
        }
        _ => {
            let detail = Some(text("detail")).filter(|detail| !detail.is_empty());
            format!("{}: {}", text("message"), detail.unwrap_or_else(|| text("error")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn whole_lines_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.log");
        let mut file = File::create(&path).unwrap();
        let mut tail = Tail::of(&path);
        let decision = r#"{"target":"hooks::decision","hook":"rcpt","answer":"reject 550 no","edits":"tag a=b","micros":17}"#;
        write!(file, "{decision}\n{{\"target\":\"hooks::plugin\",\"level\":\"INFO\",").unwrap();
        assert_eq!(tail.news(), "rcpt     reject 550 no [tag a=b]  17 µs\n");
        writeln!(file, "\"message\":\"seen\",\"fields\":\"a=1\"}}").unwrap();
        assert_eq!(tail.news(), "     log info: seen  a=1\n");
        assert_eq!(tail.news(), "");
    }
}
