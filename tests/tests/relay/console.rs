//! The pages for operators, in a browser and by what it sends.
//!
//! `.ci/browser` fetches what drives the browser, which is Debian's.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use baton_tests::api::{Api, Reply};
use baton_tests::program;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::web::Web;
use baton_tests::zone::Zone;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

/// A relay with pages and an operator of each role.
fn relay(sink: &Sink) -> Result<Relay> {
    let relay = Relay::start(settings(sink))?;
    for role in ["viewer", "operator", "admin"] {
        make(&relay, role, role)?;
    }
    Ok(relay)
}

fn settings(sink: &Sink) -> Settings {
    Settings::new().all_to(sink.address()).set("api.listen", "127.0.0.1:0")
}

/// A relay whose next hop nobody is.
fn deferring() -> Result<Relay> {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Relay::start(Settings::new().all_to(nobody).set("api.listen", "127.0.0.1:0"))
}

fn make(relay: &Relay, name: &str, role: &str) -> Result<()> {
    let file = relay.folder().join("password");
    std::fs::write(&file, PASSWORD)?;
    let file = file.display().to_string();
    relay.said(&["operator", "add", name, "--role", role, "--password-file", &file]).map(drop)
}

/// Plays a case of `tests/console/drive.mjs`.
fn browse(relay: &Relay, case: &str, name: &str, more: Value) -> Result<()> {
    let mut known = json!({ "name": name, "password": PASSWORD });
    if let (Some(all), Value::Object(more)) = (known.as_object_mut(), more) {
        all.extend(more);
    }
    let base = format!("http://{}", relay.listener("api")?);
    let mut node = Command::new("node");
    node.arg(program::repository().join("tests/console/drive.mjs")).args([case, &base]).env("PATH", path()?);
    node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut node = node.spawn().context("node is missing: .ci/setup test, .ci/examples")?;
    node.stdin.take().context("no input")?.write_all(known.to_string().as_bytes())?;
    let output = node.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{case}: {said}\n{}", relay.log());
    Ok(())
}

/// With the programs that `.ci/examples` brought, where the machine has none.
fn path() -> Result<OsString> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let tools = cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("baton/tools/python/bin");
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(tools);
    Ok(path)
}

/// Logs in as programs do; returns the cookie and the second secret.
fn log_in(api: &Api, name: &str) -> Result<(String, String)> {
    let reply = api.post("/v1/session", &json!({ "name": name, "password": PASSWORD }))?;
    ensure!(reply.status == 200, "{reply:?}");
    let cookie = reply.header("set-cookie").and_then(|set| set.split(';').next());
    let cookie = cookie.context("no cookie")?.to_owned();
    let csrf = reply.json()?.get("csrf").and_then(Value::as_str).context("no secret")?.to_owned();
    Ok((cookie, csrf))
}

fn ask(api: &Api, method: &str, path: &str, fields: &[(&str, &str)], body: &Value) -> Result<Reply> {
    let fields = [&[("Content-Type", "application/json")], fields].concat();
    api.ask(method, path, &fields, body.to_string().as_bytes())
}

#[test]
fn an_operator_logs_in_and_out() -> Result<()> {
    let sink = Sink::start()?;
    browse(&relay(&sink)?, "login", "viewer", json!({}))
}

/// A relay with something on every page, and a message whose story there is.
fn furnished(sink: &Sink) -> Result<(Relay, Zone, String)> {
    let zone = Zone::serve("acme.example. 60 IN A 192.0.2.1\n")?;
    let settings = settings(sink).names_from(zone.address()).with(
        "[plugins.guard]\nsource = 'guard.js'\nnext = { source = 'guard.js', mode = 'shadow' }\n\
         [sources.b]\naddresses = ['127.0.0.1']\nwarmup = 'careful'\n\
         [warmup.careful]\ndays = [50, 100, 200, 400, 800]\nproviders = { google = [20, 50, 100] }\n",
    );
    let mut relay = Relay::prepare(settings)?;
    std::fs::write(relay.folder().join("guard.js"), "export function onRcpt() { return next(); }\n")?;
    relay.start_again()?;
    make(&relay, "admin", "admin")?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    relay.said(&["stream", "add", "receipts", "--tenant", "acme"])?;
    relay.said(&["domain", "add", "acme.example"])?;
    for from in ["ready/receipt", "ready/one-time-code"] {
        relay.said(&["template", "add", "hello", "--from", from])?;
    }
    relay.said(&["plugin", "switch", "guard", "--mode", "monitor"])?;
    relay.said(&["suppression", "add", "gone@dest.example"])?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], b"Subject: x\r\n\r\nx\r\n")?;
    relay.wait_until_empty()?;
    Ok((relay, zone, id))
}

