//! `routing`: where one copy goes, staged; every target needs a grant, so that no plugin can relay wherever it likes.

use std::net::IpAddr;

use baton_mail::edit::{Edit, RouteEdit};
use baton_mail::text::{is_unsafe, sanitize};
use baton_mail::{Domain, UnixMs};

use crate::Hook;
use crate::bindings::baton::relay::routing::Host;
use crate::host::envelope::check_name;
use crate::state::State;

/// Octets of a Unix socket's path (`sun_path`).
const SOCKET_PATH_OCTETS_MAX: usize = 107;
/// Octets of the last error that a plugin is shown.
const ERROR_OCTETS_MAX: usize = 1_024;

/// A target, as far as grants tell targets apart.
enum Target<'a> {
    Mx,
    Host(&'a str),
    Named(&'a str),
}

impl State {
    fn check_is_routing(&self) -> Result<(), String> {
        match self.hook {
            Some(Hook::Route) => Ok(()),
            Some(hook) => Err(format!("there is nothing to route at the {hook} hook")),
            None => Err("not available in init".to_owned()),
        }
    }

    fn check_target(&self, target: &Target<'_>) -> Result<(), String> {
        self.check_is_routing()?;
        if self.terms.grants.route.iter().any(|grant| covers(grant, target)) {
            return Ok(());
        }
        let missing = match target {
            Target::Mx => "mx".to_owned(),
            Target::Host(host) => format!("host:{host}"),
            Target::Named(name) => (*name).to_owned(),
        };
        Err(format!(
            "no grant: add \"{}\" to grants.route of this plugin",
            sanitize(&missing, ERROR_OCTETS_MAX)
        ))
    }

    fn stage_route(&mut self, edit: RouteEdit) -> Result<(), String> {
        self.staged.push(Edit::Route(edit))
    }

    fn stage_mx(&mut self, domain: &str) -> Result<(), String> {
        self.check_target(&Target::Mx)?;
        let domain: Domain =
            domain.parse().map_err(|error: baton_mail::address::InvalidAddress| error.to_string())?;
        self.stage_route(RouteEdit::MxOf(domain))
    }

    fn stage_host(
        &mut self,
        host: &str,
        port: u16,
        edit: impl Fn(String, u16) -> RouteEdit,
    ) -> Result<(), String> {
        let host = check_host(host, port)?;
        self.check_target(&Target::Host(&host))?;
        self.stage_route(edit(host, port))
    }

    fn stage_lmtp(&mut self, target: &str) -> Result<(), String> {
        let (granted, target) = check_lmtp(target)?;
        self.check_target(&Target::Host(&granted))?;
        self.stage_route(RouteEdit::Lmtp(target))
    }

    fn stage_next_hop(&mut self, name: String) -> Result<(), String> {
        check_name(&name)?;
        self.check_target(&Target::Named(&name))?;
        self.stage_route(RouteEdit::Named(name))
    }

    fn stage_setting(&mut self, edit: RouteEdit) -> Result<(), String> {
        self.check_is_routing()?;
        self.stage_route(edit)
    }
}

impl Host for State {
    fn attempt(&mut self) -> wasmtime::Result<u32> {
        self.charge()?;
        Ok(self.call.attempt.as_ref().map_or(0, |attempt| attempt.attempt))
    }

    fn age_ms(&mut self) -> wasmtime::Result<u64> {
        self.charge()?;
        Ok(self.call.attempt.as_ref().map_or(0, |attempt| attempt.age_ms))
    }

    fn last_error(&mut self) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        let last = self.call.attempt.as_ref().and_then(|attempt| attempt.last.as_ref());
        Ok(last.map(|status| sanitize(&status.to_string(), ERROR_OCTETS_MAX)))
    }

    fn use_mx_of(&mut self, domain: String) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_mx(&domain);
        self.counted(result)
    }

    fn use_host(&mut self, host: String, port: u16) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_host(&host, port, RouteEdit::Host);
        self.counted(result)
    }

    fn use_lmtp(&mut self, target: String) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_lmtp(&target);
        self.counted(result)
    }

    fn use_next_hop(&mut self, name: String) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_next_hop(name);
        self.counted(result)
    }

    fn add_fallback(&mut self, host: String, port: u16) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_host(&host, port, RouteEdit::Fallback);
        self.counted(result)
    }

    fn set_queue(&mut self, name: String) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = check_name(&name).and_then(|()| self.stage_setting(RouteEdit::Queue(name)));
        self.counted(result)
    }

    fn not_before(&mut self, unix_ms: u64) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_setting(RouteEdit::NotBefore(UnixMs(unix_ms)));
        self.counted(result)
    }

    fn expire_after(&mut self, ms: u64) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_setting(RouteEdit::ExpireAfterMs(ms));
        self.counted(result)
    }
}

