//! Reports about TLS (RFC 8460 4.4).

use baton_mail::text::sanitize;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{ROWS_MAX, TEXT_OCTETS_MAX};

/// One report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsReport {
    /// Who wrote it.
    pub organization: String,
    /// Where to ask.
    pub email: String,
    /// Its name, which its writer gave.
    pub id: String,
    /// The time it is about, in seconds since 1970.
    pub begin_s: u64,
    /// The end of that time.
    pub end_s: u64,
    /// Each policy with what happened under it.
    pub policies: Vec<TlsPolicy>,
}

/// What happened under one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPolicy {
    /// `sts`, `tlsa` or `no-policy-found`.
    pub kind: String,
    /// Whose policy.
    pub domain: String,
    /// Sessions that were protected as the policy asks.
    pub sessions: u64,
    /// Sessions that were not.
    pub failed: u64,
    /// Why not.
    pub failures: Vec<TlsFailure>,
}

/// Sessions that failed alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFailure {
    /// RFC 8460 4.3, such as `certificate-expired`.
    pub kind: String,
    /// The address that they came from.
    pub source: String,
    /// The host that they were for.
    pub host: String,
    /// How many.
    pub count: u64,
    /// More about it.
    pub detail: String,
}

impl TlsReport {
    /// Sessions that were well, and that were not.
    pub fn sessions(&self) -> (u64, u64) {
        let sum = |count: fn(&TlsPolicy) -> u64| self.policies.iter().map(count).fold(0, u64::saturating_add);
        (sum(|policy| policy.sessions), sum(|policy| policy.failed))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawReport {
    organization_name: Option<String>,
    date_range: RawRange,
    contact_info: Option<String>,
    report_id: String,
    policies: Vec<RawPolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawRange {
    start_datetime: String,
    end_datetime: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawPolicy {
    policy: RawPublished,
    #[serde(default)]
    summary: RawSummary,
    /// Some writers have null where there are none.
    failure_details: Option<Vec<RawFailure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawPublished {
    #[serde(default)]
    policy_type: Option<String>,
    #[serde(default)]
    policy_domain: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct RawSummary {
    total_successful_session_count: u64,
    total_failure_session_count: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct RawFailure {
    result_type: Option<String>,
    sending_mta_ip: Option<String>,
    receiving_mx_hostname: Option<String>,
    failed_session_count: u64,
    additional_information: Option<String>,
    failure_reason_code: Option<String>,
}

/// Reads a report.
pub(super) fn read(text: &str) -> Result<TlsReport, String> {
    let raw: RawReport = serde_json::from_str(text).map_err(|error| format!("damaged JSON: {error}"))?;
    let clean = |text: &str| sanitize(text, TEXT_OCTETS_MAX);
    let clean_some = |text: Option<String>| clean(&text.unwrap_or_default());
    let failure = |raw: RawFailure| {
        let more = [raw.failure_reason_code, raw.additional_information];
        TlsFailure {
            kind: clean_some(raw.result_type),
            source: clean_some(raw.sending_mta_ip),
            host: clean_some(raw.receiving_mx_hostname),
            count: raw.failed_session_count,
            detail: clean(more.into_iter().flatten().collect::<Vec<_>>().join(" ").trim()),
        }
    };
    // Of whom nothing is known has no policy, and some writers then name no domain either.
    let policy = |raw: RawPolicy| TlsPolicy {
        kind: clean_some(raw.policy.policy_type),
        domain: clean_some(raw.policy.policy_domain).to_ascii_lowercase(),
        sessions: raw.summary.total_successful_session_count,
        failed: raw.summary.total_failure_session_count,
        failures: most_frequent(raw.failure_details.unwrap_or_default()).map(failure).collect(),
    };
    let report = TlsReport {
        organization: clean_some(raw.organization_name),
        email: clean_some(raw.contact_info),
        id: clean(&raw.report_id),
        begin_s: seconds(&raw.date_range.start_datetime),
        end_s: seconds(&raw.date_range.end_datetime),
        policies: raw.policies.into_iter().take(POLICIES_MAX).map(policy).collect(),
    };
    if report.policies.is_empty() { Err("the report has no policies".to_owned()) } else { Ok(report) }
}

fn most_frequent(mut failures: Vec<RawFailure>) -> impl Iterator<Item = RawFailure> {
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.failed_session_count));
    failures.into_iter().take(FAILURES_MAX)
}

fn seconds(text: &str) -> u64 {
    let moment = OffsetDateTime::parse(text, &Rfc3339);
    moment.ok().and_then(|moment| u64::try_from(moment.unix_timestamp()).ok()).unwrap_or(0)
}

/// Policies of one report.
const POLICIES_MAX: usize = 20;
/// Failures of one policy.
const FAILURES_MAX: usize = ROWS_MAX / POLICIES_MAX;