/// Every page in one form: nobody is shut out, and nothing is wider than the window.
fn look_at_all(theme: &str, width: u32) -> Result<()> {
    let sink = Sink::start()?;
    let (relay, _zone, message) = furnished(&sink)?;
    let pages = program::repository().join("host/api/console/pages");
    let names = std::fs::read_dir(pages)?.map(|entry| Ok(entry?.file_name().display().to_string()));
    let files = names.collect::<Result<Vec<_>>>()?;
    let known = json!({ "theme": theme, "width": width, "files": files, "message": message });
    browse(&relay, "pages", "admin", known)
}

#[test]
fn every_page_is_for_everybody_light_and_wide() -> Result<()> {
    look_at_all("light", 1_280)
}

#[test]
fn every_page_is_for_everybody_dark_and_wide() -> Result<()> {
    look_at_all("dark", 1_280)
}

#[test]
fn every_page_is_for_everybody_light_and_narrow() -> Result<()> {
    look_at_all("light", 390)
}

#[test]
fn every_page_is_for_everybody_dark_and_narrow() -> Result<()> {
    look_at_all("dark", 390)
}

#[test]
fn a_template_is_written_restored_and_sent_and_can_not_get_out_of_its_preview() -> Result<()> {
    let sink = Sink::start()?;
    let elsewhere = Web::start(|_, _| (200, String::new()))?;
    let relay = relay(&sink)?;
    browse(&relay, "templates", "admin", json!({ "elsewhere": elsewhere.url("") }))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    ensure!(received.header("Subject").as_deref() == Some("Hello Ann"), "{received:?}");
    ensure!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
    let audit = relay.admin("GET", "/v1/audit", "")?.to_string();
    ensure!(audit.contains("template.put") && audit.contains("operator:admin"), "{audit}");
    Ok(())
}

#[test]
fn a_plugin_is_switched_by_its_page() -> Result<()> {
    let sink = Sink::start()?;
    let (relay, _zone, _) = furnished(&sink)?;
    relay.said(&["plugin", "clear", "guard"])?;
    make(&relay, "operator", "operator")?;
    browse(&relay, "plugins", "operator", json!({}))?;
    let listed = relay.said(&["plugins"])?;
    ensure!(listed.contains("monitor (by operator:operator; settings: enforce)"), "{listed}");
    ensure!(listed.contains("20 % (by operator:operator; settings: shadow"), "{listed}");
    Ok(())
}

#[test]
fn who_is_logged_in_changes_the_own_password_and_logs_out_everywhere() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    browse(&relay, "account", "viewer", json!({}))?;
    let audit = relay.admin("GET", "/v1/audit", "")?.to_string();
    ensure!(audit.contains("operator.password") && audit.contains("session.close-all"), "{audit}");
    ensure!(!audit.contains("horse"), "{audit}");
    Ok(())
}

#[test]
fn the_own_password_is_changed_by_who_knows_it() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    let api = Api::of(&relay)?;
    let (cookie, csrf) = log_in(&api, "viewer")?;
    let by = [("Cookie", cookie.as_str()), ("X-CSRF-Token", csrf.as_str())];
    let put = |by: &[(&str, &str)], old: &str, new: &str| {
        ask(&api, "PUT", "/v1/session/password", by, &json!({ "old": old, "new": new }))
    };
    let new = "another horse battery";
    ensure!(put(&by[..1], PASSWORD, new)?.status == 403, "no secret");
    for (old, new, field) in
        [("not the password", new, "old"), (PASSWORD, "short", "new"), (PASSWORD, PASSWORD, "new")]
    {
        let reply = put(&by, old, new)?;
        ensure!(reply.status == 422 && reply.fields()? == [field], "{reply:?}");
    }
    let changed = put(&by, PASSWORD, new)?;
    ensure!(changed.status == 200 && changed.header("set-cookie").is_some(), "{changed:?}");
    ensure!(api.ask("GET", "/v1/streams", &by, b"")?.status == 401, "the session of before is over");
    let login = json!({ "name": "viewer", "password": PASSWORD });
    ensure!(api.post("/v1/session", &login)?.status == 401, "the password of before is");
    let login = api.post("/v1/session", &json!({ "name": "viewer", "password": new }))?;
    ensure!(login.status == 200, "{login:?}");
    Ok(())
}

