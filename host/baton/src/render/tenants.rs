//! Tenants, streams and tokens in words.

use baton_api::v1::{StreamRow, TenantRow, TokenMade, TokenRow};
use baton_mail::tenant::Label;

use super::user::quota;
use super::words::moment;

/// One tenant in full.
pub(crate) fn tenant(row: &TenantRow) -> String {
    let mut text = format!("{}\n", row.name);
    line(
        &mut text,
        "state",
        row.suspended.as_ref().map_or("may send".to_owned(), |why| format!("suspended: {why}")),
    );
    line(&mut text, "domains", domains(row));
    line(&mut text, "quota", quota(&row.quota));
    note(&mut text, &row.note);
    line(&mut text, "made", moment(row.created_at));
    line(&mut text, "changed", moment(row.changed_at));
    text
}

/// All tenants, a line each.
pub(crate) fn tenants(rows: &[TenantRow]) -> String {
    let one = |row: &TenantRow| {
        let state = if row.suspended.is_some() { "suspended, " } else { "" };
        (row.name.to_string(), format!("{state}sends as {}; {}", domains(row), quota(&row.quota)))
    };
    list(rows.iter().map(one), "There is no tenant yet; `baton tenant add NAME` makes one.")
}

/// One stream in full.
pub(crate) fn stream(row: &StreamRow) -> String {
    let mut text = format!("{}\n", of(row.name.as_str(), row.tenant.as_ref()));
    line(&mut text, "state", if row.disabled { "disabled" } else { "takes mail" }.to_owned());
    line(&mut text, "kind", row.kind.as_str().to_owned());
    line(&mut text, "priority", row.priority.to_string());
    line(&mut text, "leaves by", row.pool.clone().unwrap_or_else(|| "as the settings say".to_owned()));
    line(&mut text, "quota", quota(&row.quota));
    line(&mut text, "tracks", tracks(row));
    line(&mut text, "requires", requires(row));
    let kept = [
        (row.retention.bodies_days, "content"),
        (row.retention.events_days, "stories"),
        (row.retention.addresses_days, "addresses"),
    ];
    let kept: Vec<_> =
        kept.iter().filter_map(|(days, what)| Some(format!("{what} {} days", (*days)?))).collect();
    line(
        &mut text,
        "keeps",
        if kept.is_empty() { "as the settings say".to_owned() } else { kept.join(", ") },
    );
    note(&mut text, &row.note);
    line(&mut text, "made", moment(row.created_at));
    line(&mut text, "changed", moment(row.changed_at));
    text
}

/// What mail of a stream must have.
fn requires(row: &StreamRow) -> String {
    let address = Some(&row.require.postal_address).filter(|address| !address.is_empty());
    let unsubscribe = row.require.unsubscribe.then(|| "a way to unsubscribe".to_owned());
    let all: Vec<_> = unsubscribe.into_iter().chain(address.map(|address| format!("`{address}`"))).collect();
    if all.is_empty() { "what the settings say".to_owned() } else { all.join(", ") }
}

/// All streams, a line each.
pub(crate) fn streams(rows: &[StreamRow]) -> String {
    let one = |row: &StreamRow| {
        let state = if row.disabled { "disabled, " } else { "" };
        let about = format!("{state}{}, priority {}; {}", row.kind.as_str(), row.priority, quota(&row.quota));
        (row.name.to_string(), about)
    };
    list(rows.iter().map(one), "There is no stream here; `baton stream add NAME` makes one.")
}

/// After a token was made.
pub(crate) fn made(made: &TokenMade) -> String {
    format!("{}\n\nThis is the only time that it is shown.\n\n{}", made.token, token(&made.row))
}

/// What is known of a token.
pub(crate) fn token(row: &TokenRow) -> String {
    let mut text = format!("{}\n", of(&row.id, row.tenant.as_ref()));
    line(&mut text, "state", if row.disabled { "disabled" } else { "may be used" }.to_owned());
    line(&mut text, "scopes", scopes(row));
    line(&mut text, "stream", row.stream.as_ref().map_or("any".to_owned(), ToString::to_string));
    let networks: Vec<_> = row.networks.iter().map(ToString::to_string).collect();
    line(&mut text, "from", if networks.is_empty() { "everywhere".to_owned() } else { networks.join(", ") });
    let pace = row.requests_per_minute.map(|count| format!("{count} requests a minute"));
    line(&mut text, "pace", pace.unwrap_or_else(|| "as the settings say".to_owned()));
    line(&mut text, "ends", row.expires_at.map_or("never".to_owned(), moment));
    note(&mut text, &row.note);
    line(&mut text, "made", moment(row.created_at));
    line(&mut text, "used", row.used_at.map_or("never".to_owned(), moment));
    text
}

/// All tokens, a line each.
pub(crate) fn tokens(rows: &[TokenRow]) -> String {
    let one = |row: &TokenRow| {
        let state = if row.disabled { "disabled, " } else { "" };
        let used = row.used_at.map_or("never used".to_owned(), |at| format!("used {}", moment(at)));
        let about = if row.note.is_empty() { String::new() } else { format!("; {}", row.note) };
        (row.id.clone(), format!("{state}{}; {used}{about}", scopes(row)))
    };
    list(rows.iter().map(one), "There is no token here; `baton token add --scope send` makes one.")
}

fn line(text: &mut String, name: &str, value: String) {
    text.push_str(&format!("  {name:<9} {value}\n"));
}

fn note(text: &mut String, note: &str) {
    if !note.is_empty() {
        line(text, "note", note.to_owned());
    }
}

fn list(rows: impl Iterator<Item = (String, String)>, nothing: &str) -> String {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return format!("{nothing}\n");
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, about)| format!("{name:<width$}  {about}\n")).collect()
}

fn of(name: &str, tenant: Option<&Label>) -> String {
    tenant.map_or_else(|| name.to_owned(), |tenant| format!("{name} of {tenant}"))
}

fn domains(row: &TenantRow) -> String {
    let domains: Vec<_> = row.domains.iter().map(ToString::to_string).collect();
    if domains.is_empty() { "nobody".to_owned() } else { domains.join(", ") }
}

fn tracks(row: &StreamRow) -> String {
    match (row.tracking.opens, row.tracking.clicks) {
        (false, false) => "nothing",
        (true, false) => "opens",
        (false, true) => "clicks",
        (true, true) => "opens and clicks",
    }
    .to_owned()
}

fn scopes(row: &TokenRow) -> String {
    row.scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
