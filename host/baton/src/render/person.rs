//! What was forgotten of a person, in words.

use baton_api::persons::PersonErased;

/// What became of it.
pub(crate) fn erased(done: &PersonErased) -> String {
    let lines = [
        (done.events, "records of stories written anew"),
        (done.records, "lines of the audit log and answers to programs written anew"),
        (done.plugins, "entries of plugins deleted"),
        (done.queue, "entries taken out of the queue"),
        (done.suppressions, "suppression lists that it stays on, by its hash"),
    ];
    let mut text: String = lines.iter().map(|(count, what)| format!("{count} {what}\n")).collect();
    if done.queue_left > 0 {
        let left = done.queue_left;
        text.push_str(&format!("{left} entries stay in the queue until they are done; erase again then\n"));
    }
    text
}
