//! Dialogues as text.

use baton_mail::trace::{Line, Side, Who};

use super::words::moment;

/// Who a session is with, before its first line.
pub(crate) fn introduction(line: &Line) -> String {
    let Line { session, peer, way, .. } = line;
    match line.side {
        Side::In => format!("--- {session}: from {peer} at listener {way}\n"),
        Side::Out => format!("--- {session}: to {peer}, site {way}\n"),
    }
}

/// One line.
pub(crate) fn line(line: &Line) -> String {
    let who = match line.who {
        Who::Client => "C:",
        Who::Server => "S:",
        Who::Note => "--",
    };
    format!("{} {} {who} {}\n", moment(line.at), line.session, line.text)
}
