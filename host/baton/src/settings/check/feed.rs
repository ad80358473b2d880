//! What happens, for those who follow it.

use baton_events::report::ReportSettings;
use baton_events::webhook::WebhookSettings;
use baton_events::{EventFilter, FileSettings, Kind};

use super::Checker;
use crate::settings::raw::{Raw, RawEventFile, RawSums, RawWebhooks};
use crate::wiring::{FollowSettings, HttpSettings};

/// Octets of one post, about.
const BATCH_OCTETS_MAX: usize = 512 << 10;

impl Checker<'_> {
    /// How many days of the feed are kept.
    pub(super) fn events_days(&mut self, raw: &Raw) -> u32 {
        let days = self.bound("events.keep_days", raw.events.keep_days, 1, 36_500);
        if days > raw.store.history_days {
            let remedy = format!("write at most {}, or a larger store.history_days", raw.store.history_days);
            let given = Some(days.to_string());
            self.problems.push(
                "events.keep_days",
                given,
                "the events themselves are kept for a shorter time",
                remedy,
            );
        }
        days
    }

    /// All who follow.
    pub(super) fn follow(&mut self, raw: &Raw) -> FollowSettings {
        let http = self.http(&raw.http);
        let networks = self.parse_all(
            "webhooks.allowed_networks",
            &raw.webhooks.allowed_networks,
            "write a network such as \"10.1.0.0/16\"",
        );
        let posts_max = self.bound("webhooks.posts_max", raw.webhooks.posts_max, 1, 10_000);
        FollowSettings {
            webhooks: self.webhooks(&raw.webhooks),
            http: HttpSettings {
                requests_max: posts_max,
                requests_per_plugin_max: posts_max,
                allowed_networks: networks,
                ..http
            },
            files: raw.events.files.0.iter().filter_map(|(name, file)| self.event_file(name, file)).collect(),
            nats: raw.events.nats.0.iter().filter_map(|(name, nats)| self.event_nats(name, nats)).collect(),
            reports: self.sums(&raw.events.sums),
        }
    }

    fn webhooks(&mut self, raw: &RawWebhooks) -> WebhookSettings {
        WebhookSettings {
            batch_max: self.bound("webhooks.batch_max", raw.batch_max, 1, 10_000),
            batch_octets_max: BATCH_OCTETS_MAX,
            batch_ms: self.bound("webhooks.batch_ms", raw.batch_ms, 0, 60_000),
            timeout_ms: self.bound("webhooks.timeout_ms", raw.timeout_ms, 1, 600_000),
            retry_first_ms: self.bound("webhooks.retry_first_ms", raw.retry_first_ms, 1, 3_600_000),
            retry_max_ms: self.bound("webhooks.retry_max_ms", raw.retry_max_ms, 1, 86_400_000),
            expire_after_s: self.bound("webhooks.expire_after_s", raw.expire_after_s, 60, 365 * 86_400),
            secret_overlap_s: self.bound("webhooks.secret_overlap_s", raw.secret_overlap_s, 0, 365 * 86_400),
        }
    }

    fn event_file(&mut self, name: &str, raw: &RawEventFile) -> Option<FileSettings> {
        let at = format!("events.files.{name}");
        let key = |member: &str| format!("{at}.{member}");
        self.follower_name("events.files", name);
        if raw.path.as_os_str().is_empty() {
            self.problems.push(&key("path"), None, "is missing", "write where the file is");
        }
        Some(FileSettings {
            name: name.to_owned(),
            path: self.folder.join(&raw.path),
            rotate_octets: self.bound(&key("rotate_octets"), raw.rotate_octets, 1 << 10, 1 << 40),
            keep: self.bound(&key("keep"), raw.keep, 0, 1_000),
            filter: self.event_filter(&at, raw.tenant.as_ref(), &raw.streams, &raw.kinds),
        })
    }

    /// A name that can be that of a cursor.
    pub(super) fn follower_name(&mut self, section: &str, name: &str) {
        let is_fit = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        if !name.bytes().all(is_fit) || name.is_empty() || name.len() > 63 {
            let remedy = "write 1 to 63 letters, digits and hyphens";
            self.problems.push(section, Some(name.to_owned()), "no name for who follows events", remedy);
        }
    }

    /// Which events somebody gets.
    pub(super) fn event_filter(
        &mut self,
        at: &str,
        tenant: Option<&String>,
        streams: &[String],
        kinds: &[String],
    ) -> EventFilter {
        if !streams.is_empty() && tenant.is_none() {
            let key = format!("{at}.streams");
            self.problems.push(&key, None, "streams are those of a tenant", "set tenant too");
        }
        let remedy = "write kinds of events, such as \"delivered\", \"bounced\", \"deferred\"";
        let kinds: Vec<Kind> = self.parse_all(&format!("{at}.kinds"), kinds, remedy);
        EventFilter { tenant: tenant.cloned(), streams: streams.to_vec(), kinds, ..EventFilter::default() }
    }

    fn sums(&mut self, raw: &RawSums) -> ReportSettings {
        let mut bound = |key: &str, value, most| self.bound(&format!("events.sums.{key}"), value, 1, most);
        ReportSettings {
            hours_kept_days: bound("hours_kept_days", raw.hours_kept_days, 3_650),
            days_kept_days: bound("days_kept_days", raw.days_kept_days, 36_500),
            values_max: self.bound("events.sums.values_max", raw.values_max, 1, 1_000_000),
        }
    }
}
