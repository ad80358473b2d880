//! Measures, sites and warm-up in words.

use baton_api::delivery::{
    ListingView, ListingsView, MeasuresView, SiteView, SitesView, WarmupView, WarmupsView,
};
use baton_mail::UnixMs;
use baton_store::shaping::Measure;

use super::words::{moment, relative};

/// The measures that hold, a paragraph each.
pub(crate) fn measures(view: &MeasuresView) -> String {
    if view.measures.is_empty() {
        return "Nothing is suspended, slowed down or bounced.\n".to_owned();
    }
    view.measures.iter().map(|measure| one(measure, view.now)).collect()
}

/// One measure.
pub(crate) fn one(measure: &Measure, now: UnixMs) -> String {
    let Measure { id, action, scope, reason, since, until, .. } = measure;
    let end = match until {
        Some(until) => format!("until {} ({})", moment(*until), relative(*until, now)),
        None => "until it is cleared".to_owned(),
    };
    let (since, by) = (moment(*since), measure.by());
    format!("{id}  {scope}: {action} {end}\n        since {since} by {by}: {reason}\n")
}

/// What blocklists say, a line for each address and list; what is bad comes first.
pub(crate) fn listings(view: &ListingsView) -> String {
    if view.listings.is_empty() && view.awaited == 0 {
        return "No blocklist is asked; blocklists.lists names them.\n".to_owned();
    }
    let awaited = match view.awaited {
        0 => String::new(),
        awaited => format!("{awaited} more are asked just now.\n"),
    };
    let mut rows: Vec<&ListingView> = view.listings.iter().collect();
    rows.sort_by_key(|row| (row.state != "listed", row.state != "unknown"));
    rows.into_iter().map(|row| listing(row, view.now)).chain([awaited]).collect()
}

fn listing(row: &ListingView, now: UnixMs) -> String {
    let by = if row.source.is_empty() { String::new() } else { format!(" ({})", row.source) };
    let ListingView { address, list, state, .. } = row;
    let reason = row.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let (since, asked) = (moment(row.since), relative(row.asked, now));
    format!("{state:8} {address}{by} at {list}{reason}\n        since {since}, asked {asked}\n")
}

/// Sites, a line each.
pub(crate) fn sites(view: &SitesView) -> String {
    if view.sites.is_empty() {
        return "No site is in use.\n".to_owned();
    }
    view.sites.iter().map(site).collect()
}

fn site(site: &SiteView) -> String {
    let provider = site.provider.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let by = if site.source.is_empty() { String::new() } else { format!(" by {}", site.source) };
    let slower =
        if site.slower > 1.0 { format!(", slowed down {} times", site.slower) } else { String::new() };
    let waits = site.waits.as_deref().map(|waits| format!("; {waits}")).unwrap_or_default();
    format!(
        "{}{provider}{by}: {} ready, {} of {} connections (at most {}){slower}{waits}\n",
        site.site, site.ready, site.connections, site.allowed, site.bound
    )
}

/// Plans and positions, a paragraph each.
pub(crate) fn warmups(view: &WarmupsView) -> String {
    if view.warmups.is_empty() {
        return "No source follows a plan of warm-up, or none has sent yet.\n".to_owned();
    }
    view.warmups.iter().map(|warmup| position(warmup, view.now)).collect()
}

fn position(warmup: &WarmupView, now: UnixMs) -> String {
    let WarmupView { source, plan, provider, days, day, sent, deferred, complaints, state, next } = warmup;
    let until = next.map(|at| format!(" until {} ({})", moment(at), relative(at, now))).unwrap_or_default();
    let state = match state.as_str() {
        "warm" => "the plan is over: it is warm".to_owned(),
        "open" => "it may send".to_owned(),
        "spread" => format!("the day's messages are spread over the day: it waits{until}"),
        "used" => format!("the day's messages are used: it waits{until}"),
        _ => format!("stopped by deferrals or complaints{until}"),
    };
    let shown = |(index, count): (usize, &u32)| {
        if index + 1 == *day as usize { format!("[{count}]") } else { count.to_string() }
    };
    let table: Vec<String> = days.iter().enumerate().map(shown).collect();
    format!(
        "{source} at {provider} (plan {plan}): day {day} of {}, {sent} sent today, {deferred} deferred, {complaints} complaints; {state}\n        days: {}\n",
        days.len(),
        table.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use baton_store::shaping::{Action, Scope};

    use super::*;

    #[test]
    fn a_measure_says_what_why_since_until_and_by_whom() {
        let measure = Measure {
            id: "4f2k9x".to_owned(),
            action: Action::Suspend,
            scope: Scope { provider: Some("yahoo".to_owned()), ..Scope::default() },
            rule: "yahoo-blocked".to_owned(),
            reason: "421 4.7.0 [TSS04]".to_owned(),
            since: UnixMs(1_700_000_000_000),
            until: Some(UnixMs(1_700_003_600_000)),
        };
        let text = measures(&MeasuresView { now: UnixMs(1_700_000_000_000), measures: vec![measure] });
        for part in [
            "4f2k9x  provider yahoo: suspended until",
            "(in 1 h)",
            "by rule yahoo-blocked: 421 4.7.0 [TSS04]",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_position_shows_its_day_in_the_table() {
        let warmup = WarmupView {
            source: "a".to_owned(),
            plan: "slow".to_owned(),
            provider: "google".to_owned(),
            days: vec![50, 100, 200],
            day: 2,
            sent: 40,
            deferred: 1,
            complaints: 0,
            state: "open".to_owned(),
            next: None,
        };
        let text = warmups(&WarmupsView { now: UnixMs(0), warmups: vec![warmup] });
        assert!(text.contains("day 2 of 3, 40 sent today") && text.contains("50 [100] 200"), "{text}");
    }
}
