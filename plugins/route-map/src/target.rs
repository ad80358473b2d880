//! What stands on the right side of the table.

use baton_sdk::prelude::*;

/// Where the mail of an entry goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `mx`: the MX of the recipient's own domain.
    Mx,
    /// `mx:example.net`: the MX of another domain.
    MxOf(String),
    /// `host:port`: SMTP, tried in this order.
    Hosts(Vec<(String, u16)>),
    /// `lmtp:host:port` or `lmtp:unix:/path`.
    Lmtp(String),
    /// `next-hop:name`: a next hop of the relay's settings.
    NextHop(String),
    /// `hold:reason`: until an operator releases it.
    Hold(String),
    /// `fail:550 5.1.2 text`.
    Fail(Reply),
    /// `pass`: no opinion, whatever wider entries say.
    Pass,
}

impl Target {
    /// Reads an entry. Several texts are hosts, tried in order.
    pub(crate) fn read(texts: &[String]) -> Result<Target> {
        match texts {
            [text] => read_one(text.trim()),
            _ => {
                let hosts: Result<Vec<_>> = texts.iter().map(|text| read_host(text.trim())).collect();
                hosts.map(Target::Hosts)
            }
        }
    }

    /// Tells the relay.
    pub(crate) fn apply(&self, cx: &Context, rcpt: &Address) -> Result<RouteDecision> {
        let routing = cx.routing();
        match self {
            Target::Mx => routing.use_mx_of(rcpt.domain())?,
            Target::MxOf(domain) => routing.use_mx_of(domain)?,
            Target::Lmtp(target) => routing.use_lmtp(target)?,
            Target::NextHop(name) => routing.use_next_hop(name)?,
            Target::Hosts(hosts) => {
                for (index, (host, port)) in hosts.iter().enumerate() {
                    match index {
                        0 => routing.use_host(host, *port)?,
                        _ => routing.add_fallback(host, *port)?,
                    }
                }
            }
            Target::Hold(reason) => return Ok(RouteDecision::Hold(reason.clone())),
            Target::Fail(reply) => return Ok(RouteDecision::Fail(reply.clone())),
            Target::Pass => return next(),
        }
        Ok(RouteDecision::Routed)
    }
}

fn read_one(text: &str) -> Result<Target> {
    match text.split_once(':') {
        None => match text {
            "mx" => Ok(Target::Mx),
            "pass" => Ok(Target::Pass),
            "" => Err(Error::new("the target is empty")),
            name => read_name(name),
        },
        Some(("mx", domain)) if !domain.is_empty() => Ok(Target::MxOf(domain.to_owned())),
        Some(("lmtp", target)) => read_lmtp(target),
        Some(("next-hop", name)) => read_name(name),
        Some(("hold", reason)) if !reason.trim().is_empty() => Ok(Target::Hold(reason.trim().to_owned())),
        Some(("fail", line)) => match line.trim().parse::<Reply>()? {
            reply if reply.is_permanent() => Ok(Target::Fail(reply)),
            _ => Err(Error::new("fail needs a 5xx reply, such as \"fail:550 5.1.2 no such domain\"")),
        },
        Some(_) => Ok(Target::Hosts(vec![read_host(text)?])),
    }
}

fn read_name(name: &str) -> Result<Target> {
    if name.is_empty() || name.contains(['.', ' ', '/']) {
        let shape = "is neither the name of a next hop nor host:port (write mail.example.org:25)";
        return Err(Error::new([name, " ", shape].concat()));
    }
    Ok(Target::NextHop(name.to_owned()))
}

fn read_lmtp(target: &str) -> Result<Target> {
    match target.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => {}
        Some(_) => return Err(Error::new("lmtp:unix: needs an absolute path")),
        None => {
            read_host(target)?;
        }
    }
    Ok(Target::Lmtp(target.to_owned()))
}

/// Reads `host:port`; an IPv6 address stands in brackets, which are dropped.
fn read_host(text: &str) -> Result<(String, u16)> {
    let invalid =
        || Error::new([text, " is not host:port (write mail.example.org:25 or [2001:db8::1]:25)"].concat());
    let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
    let port = port.parse::<u16>().ok().filter(|&port| port != 0).ok_or_else(invalid)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let address = rest.strip_suffix(']').ok_or_else(invalid)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| invalid())?;
            address
        }
        None => host,
    };
    let bracketed = text.starts_with('[');
    let named = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
    if host.is_empty() || !(bracketed || host.bytes().all(named)) {
        return Err(invalid());
    }
    Ok((host.to_owned(), port))
}
