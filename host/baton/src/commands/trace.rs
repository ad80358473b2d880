//! `baton trace`: dialogues of sessions while they happen.

use std::collections::HashSet;

use baton_api::trace::Told;

use super::write_out;
use crate::admin::{Admin, escape};
use crate::cli::trace::TraceOptions;
use crate::render;

/// Sessions of which is remembered that they were introduced.
const INTRODUCED_MAX: usize = 10_000;

pub(crate) async fn run(options: TraceOptions) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    let conditions = options.conditions();
    let query: Vec<_> = conditions.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    let mut left = options.lines.unwrap_or(u64::MAX);
    let mut introduced: HashSet<String> = HashSet::new();
    let show = |line: &[u8]| {
        let told: Told = serde_json::from_slice(line)?;
        let text = match &told {
            told if options.target.json => serde_json::to_string(told)? + "\n",
            Told::Lost(count) => format!("({count} lines were lost: they came faster than they were read)\n"),
            Told::Line(line) => {
                if introduced.len() >= INTRODUCED_MAX {
                    introduced.clear();
                }
                let is_new = introduced.insert(line.session.to_string());
                let introduction = if is_new { render::trace::introduction(line) } else { String::new() };
                introduction + &render::trace::line(line)
            }
        };
        write_out(&text)?;
        left = left.saturating_sub(1);
        Ok(left > 0)
    };
    admin.follow(&format!("/v1/trace?{}", query.join("&")), show).await
}
