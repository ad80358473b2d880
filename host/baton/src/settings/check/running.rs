//! How plugins run: instances, breaker, guards, new versions, thresholds.

use baton_hooks::record::RecordSettings;
use baton_hooks::{
    BreakerSettings, EventSettings, GuardSettings, Hook, Instances, Mode, NextMode, NextSettings,
    PoolSettings, RunSettings, SessionSettings, Thresholds,
};
use baton_mail::Reply;

use super::Checker;
use crate::settings::raw::{RawNext, RawPlugin, RawRecord, RawThresholds, RawWhen};

impl Checker<'_> {
    pub(super) fn running(&mut self, key: &str, raw: &RawPlugin) -> RunSettings {
        let at = |name: &str| format!("{key}.{name}");
        let modes = [Mode::Enforce, Mode::Monitor].map(|mode| (mode.as_str(), mode));
        let policies = [Instances::Fresh, Instances::Session, Instances::Pool];
        let policies = policies.map(|policy| (policy.as_str(), policy));
        RunSettings {
            mode: self.choose(&at("mode"), &raw.mode, &modes).unwrap_or_default(),
            instances: self.choose(&at("instances"), &raw.instances, &policies).unwrap_or_default(),
            pool: PoolSettings {
                size_max: self.bound(&at("pool.size_max"), raw.pool.size_max, 1, 100_000),
                uses_max: self.bound(&at("pool.uses_max"), raw.pool.uses_max, 1, 1_000_000_000),
                age_s: self.bound(&at("pool.age_s"), raw.pool.age_s, 1, 86_400),
            },
            session: SessionSettings {
                size_max: self.bound(&at("session.size_max"), raw.session.size_max, 1, 100_000),
                idle_s: self.bound(&at("session.idle_s"), raw.session.idle_s, 1, 3_600),
            },
            breaker: BreakerSettings {
                failures: self.bound(&at("breaker.failures"), raw.breaker.failures, 0, 1_000_000),
                window_s: self.bound(&at("breaker.window_s"), raw.breaker.window_s, 1, 86_400),
                open_s: self.bound(&at("breaker.open_s"), raw.breaker.open_s, 1, 86_400),
                open_max_s: self.bound(&at("breaker.open_max_s"), raw.breaker.open_max_s, 1, 604_800),
            },
            when: self.guards(&at("when"), &raw.when),
            events: EventSettings {
                batch_max: self.bound(&at("events.batch_max"), raw.events.batch_max, 1, 10_000),
                batch_ms: self.bound(&at("events.batch_ms"), raw.events.batch_ms, 0, 3_600_000),
                queue_max: self.bound(&at("events.queue_max"), raw.events.queue_max, 1, 1_000_000),
            },
            record: self.record(&at("record"), &raw.record),
            next: raw.next.as_ref().and_then(|next| self.next(&at("next"), next)),
        }
    }

    fn record(&mut self, key: &str, raw: &RawRecord) -> Option<RecordSettings> {
        let calls_max = self.bound(&format!("{key}.calls_max"), raw.calls_max, 1, 1_000_000);
        let octets_max = self.bound(&format!("{key}.octets_max"), raw.octets_max, 1_024, 1 << 40);
        let folder = self.folder.join(raw.folder.as_ref()?);
        Some(RecordSettings { folder, calls_max, octets_max })
    }

    /// The hooks only: the expressions are checked when the plugin is loaded, because its hooks are known then.
    fn guards(&mut self, key: &str, raw: &RawWhen) -> Vec<GuardSettings> {
        let guards = match raw {
            RawWhen::Unset => return Vec::new(),
            RawWhen::All(when) => return vec![GuardSettings { hook: None, when: when.clone() }],
            RawWhen::ByHook(guards) => guards,
        };
        let hooks = Hook::ALL.map(|hook| (hook.as_str(), hook));
        let read = |(name, when): &(String, String)| {
            let hook = self.choose(&format!("{key}.{name}"), name, &hooks)?;
            Some(GuardSettings { hook: Some(hook), when: when.clone() })
        };
        guards.iter().filter_map(read).collect()
    }

    fn next(&mut self, key: &str, raw: &RawNext) -> Option<NextSettings> {
        let at = |name: &str| format!("{key}.{name}");
        if raw.source.as_os_str().is_empty() {
            let remedy = "name the new version's file";
            self.problems.push(&at("source"), None, "is missing", remedy);
        }
        let modes = [NextMode::Shadow, NextMode::Canary].map(|mode| (mode.as_str(), mode));
        let mode = self.choose(&at("mode"), &raw.mode, &modes)?;
        let percent = self.bound(&at("percent"), raw.percent, 0, 100);
        let selects = percent > 0 || raw.tenant.is_some();
        if (mode == NextMode::Canary) != selects {
            let (reason, remedy) = match mode {
                NextMode::Canary => {
                    ("a canary without `percent` and `tenant` serves nobody", "set one of them")
                }
                NextMode::Shadow => ("a shadow is asked about all mail", "leave `percent` and `tenant` out"),
            };
            self.problems.push(&at("mode"), Some(raw.mode.clone()), reason, remedy);
        }
        Some(NextSettings {
            source: self.source(&at("source"), &raw.source),
            mode,
            percent: u8::try_from(percent).unwrap_or(100),
            tenant: raw.tenant.clone(),
        })
    }

    pub(super) fn thresholds(&mut self, raw: &RawThresholds) -> Thresholds {
        let key = "hooks.thresholds";
        let steps = [("tag", raw.tag), ("quarantine", raw.quarantine), ("reject", raw.reject)];
        let given: Vec<_> = steps.into_iter().filter_map(|(name, from)| Some((name, from?))).collect();
        for pair in given.windows(2) {
            let [(lower, from), (higher, to)] = pair else { continue };
            if from >= to {
                let reason = format!("`{lower}` ({from}) would never be reached before `{higher}` ({to})");
                let at = format!("{key}.{higher}");
                self.problems.push(&at, Some(to.to_string()), reason, format!("set it above {from}"));
            }
        }
        let remedy = "write the name of a header field, such as \"X-Spam-Score\"";
        Thresholds {
            tag: raw.tag,
            quarantine: raw.quarantine,
            reject: raw.reject,
            header: self.parse(&format!("{key}.header"), &raw.header, remedy),
            reply: self.reply(&format!("{key}.reply"), &raw.reply),
        }
    }

    /// A refusal: a code of class 4 or 5, an enhanced code of the same class (RFC 3463 3.1), and text.
    fn reply(&mut self, key: &str, text: &str) -> Option<Reply> {
        let refusal = parse_reply(text);
        if refusal.is_none() {
            let remedy = "write it like \"550 5.7.1 Refused as unwanted mail\"";
            self.problems.push(key, Some(text.to_owned()), "is not a refusal", remedy);
        }
        refusal
    }
}

fn parse_reply(text: &str) -> Option<Reply> {
    let (code, rest) = text.split_once(' ')?;
    let (enhanced, words) = rest.split_once(' ')?;
    let code: u16 = code.parse().ok().filter(|code| (400..600).contains(code))?;
    let mut digits = enhanced.splitn(3, '.');
    let class: u8 = digits.next()?.parse().ok()?;
    let (subject, detail) = (digits.next()?.parse().ok()?, digits.next()?.parse().ok()?);
    let fits =
        u16::from(class) == code / 100 && subject < 1_000 && detail < 1_000 && !words.trim().is_empty();
    fits.then(|| Reply::new(code, baton_mail::EnhancedCode(class, subject, detail), words.trim()))
}
