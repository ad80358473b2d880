//! Who followed a link: a person's mail program, a proxy that loads images for people, or a scanner that opens everything.
//!
//! Known by the User-Agent, from the table in `agents.toml`, and by how it asks. An unknown one is taken for a person: no report
//! gets fewer opens by guessing.

use serde::{Deserialize, Serialize};

/// Octets of a User-Agent that are looked at.
const AGENT_OCTETS_MAX: usize = 512;

/// Who followed a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    /// A mail program or browser.
    Person,
    /// A provider that loads images for its users: when they open the message (Gmail, Yahoo) or whether they do or not (Apple).
    Proxy,
    /// A filter, a preview or a crawler.
    Scanner,
}

impl AgentKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            AgentKind::Person => "person",
            AgentKind::Proxy => "proxy",
            AgentKind::Scanner => "scanner",
        }
    }
}

/// Who followed a link, with the name of the known ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// Of which kind.
    pub kind: AgentKind,
    /// Its name in the table, such as `GoogleImageProxy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How a link was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The field User-Agent.
    pub user_agent: &'a str,
    /// It was HEAD, which no mail program sends.
    pub is_head: bool,
    /// It was to be fetched ahead: `Sec-Purpose`, `Purpose` or `X-Moz` say prefetch.
    pub is_prefetch: bool,
}

/// The table of known agents.
#[derive(Clone, Debug)]
pub struct Agents(Vec<Known>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: String,
    kind: AgentKind,
    /// Stands somewhere in the User-Agent, without regard to case.
    contains: Option<String>,
    /// Is the whole User-Agent.
    is: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    agent: Vec<Known>,
}

impl Default for Agents {
    fn default() -> Agents {
        Agents::parse(include_str!("agents.toml")).expect("a test reads the table that ships")
    }
}

impl Agents {
    /// A table in the form of the one that ships; the error tells the line.
    pub fn parse(table: &str) -> Result<Agents, String> {
        let Table { agent } = toml::from_str(table).map_err(|error| error.to_string())?;
        Ok(Agents(agent))
    }

    /// Who asked.
    pub fn recognise(&self, asked: &Asked<'_>) -> Agent {
        let cut = asked.user_agent.floor_char_boundary(AGENT_OCTETS_MAX);
        let agent = asked.user_agent.get(..cut).unwrap_or_default().trim();
        let lower = agent.to_ascii_lowercase();
        let known = self.0.iter().find(|known| {
            known.is.as_deref().is_some_and(|whole| whole == agent)
                || known.contains.as_deref().is_some_and(|piece| lower.contains(&piece.to_ascii_lowercase()))
        });
        let name = known.map(|known| known.name.clone());
        let kind = match known {
            Some(known) => known.kind,
            None if asked.is_head || asked.is_prefetch || agent.is_empty() => AgentKind::Scanner,
            None => AgentKind::Person,
        };
        Agent { kind, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(user_agent: &str) -> (AgentKind, Option<String>) {
        let agent = Agents::default().recognise(&Asked { user_agent, ..Asked::default() });
        (agent.kind, agent.name)
    }

    #[test]
    fn proxies_scanners_and_people_are_told_apart() {
        for (agent, kind, name) in [
            (
                "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
                AgentKind::Proxy,
                "GoogleImageProxy",
            ),
            ("Mozilla/5.0", AgentKind::Proxy, "Apple Mail Privacy Protection"),
            (
                "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
                AgentKind::Proxy,
                "YahooMailProxy",
            ),
            ("Barracuda Sentinel (EE)", AgentKind::Scanner, "Barracuda"),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", AgentKind::Scanner, "Slackbot"),
            ("curl/8.0", AgentKind::Scanner, "curl"),
        ] {
            assert_eq!(recognised(agent), (kind, Some(name.to_owned())), "{agent}");
        }
        let person = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";
        assert_eq!(recognised(person), (AgentKind::Person, None));
        assert_eq!(recognised("Thunderbird/128.0"), (AgentKind::Person, None));
        assert_eq!(recognised("").0, AgentKind::Scanner);
    }

    #[test]
    fn who_only_looks_ahead_is_no_person() {
        let browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        for asked in
            [Asked { is_head: true, ..Asked::default() }, Asked { is_prefetch: true, ..Asked::default() }]
        {
            let agent = Agents::default().recognise(&Asked { user_agent: browser, ..asked });
            assert_eq!(agent.kind, AgentKind::Scanner);
        }
    }
}
