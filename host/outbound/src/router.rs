//! The router: what plugins said about one recipient, and what the settings say, become one plan.

use std::sync::Arc;
use std::time::Duration;

use baton_hooks::RouteAnswer;
use baton_mail::edit::RouteEdit;
use baton_mail::{Domain, EnhancedCode, FailureClass, Phase, Reply, Status, UnixMs};

use crate::next_hop::{HostPort, LmtpTarget, NextHop};
use crate::routes::RouteTable;
use crate::site::Route;

/// How long a copy waits when a plugin named a next hop that is not there, in milliseconds.
const BAD_ROUTE_WAIT_MS: u64 = 300_000;

/// What is done with one recipient's copy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) step: Step,
    /// Not before this moment.
    pub(crate) not_before: Option<UnixMs>,
    /// Given up this long after acceptance.
    pub(crate) expire_after: Option<Duration>,
}

/// The kinds of plans.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Deliver.
    Forward(Route),
    /// Keep for an operator.
    Hold { reason: String, by: String },
    /// Give up.
    Fail(Status),
    /// Decide again later.
    Later { after_ms: u64, status: Status },
}

impl Plan {
    /// Deliver by this route, at once.
    pub(crate) fn forward(route: Route) -> Plan {
        Plan { step: Step::Forward(route), not_before: None, expire_after: None }
    }

    /// The plan of a plugin's answer and edits; what they leave open is as the settings say.
    pub(crate) fn new(
        answer: RouteAnswer,
        by: Option<String>,
        edits: Vec<RouteEdit>,
        routes: &RouteTable,
        domain: &Domain,
    ) -> Plan {
        let mut edited = Edited::default();
        for edit in edits {
            edited.apply(edit, routes);
        }
        let (not_before, expire_after) = (edited.not_before, edited.expire_after);
        let step = match answer {
            RouteAnswer::Hold(reason) => Step::Hold { reason, by: by.unwrap_or_else(|| "plugin".to_owned()) },
            RouteAnswer::Fail(reply) => Step::Fail(refused(&reply)),
            RouteAnswer::Retry { after_ms, reason } => Step::Later { after_ms, status: not_decided(&reason) },
            RouteAnswer::Next | RouteAnswer::Routed => match edited.problem.take() {
                Some(problem) => Step::Later { after_ms: BAD_ROUTE_WAIT_MS, status: not_decided(&problem) },
                None => Step::Forward(edited.route(routes, domain)),
            },
        };
        Plan { step, not_before, expire_after }
    }
}

/// A plugin's own refusal.
fn refused(reply: &Reply) -> Status {
    let enhanced = reply.enhanced().filter(|code| code.0 == 5).unwrap_or(EnhancedCode(5, 7, 1));
    Status::ours(Phase::Policy, FailureClass::Policy, enhanced, reply.text().replace('\n', " "))
}

/// A plugin that failed, or a next hop that is not there, is a fault of this system (RFC 3463 3.4, 3.5).
fn not_decided(reason: &str) -> Status {
    Status::ours(Phase::Policy, FailureClass::Unknown, EnhancedCode(4, 3, 5), reason)
}

/// The sum of the edits: of next hops the last one counts, fallbacks add up.
#[derive(Debug, Default)]
struct Edited {
    next_hop: Option<Arc<NextHop>>,
    trusted: bool,
    fallbacks: Vec<HostPort>,
    queue: Option<String>,
    not_before: Option<UnixMs>,
    expire_after: Option<Duration>,
    problem: Option<String>,
}

impl Edited {
    fn apply(&mut self, edit: RouteEdit, routes: &RouteTable) {
        match edit {
            RouteEdit::MxOf(domain) => self.go_to(Ok(NextHop::Mx(domain))),
            RouteEdit::Host(host, port) => {
                self.go_to(host_port(&host, port).map(|host| NextHop::Hosts(vec![host])))
            }
            RouteEdit::Lmtp(target) => {
                let parsed =
                    target.parse::<LmtpTarget>().map_err(|error| format!("LMTP target {target}: {error}"));
                self.go_to(parsed.map(NextHop::Lmtp));
            }
            RouteEdit::Named(name) => match routes.named(&name) {
                Some(next_hop) => {
                    self.trusted = !matches!(*next_hop, NextHop::Mx(_));
                    self.next_hop = Some(next_hop);
                    self.problem = None;
                }
                None => {
                    self.problem =
                        Some(format!("a plugin chose the next hop {name}, which is not in the settings"))
                }
            },
            RouteEdit::Fallback(host, port) => match host_port(&host, port) {
                Ok(host) => self.fallbacks.push(host),
                Err(problem) => self.problem = Some(problem),
            },
            RouteEdit::Queue(name) => self.queue = Some(name),
            RouteEdit::NotBefore(at) => self.not_before = Some(at),
            RouteEdit::ExpireAfterMs(ms) => self.expire_after = Some(Duration::from_millis(ms)),
        }
    }

