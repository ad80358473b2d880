//! Operators in words.

use baton_api::v1::OperatorRow;

use super::words::moment;

/// One operator in full.
pub(crate) fn shown(row: &OperatorRow) -> String {
    let mut text = format!("{}\n", row.name);
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<9} {value}\n"));
    line("state", if row.disabled { "may not log in" } else { "may log in" }.to_owned());
    line("role", row.role.to_string());
    line("sees", sees(row));
    if !row.note.is_empty() {
        line("note", row.note.clone());
    }
    line("made", moment(row.created_at));
    line("changed", moment(row.changed_at));
    text
}

/// All operators, a line each.
pub(crate) fn list(rows: &[OperatorRow]) -> String {
    if rows.is_empty() {
        return "There is no operator yet; `baton operator add NAME --role admin` makes one.\n".to_owned();
    }
    let width = rows.iter().map(|row| row.name.as_str().len()).max().unwrap_or(0);
    let one = |row: &OperatorRow| {
        let state = if row.disabled { ", may not log in" } else { "" };
        format!("{:<width$}  {} of {}{state}\n", row.name.as_str(), row.role, sees(row))
    };
    rows.iter().map(one).collect()
}

fn sees(row: &OperatorRow) -> String {
    row.tenant.as_ref().map_or("the whole relay".to_owned(), |tenant| format!("tenant {tenant}"))
}