#[test]
fn a_viewer_sees_no_verbs_and_the_api_refuses_them() -> Result<()> {
    let relay = deferring()?;
    make(&relay, "viewer", "viewer")?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], b"Subject: x\r\n\r\nx\r\n")?;
    relay.wait_for_event(&id, "deferred")?;
    browse(&relay, "viewer", "viewer", json!({}))?;
    ensure!(relay.queue()?.len() == 1, "nothing was done");
    Ok(())
}

#[test]
fn the_story_of_a_message_is_told() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], b"Subject: x\r\n\r\nx\r\n")?;
    let delivered = relay.wait_for_event(&id, "delivered")?;
    let reply = delivered.pointer("/status/text").and_then(Value::as_str).context("no reply")?;
    browse(&relay, "story", "viewer", json!({ "message": id, "reply": reply }))
}

#[test]
fn a_suppression_of_the_page_refuses_mail() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    browse(&relay, "suppress", "operator", json!({ "address": "gone@dest.example" }))?;
    let mut client = relay.client()?;
    client.command("MAIL FROM:<ada@sender.example>")?;
    let answer = client.command("RCPT TO:<gone@dest.example>")?;
    ensure!(answer.code == 550, "{answer}");
    let audit = relay.admin("GET", "/v1/audit", "")?.to_string();
    ensure!(audit.contains("operator:operator") && audit.contains("session.open"), "{audit}");
    Ok(())
}

#[test]
fn what_is_chosen_of_the_queue_is_held() -> Result<()> {
    let relay = deferring()?;
    make(&relay, "operator", "operator")?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], b"Subject: x\r\n\r\nx\r\n")?;
    relay.wait_for_event(&id, "deferred")?;
    browse(&relay, "queue", "operator", json!({ "message": id }))?;
    let held = relay.wait_for_event(&id, "held")?;
    ensure!(held.get("by") == Some(&json!("operator:operator")), "{held}");
    Ok(())
}

#[test]
fn a_secret_is_shown_once() -> Result<()> {
    let sink = Sink::start()?;
    browse(&relay(&sink)?, "secrets", "admin", json!({}))
}

#[test]
fn a_change_shows_the_second_secret_and_comes_from_no_other_site() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    let api = Api::of(&relay)?;
    let (cookie, csrf) = log_in(&api, "admin")?;
    let by = ("Cookie", cookie.as_str());
    let tenant = |name: &str| json!({ "name": name });
    ensure!(ask(&api, "POST", "/v1/tenants", &[by], &tenant("a"))?.status == 403, "no secret");
    let wrong = [by, ("X-CSRF-Token", "x")];
    ensure!(ask(&api, "POST", "/v1/tenants", &wrong, &tenant("a"))?.status == 403, "another secret");
    let right = [by, ("X-CSRF-Token", csrf.as_str())];
    ensure!(ask(&api, "POST", "/v1/tenants", &right, &tenant("a"))?.status == 201);
    for site in ["cross-site", "same-site"] {
        let from = [by, ("X-CSRF-Token", csrf.as_str()), ("Sec-Fetch-Site", site)];
        ensure!(ask(&api, "POST", "/v1/tenants", &from, &tenant("b"))?.status == 403, "{site}");
        ensure!(api.ask("GET", "/v1/tenants", &[by, ("Sec-Fetch-Site", site)], b"")?.status == 403, "{site}");
        let login = json!({ "name": "admin", "password": PASSWORD });
        let login = ask(&api, "POST", "/v1/session", &[("Sec-Fetch-Site", site)], &login)?;
        ensure!(login.status == 403 && login.header("set-cookie").is_none(), "{login:?}");
    }
    let listed = api.ask("GET", "/v1/tenants", &[by], b"")?.json()?;
    ensure!(listed.pointer("/tenants/1").is_none(), "{listed}");
    let audit = api.ask("GET", "/v1/audit", &[by], b"")?.json()?;
    ensure!(audit.pointer("/changes/0/by") == Some(&json!("operator:admin")), "{audit}");
    ensure!(!audit.to_string().contains(&csrf) && !audit.to_string().contains(PASSWORD));
    Ok(())
}