    /// A next hop in a plugin's own words: it must not lead to this machine.
    fn go_to(&mut self, next_hop: Result<NextHop, String>) {
        match next_hop {
            Ok(next_hop) => {
                self.next_hop = Some(Arc::new(next_hop));
                self.trusted = false;
                self.problem = None;
            }
            Err(problem) => self.problem = Some(problem),
        }
    }

    fn route(self, routes: &RouteTable, domain: &Domain) -> Route {
        match self.next_hop {
            Some(next_hop) => Route {
                next_hop,
                fallbacks: self.fallbacks,
                queue: self.queue,
                trusted: self.trusted,
                require_tls: false,
                tls_optional: false,
            },
            None => {
                let base = Route::of_settings(routes.find(domain));
                // The plugin's own hosts must not borrow the trust of the settings' next hop.
                let trusted = base.trusted && self.fallbacks.is_empty();
                Route { fallbacks: self.fallbacks, queue: self.queue, trusted, ..base }
            }
        }
    }
}

fn host_port(host: &str, port: u16) -> Result<HostPort, String> {
    HostPort::parse(host, port)
        .map(|parsed| HostPort { port, ..parsed })
        .map_err(|error| format!("host {host}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(answer: RouteAnswer, edits: Vec<RouteEdit>) -> Plan {
        let next_hops = [("archive".to_owned(), NextHop::File("/var/archive".into()))].into();
        let routes = RouteTable::new(next_hops, &[], &crate::RouteTarget::RecipientMx).unwrap();
        Plan::new(answer, None, edits, &routes, &"example.org".parse().unwrap())
    }

    fn next_hop(plan: &Plan) -> String {
        match &plan.step {
            Step::Forward(route) => route.next_hop.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_word_of_plugins_the_settings_decide() {
        assert_eq!(next_hop(&plan(RouteAnswer::Next, Vec::new())), "mx of example.org");
    }

    #[test]
    fn the_last_next_hop_wins_and_fallbacks_add_up() {
        let edits = vec![
            RouteEdit::Host("a.example".to_owned(), 26),
            RouteEdit::Fallback("b.example".to_owned(), 25),
            RouteEdit::Host("c.example".to_owned(), 27),
            RouteEdit::Fallback("d.example".to_owned(), 25),
        ];
        let plan = plan(RouteAnswer::Routed, edits);
        assert_eq!(next_hop(&plan), "host c.example:27");
        let Step::Forward(route) = plan.step else { panic!("it forwards") };
        assert_eq!(route.fallbacks.len(), 2);
        assert!(!route.trusted, "a plugin's host may not be on this machine");
    }

    #[test]
    fn named_next_hops_are_trusted_and_unknown_ones_wait() {
        let named = |name: &str| plan(RouteAnswer::Routed, vec![RouteEdit::Named(name.to_owned())]);
        assert_eq!(next_hop(&named("archive")), "file /var/archive");
        assert!(matches!(named("missing").step, Step::Later { .. }));
    }

    #[test]
    fn answers_become_steps() {
        let held = plan(RouteAnswer::Hold("look".to_owned()), Vec::new());
        assert!(matches!(held.step, Step::Hold { .. }));
        let failed = plan(RouteAnswer::Fail(Reply::new(550, EnhancedCode(5, 7, 0), "never")), Vec::new());
        assert!(matches!(failed.step, Step::Fail(status) if status.enhanced == EnhancedCode(5, 7, 0)));
        let expire =
            plan(RouteAnswer::Next, vec![RouteEdit::ExpireAfterMs(5), RouteEdit::NotBefore(UnixMs(9))]);
        assert_eq!(
            (expire.not_before, expire.expire_after),
            (Some(UnixMs(9)), Some(Duration::from_millis(5)))
        );
    }
}
