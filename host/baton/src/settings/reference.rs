//! The reference of the settings, made from the same list as the reader: it can not be out of date.

use std::fmt::Write;

use super::field::{Described, Field};
use super::raw::Raw;

/// Columns of text.
const WIDTH: usize = 100;

/// Every key with its text, kind and default, as a settings file with everything commented out.
pub(crate) fn reference() -> String {
    let mut text = String::from(
        "# Every key of the settings with its default. Relative paths start at the folder of the settings file.\n",
    );
    write_members(&mut text, &Raw::members(), "");
    text
}

fn write_members(text: &mut String, members: &[Described], path: &str) {
    for member in members.iter().filter(|member| member.members.is_empty()) {
        text.push('\n');
        write_comment(text, &member.about);
        let line = match &member.default {
            Some(default) => format!("# {} = {default}\n", member.name),
            None => format!("# {} = …  # unset; {}\n", member.name, member.kind),
        };
        text.push_str(&line);
    }
    for member in members.iter().filter(|member| !member.members.is_empty()) {
        let name = if path.is_empty() { member.name.clone() } else { format!("{path}.{}", member.name) };
        let by_name = member.kind.starts_with("tables by name");
        let repeated = member.kind.starts_with("list");
        let below = if by_name { format!("{name}.NAME") } else { name };
        text.push('\n');
        write_comment(text, &member.about);
        let _ = if repeated { writeln!(text, "# [[{below}]]") } else { writeln!(text, "# [{below}]") };
        write_members(text, &member.members, &below);
    }
}

fn write_comment(text: &mut String, about: &str) {
    let mut column = 0;
    for word in about.split_whitespace() {
        if column == 0 || column + word.len() + 1 > WIDTH {
            text.push_str(if column == 0 { "#" } else { "\n#" });
            column = 1;
        }
        text.push(' ');
        text.push_str(word);
        column += word.len() + 1;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problems;
    use super::super::tree;
    use super::*;

    #[test]
    fn every_default_of_the_reference_is_what_the_reader_takes() {
        let uncommented: String = reference()
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| {
                line.starts_with('[') || (line.contains(" = ") && !line.contains('…') && is_key(line))
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let tree = tree::parse(&uncommented.replace("NAME", "example")).unwrap();
        let mut problems = Problems::default();
        let mut raw = Raw::read(&tree, "", &mut problems).unwrap();
        assert!(problems.is_empty(), "{problems}");
        assert_eq!(
            (raw.listeners.0.len(), raw.plugins.0.len(), raw.next_hops.0.len(), raw.routes.len()),
            (1, 1, 1, 1)
        );
        raw.listeners.0.clear();
        raw.plugins.0.clear();
        raw.next_hops.0.clear();
        raw.sources.0.clear();
        raw.pools.0.clear();
        raw.warmup.0.clear();
        raw.shaping.providers.0.clear();
        raw.shaping.rules.clear();
        raw.retry.class.0.clear();
        raw.routes.clear();
        raw.plugin_trust.keys.clear();
        raw.tls.certificates.clear();
        raw.accounts.issuers.0.clear();
        raw.events.files.0.clear();
        raw.events.nats.0.clear();
        raw.streams.0.clear();
        assert_eq!(raw, Raw::default());
    }

    fn is_key(line: &str) -> bool {
        line.split(" = ").next().is_some_and(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    }

    #[test]
    fn every_key_has_a_text() {
        fn check(members: &[Described]) {
            for member in members {
                assert!(member.about.ends_with('.'), "{} has no text", member.name);
                check(&member.members);
            }
        }
        check(&Raw::members());
    }
}