#[test]
fn a_session_ends_with_every_change_of_its_operator() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    let api = Api::of(&relay)?;
    for words in [&["operator", "set", "admin", "--role", "viewer"][..], &["operator", "rm", "operator"][..]]
    {
        let name = words.get(2).copied().unwrap_or_default();
        let (cookie, _) = log_in(&api, name)?;
        let by = [("Cookie", cookie.as_str())];
        ensure!(api.ask("GET", "/v1/streams", &by, b"")?.status == 200);
        relay.said(words)?;
        ensure!(api.ask("GET", "/v1/streams", &by, b"")?.status == 401, "{words:?}");
        ensure!(api.ask("GET", "/v1/session", &by, b"")?.status == 204);
    }
    Ok(())
}

#[test]
fn who_guesses_has_to_wait_and_learns_nothing() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink).set("accounts.failures_per_network_max", 3))?;
    make(&relay, "ann", "admin")?;
    let api = Api::of(&relay)?;
    let try_as =
        |name: &str, password: &str| api.post("/v1/session", &json!({ "name": name, "password": password }));
    let (wrong, unknown) = (try_as("ann", "not the password")?, try_as("zoe", "not the password")?);
    ensure!(
        wrong.status == 401 && unknown.status == 401 && wrong.body == unknown.body,
        "{wrong:?} {unknown:?}"
    );
    ensure!(try_as("ann", PASSWORD)?.status == 200);
    ensure!(try_as("ann", "again not")?.status == 401);
    ensure!(try_as("ann", PASSWORD)?.status == 429, "even with the right one");
    Ok(())
}

#[test]
fn an_operator_of_a_tenant_sees_nothing_else() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    for tenant in ["acme", "bolt"] {
        relay.said(&["tenant", "add", tenant])?;
        relay.said(&["stream", "add", "news", "--tenant", tenant, "--note", tenant])?;
    }
    relay.said(&["operator", "set", "admin", "--tenant", "acme"])?;
    let api = Api::of(&relay)?;
    let (cookie, csrf) = log_in(&api, "admin")?;
    let by = [("Cookie", cookie.as_str()), ("X-CSRF-Token", csrf.as_str())];
    let own = api.ask("GET", "/v1/streams", &by, b"")?;
    ensure!(
        own.status == 200 && own.body.contains("\"note\":\"acme\"") && !own.body.contains("bolt"),
        "{own:?}"
    );
    ensure!(api.ask("GET", "/v1/streams?tenant=bolt", &by, b"")?.status == 404);
    for path in ["/v1/operators", "/v1/pulse", "/v1/queue/summary"] {
        ensure!(api.ask("GET", path, &by, b"")?.status == 403, "{path}");
    }
    Ok(())
}

#[test]
fn pages_run_nothing_that_does_not_come_from_here() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    let api = Api::of(&relay)?;
    let page = api.get("/console/messages/anything")?;
    let policy = page.header("content-security-policy").context("no policy")?;
    ensure!(page.status == 200 && policy.contains("default-src 'none'"), "{policy}");
    ensure!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
    ] {
        ensure!(page.header(name) == Some(value), "{name}");
    }
    ensure!(
        !page.body.contains("<style") && !page.body.contains(" style=") && !page.body.contains(" onclick=")
    );
    let script = page.body.split('"').find(|part| part.ends_with("/main.js")).context("no script")?;
    let kept = api.get(script)?;
    ensure!(
        kept.status == 200 && kept.header("cache-control").is_some_and(|keep| keep.contains("immutable"))
    );
    ensure!(kept.header("content-security-policy") == Some(policy));
    ensure!(api.get("/console/assets/0/nothing.js")?.status == 404);
    let off = Relay::start(settings(&sink).set("api.console.enabled", false))?;
    let api = Api::of(&off)?;
    ensure!(api.get("/console/")?.status == 404);
    let login = api.post("/v1/session", &json!({ "name": "x", "password": "y" }))?;
    ensure!(login.status == 404, "{login:?}");
    Ok(())
}
