//! Reports of others in words: one paragraph each, with a line for each source.

use baton_api::wire::ReportsPage;
use baton_identity::reports::{DmarcReport, DmarcRow, Report, TlsReport};
use baton_mail::UnixMs;

use super::words::moment;

/// A page of reports.
pub(crate) fn page(page: &ReportsPage) -> String {
    if page.reports.is_empty() {
        return "No reports.\n".to_owned();
    }
    let mut text: String = page.reports.iter().map(one).collect();
    if let Some(next) = &page.next {
        text.push_str(&format!("There are more: --after {next}\n"));
    }
    text
}

fn one(report: &Report) -> String {
    let (begin_s, end_s, details) = match report {
        Report::Dmarc(report) => (report.begin_s, report.end_s, dmarc(report)),
        Report::Tls(report) => (report.begin_s, report.end_s, tls(report)),
    };
    let at = |seconds: u64| moment(UnixMs(seconds.saturating_mul(1_000)));
    format!("{}\n  from {} to {}\n{details}", report.summary(), at(begin_s), at(end_s))
}

fn dmarc(report: &DmarcReport) -> String {
    let row = |row: &DmarcRow| {
        let verdict = if row.passes() { "pass" } else { "FAIL" };
        let detail = [("dkim", &row.dkim_results), ("spf", &row.spf_results), ("because", &row.reason)];
        let detail = detail.iter().filter(|(_, text)| !text.is_empty());
        let detail: String = detail.map(|(name, text)| format!("; {name} {text}")).collect();
        format!(
            "  {:>7}  {verdict}  {:<24} {} done: {}{detail}\n",
            row.count, row.source, row.header_from, row.disposition
        )
    };
    let mut text: String = report.rows.iter().map(row).collect();
    if report.rows_left_out > 0 {
        text.push_str(&format!("  and {} rarer rows\n", report.rows_left_out));
    }
    text
}

fn tls(report: &TlsReport) -> String {
    let mut text = String::new();
    for policy in &report.policies {
        text.push_str(&format!(
            "  {} ({}): {} sessions, {} failed\n",
            policy.domain, policy.kind, policy.sessions, policy.failed
        ));
        for failure in &policy.failures {
            text.push_str(&format!(
                "  {:>7}  {} from {} to {} {}\n",
                failure.count, failure.kind, failure.source, failure.host, failure.detail
            ));
        }
    }
    text
}