/// A host name or an address without brackets, in its canonical form.
fn check_host(host: &str, port: u16) -> Result<String, String> {
    if port == 0 {
        return Err("a port is a number from 1 to 65535".to_owned());
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    match host.parse::<Domain>() {
        Ok(domain) if domain.as_literal().is_none() => Ok(domain.as_str().to_owned()),
        _ => Err("not a host name or an address".to_owned()),
    }
}

/// What the grant must name, and the target: `host:port` or `unix:/path`.
fn check_lmtp(target: &str) -> Result<(String, String), String> {
    if let Some(path) = target.strip_prefix("unix:") {
        let is_valid =
            path.starts_with('/') && path.len() <= SOCKET_PATH_OCTETS_MAX && !path.chars().any(is_unsafe);
        let is_straight = !path.split('/').any(|step| step == "..");
        return if is_valid && is_straight {
            Ok((target.to_owned(), target.to_owned()))
        } else {
            Err("not a socket path".to_owned())
        };
    }
    let (host, port) = target.rsplit_once(':').ok_or("an LMTP target is \"host:port\" or \"unix:/path\"")?;
    let port: u16 = port.parse().map_err(|_| "a port is a number from 1 to 65535")?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = check_host(bare, port)?;
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok((host, target))
}

fn covers(grant: &str, target: &Target<'_>) -> bool {
    match (grant, target) {
        ("*", _) | ("mx", Target::Mx) => true,
        (_, Target::Host(host)) => grant.strip_prefix("host:").is_some_and(|pattern| matches(pattern, host)),
        (_, Target::Named(name)) => grant == *name,
        (_, Target::Mx) => false,
    }
}

/// Shell-like: `*` stands for any run of characters. Linear in the text for each star.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern.eq_ignore_ascii_case(text) };
    let (head, text, rest) =
        (head.to_ascii_lowercase(), text.to_ascii_lowercase(), rest.to_ascii_lowercase());
    let Some(mut left) = text.strip_prefix(head.as_str()) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_cover_what_they_name() {
        assert!(
            covers("*", &Target::Mx) && covers("*", &Target::Host("h")) && covers("*", &Target::Named("n"))
        );
        assert!(covers("mx", &Target::Mx) && !covers("mx", &Target::Named("n")));
        assert!(covers("host:*.example.org", &Target::Host("mx.Example.org")));
        assert!(!covers("host:*.example.org", &Target::Host("example.org.evil")));
        assert!(covers("host:mx*.example.*", &Target::Host("mx1.example.net")));
        assert!(!covers("host:mx*.example.*", &Target::Host("mail.example.net")));
        assert!(covers("archive", &Target::Named("archive")) && !covers("archive", &Target::Host("archive")));
        assert!(!covers("host:a*a", &Target::Host("a")));
    }

    #[test]
    fn lmtp_targets_are_hosts_or_sockets() {
        assert_eq!(
            check_lmtp("Mail.Example:24").unwrap(),
            ("mail.example".to_owned(), "mail.example:24".to_owned())
        );
        assert_eq!(check_lmtp("[::1]:24").unwrap().1, "[::1]:24");
        assert_eq!(check_lmtp("unix:/run/lmtp").unwrap().0, "unix:/run/lmtp");
        for bad in ["mail", "mail:0", "mail:x", "unix:run", "unix:/a/../b", "unix:/a\nb", "a b:24"] {
            assert!(check_lmtp(bad).is_err(), "{bad}");
        }
    }
}
