//! What operators decided about a job in the queue: another next hop, or its end.

use std::net::IpAddr;
use std::sync::Arc;

use baton_mail::{EnhancedCode, FailureClass, Outcome, Phase, Status};

use crate::job::Job;
use crate::next_hop::{HostPort, LmtpTarget, NextHop};
use crate::routes::RouteTable;
use crate::shared::Shared;
use crate::site::Route;
use crate::worker::Attempted;

/// How long a job waits whose next hop is not in the settings any more, in milliseconds.
const GONE_WAIT_MS: u64 = 300_000;
/// The port of a host without one (RFC 5321 4.5.4.2).
const SMTP_PORT: u16 = 25;

impl Shared {
    /// Does what an operator wants of the job; gives it back when that is nothing.
    pub(crate) fn obey(self: &Arc<Self>, job: Job) -> Option<Job> {
        if let Some(give_up) = job.claim.give_up() {
            let status = returned(&give_up.reason);
            let shared = Arc::clone(self);
            self.spawn(async move { shared.finish(Attempted::unsent(job, &Outcome::Failed(status))).await });
            return None;
        }
        let Some(text) = job.claim.route().filter(|_| !job.is_expired(self.clock.now())) else {
            return Some(job);
        };
        match read_next_hop(text, &self.settings.load().routes) {
            Ok(next_hop) => self.forward(job, Route::of_settings(next_hop)),
            Err(problem) => {
                // RFC 3463 3.4: system incorrectly configured.
                let code = EnhancedCode(4, 3, 5);
                let status = Status::ours(Phase::Policy, FailureClass::Unknown, code, problem);
                let shared = Arc::clone(self);
                self.spawn(async move { shared.later(job, GONE_WAIT_MS, status).await });
            }
        }
        None
    }
}

/// The end of a job by an operator's word.
fn returned(reason: &str) -> Status {
    Status::ours(Phase::Policy, FailureClass::Policy, EnhancedCode(5, 7, 0), reason)
}

/// The next hop in an operator's words: a name of the settings, `mx:DOMAIN`, `lmtp:TARGET`, or hosts with commas between.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn read_next_hop(text: &str, routes: &RouteTable) -> Result<Arc<NextHop>, String> {
    if let Some(next_hop) = routes.named(text) {
        return Ok(next_hop);
    }
    if let Some(domain) = text.strip_prefix("mx:") {
        return domain.parse().map(NextHop::Mx).map(Arc::new).map_err(|error| format!("{text}: {error}"));
    }
    if let Some(target) = text.strip_prefix("lmtp:") {
        let target = target.parse::<LmtpTarget>().map_err(|error| format!("{text}: {error}"))?;
        return Ok(Arc::new(NextHop::Lmtp(target)));
    }
    let host = |host: &str| {
        let host = host.trim();
        let is_host = host.contains(['.', ':']) || host.parse::<IpAddr>().is_ok();
        match HostPort::parse(host, SMTP_PORT) {
            Ok(parsed) if is_host => Ok(parsed),
            _ => Err(format!(
                "`{host}` is neither a name under [next_hops] nor host:port, mx:DOMAIN or lmtp:TARGET"
            )),
        }
    };
    let hosts = text.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(NextHop::Hosts(hosts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_hops_are_named_or_spelled_out() {
        let named = [("backup".to_owned(), NextHop::Discard)].into();
        let routes = RouteTable::new(named, &[], &crate::RouteTarget::RecipientMx).unwrap();
        let read = |text: &str| read_next_hop(text, &routes).map(|next_hop| next_hop.to_string());
        assert_eq!(read("backup").as_deref(), Ok("discard"));
        assert_eq!(read("mx:example.org").as_deref(), Ok("mx of example.org"));
        assert_eq!(read("lmtp:mail:24").as_deref(), Ok("lmtp mail:24"));
        assert_eq!(read("127.0.0.1:2525, b.example").as_deref(), Ok("host 127.0.0.1:2525, b.example:25"));
        for wrong in ["bakup", "", "mx:-", "lmtp:unix:x", "a.example,,b.example"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("bakup").unwrap_err().contains("[next_hops]"));
    }
}
