//! The way up the tree of names (RFC 9989 4.10), and what it says about organizations.

use baton_dns::{DnsError, Resolver};

use super::record::{Record, Suffix};

/// The records that were found on the way up, the longest name first.
#[derive(Debug)]
pub(super) struct Walk {
    /// Where it began.
    pub(super) start: String,
    /// The names with their records.
    pub(super) records: Vec<(String, Record)>,
    /// There was more than one record where it began: then none of them counts, and none above.
    pub(super) start_has_several: bool,
}

impl Walk {
    /// Walks up from `domain`. The error tells what was wrong with the DNS.
    pub(super) async fn from(resolver: &Resolver, domain: &str) -> Result<Walk, String> {
        let mut walk = Walk { start: domain.to_owned(), records: Vec::new(), start_has_several: false };
        if !domain.contains('.') {
            return Ok(walk);
        }
        let mut next = Some(domain);
        while let Some(name) = next {
            let records = records(resolver, name).await?;
            match <[Record; 1]>::try_from(records) {
                Ok([record]) => {
                    let is_end = record.suffix != Suffix::Unsaid;
                    walk.records.push((name.to_owned(), record));
                    if is_end {
                        break;
                    }
                }
                Err(records) if !records.is_empty() && name == domain => {
                    walk.start_has_several = true;
                    break;
                }
                Err(_) => {}
            }
            next = parent(name);
        }
        Ok(walk)
    }
}

async fn records(resolver: &Resolver, name: &str) -> Result<Vec<Record>, String> {
    match resolver.texts(&format!("_dmarc.{name}")).await {
        Ok(texts) => Ok(texts.records.iter().filter_map(|text| Record::read(text)).collect()),
        // A name too long for the DNS has no records.
        Err(DnsError::BadName) => Ok(Vec::new()),
        Err(error) => Err(format!("_dmarc.{name}: {error}")),
    }
}

/// The next name to ask: one label less, and from long names at once down to seven labels, so that it takes eight
/// questions at most.
fn parent(name: &str) -> Option<&str> {
    let labels = name.split('.').count();
    let dropped = if labels > LABELS_MAX { labels - LABELS_MAX } else { 1 };
    let mut rest = name;
    for _ in 0..dropped {
        rest = rest.split_once('.')?.1;
    }
    Some(rest)
}

/// The organizational domain of where the walk began (RFC 9989 4.10.2).
pub(super) fn organizational(walk: &Walk) -> &str {
    for (name, record) in &walk.records {
        match record.suffix {
            Suffix::No => return name,
            Suffix::Yes if *name != walk.start => return one_below(name, &walk.start),
            _ => {}
        }
    }
    walk.records.last().map_or(&walk.start, |(name, _)| name)
}

/// The name on the way from `start` to `above` that is one label longer than `above`.
fn one_below<'a>(above: &str, start: &'a str) -> &'a str {
    let before = start.len().saturating_sub(above.len() + 1);
    let label = start.get(..before).and_then(|before| before.rfind('.')).map_or(0, |dot| dot + 1);
    start.get(label..).unwrap_or(start)
}

/// From longer names the walk goes on here.
const LABELS_MAX: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_up_takes_eight_steps_at_most() {
        let mut names = vec!["a.b.c.d.e.f.g.h.i.j.k.example.com"];
        while let Some(name) = parent(names[names.len() - 1]) {
            names.push(name);
        }
        let expected = [
            "a.b.c.d.e.f.g.h.i.j.k.example.com",
            "g.h.i.j.k.example.com",
            "h.i.j.k.example.com",
            "i.j.k.example.com",
            "j.k.example.com",
            "k.example.com",
            "example.com",
            "com",
        ];
        assert_eq!(names, expected);
        assert_eq!(parent("a.b.c.d.e.f.g.com"), Some("b.c.d.e.f.g.com"));
    }

    #[test]
    fn one_label_below_a_suffix() {
        assert_eq!(one_below("bank.example", "mail.mega.bank.example"), "mega.bank.example");
        assert_eq!(one_below("bank.example", "mega.bank.example"), "mega.bank.example");
    }
}
