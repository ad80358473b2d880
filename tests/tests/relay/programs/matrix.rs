//! Every route of the API, asked by everybody who may not: no token, one that ended, one without the scope, of another place,
//! of another tenant, of another stream. The routes are those that the relay itself names, so none can be forgotten.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use baton_tests::api::{Api, Reply};
use baton_tests::program;
use baton_tests::relay::Relay;
use baton_tests::sink::Sink;
use baton_tests::web::Web;
use baton_tests::zone::Zone;
use serde_json::{Value, json};

use super::{message, settings, with};

/// What stands in everything of acme's, and in nothing else.
const MARK: &str = "mark-of-acme";
/// What stands in what is of its stream `receipts` alone.
const STREAM_MARK: &str = "mark-of-receipts";
const PASSWORD: &str = "correct horse battery";
const SCOPES: [&str; 6] = ["send", "read", "suppress", "templates", "webhooks", "admin"];

/// A request that is right when acme, or an operator, makes it.
#[derive(Debug)]
struct Call {
    /// `GET /v1/streams/{stream}`.
    route: String,
    scope: String,
    method: String,
    path: String,
    kind: &'static str,
    body: String,
}

impl Call {
    fn ask(&self, api: &Api, query: &str) -> Result<Reply> {
        let separator = if self.path.contains('?') { "&" } else { "?" };
        let query = if query.is_empty() { String::new() } else { format!("{separator}{query}") };
        let headers = [("Content-Type", self.kind)];
        let headers = if self.body.is_empty() { &[][..] } else { &headers[..] };
        api.ask(&self.method, &format!("{}{query}", self.path), headers, self.body.as_bytes())
    }

    /// It names a thing, so it is about nothing else.
    fn names_one(&self) -> bool {
        self.route.contains('{')
    }
}

/// A relay with things of acme's, and of others.
struct World {
    relay: Relay,
    acme: Api,
    operator: Api,
    /// What stands for a place in a path.
    places: BTreeMap<&'static str, String>,
    _sink: Sink,
    _zone: Zone,
    web: Web,
}

impl World {
    fn make() -> Result<World> {
        let sink = Sink::start()?;
        let web = Web::start(|_, _| (204, String::new()))?;
        let zone = Zone::serve("acme.example. 60 IN A 192.0.2.1\n")?;
        let settings = settings(&sink)
            .names_from(zone.address())
            .set("webhooks.allowed_networks", vec!["127.0.0.0/8"])
            .plugin("guard", &program::plugin("baton-plugin-noop")?);
        let relay = Relay::start(settings)?;
        for tenant in ["acme", "other"] {
            relay.said(&["tenant", "add", tenant, "--domain", &format!("{tenant}.example")])?;
        }
        for stream in ["receipts", "news"] {
            let note = format!("{MARK} {stream}");
            relay.said(&["stream", "add", stream, "--tenant", "acme", "--note", &note])?;
        }
        relay.said(&["domain", "add", "acme.example"])?;
        let person = json!({"name": "ann", "password": PASSWORD, "note": MARK});
        let (status, made) = relay.admin_raw("POST", "/v1/operators", &person.to_string())?;
        ensure!(status == 201, "{made}");
        let acme = Api::with_token(&relay, &["--tenant", "acme", "--scope", "admin", "--note", MARK])?;
        let operator = Api::with_token(&relay, &["--scope", "admin"])?;
        let mut world =
            World { relay, acme, operator, places: BTreeMap::new(), _sink: sink, _zone: zone, web };
        world.fill()?;
        Ok(world)
    }

    fn fill(&mut self) -> Result<()> {
        let acme = &self.acme;
        let upload = acme.ask("POST", &format!("/v1/uploads?filename={MARK}"), &[], b"x")?.json()?;
        // It waits for a day, so that there is something to be taken back.
        let recent = self.relay.admin("GET", "/v1/messages/recent", "")?;
        let tomorrow = recent.get("now").and_then(Value::as_u64).context("the time")? + 86_400_000;
        let later =
            json!({"send_at": tomorrow, "tags": [MARK], "to": [format!("{STREAM_MARK}@dest.example")]});
        self.operator.send(&json!({"from": "a@own.example", "to": ["b@dest.example"], "text": "x"}))?;
        let sent = acme.send(&with(later))?;
        let put = |path: &str, body: Value| self.put(path, &body);
        put("/v1/webhooks/hook", json!({"url": self.web.url("/"), "about": MARK}))?;
        put("/v1/templates/invoice", json!({"description": MARK, "subject": "s", "text": "t"}))?;
        put("/v1/accounts/app@acme.example", json!({"tenant": "acme", "stream": "receipts"}))?;
        let preview = json!({"template": {"html": MARK}, "page": true});
        let preview = acme.post("/v1/templates/invoice/preview", &preview)?.json()?;
        let preview = preview.get("page").and_then(Value::as_str).context("a page")?.to_owned();
        let entries = json!({"entries": [
            {"address": "gone@dest.example", "note": MARK},
            {"address": "left@dest.example", "stream": "receipts", "note": format!("{MARK} {STREAM_MARK}")}]});
        ensure!(acme.post("/v1/suppressions", &entries)?.status == 200);
        let suspended =
            self.operator.post("/v1/shaping", &json!({"domain": "slow.example", "reason": "x"}))?;
        let token = acme.post("/v1/tokens", &json!({"scopes": ["read"], "note": MARK}))?.json()?;
        let named = |value: Option<&Value>| {
            value.and_then(Value::as_str).map(str::to_owned).context("a thing without a name")
        };
        self.places = BTreeMap::from([
            ("{tenant}", "acme".to_owned()),
            ("{operator}", "ann".to_owned()),
            ("{stream}", "receipts".to_owned()),
            ("{token}", named(token.get("id"))?),
            ("{upload}", named(upload.get("id"))?),
            ("/messages/{id}", format!("/messages/{}", named(sent.get("id"))?)),
            ("/shaping/{id}", format!("/shaping/{}", named(suspended.json()?.get("id"))?)),
            ("{template}", "invoice".to_owned()),
            ("/v1/previews/{preview}", preview),
            ("/webhooks/{name}", "/webhooks/hook".to_owned()),
            ("/followers/{name}", "/followers/index".to_owned()),
            ("/accounts/{name}", "/accounts/app@acme.example".to_owned()),
            ("{address}", "left@dest.example".to_owned()),
            ("{domain}", "acme.example".to_owned()),
            ("/reports/{kind}", "/reports/dmarc".to_owned()),
            ("{operation}", "hold".to_owned()),
            ("{plugin}", "guard".to_owned()),
        ]);
        Ok(())
    }

    fn put(&self, path: &str, body: &Value) -> Result<()> {
        let reply = self.acme.ask("PUT", path, &[], body.to_string().as_bytes())?;
        ensure!(reply.status < 300, "{path}: {reply:?}");
        Ok(())
    }

    /// Every route that the relay names, what only removes behind all else.
    fn calls(&self) -> Result<Vec<Call>> {
        let document = self.acme.get("/v1/openapi.json")?.json()?;
        let paths = document.get("paths").and_then(Value::as_object).context("no paths")?;
        let mut calls = Vec::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().context("no methods")? {
                let method = method.to_ascii_uppercase();
                let mut filled = path.clone();
                for (place, value) in &self.places {
                    filled = filled.replace(place, value);
                }
                ensure!(!filled.contains('{'), "the test knows nothing that stands for {path}");
                let route = format!("{method} {path}");
                let (query, kind, body) = self.asked(&route);
                let scope = operation.get("x-scope").and_then(Value::as_str).context(route.clone())?;
                let path = format!("{filled}{query}");
                calls.push(Call { scope: scope.to_owned(), route, method, path, kind, body });
            }
        }
        calls.sort_by_key(|call| (call.method == "DELETE", std::cmp::Reverse(call.path.len())));
        ensure!(calls.len() >= 60, "{}", calls.len());
        Ok(calls)
    }

    /// What has to be said to each route, besides its path: query, media type, body.
    fn asked(&self, route: &str) -> (&'static str, &'static str, String) {
        let mail = message();
        let body = match route {
            "POST /v1/messages" => mail,
            "POST /v1/messages/batch" => json!({"common": mail, "messages": [{}]}),
            "POST /v1/tenants" => json!({"name": "third"}),
            "POST /v1/streams" => json!({"name": "fresh"}),
            "POST /v1/tokens" => json!({"scopes": ["read"]}),
            "POST /v1/operators" => json!({"name": "bob", "password": PASSWORD}),
            "PATCH /v1/operators/{operator}" => json!({"note": MARK}),
            "POST /v1/session" => json!({"name": "ann", "password": PASSWORD}),
            "PUT /v1/session/password" => json!({"old": PASSWORD, "new": PASSWORD.to_uppercase()}),
            "PUT /v1/plugins/{plugin}/switch" => json!({"mode": "monitor"}),
            "PATCH /v1/tenants/{tenant}" => json!({"suspended": ""}),
            "PATCH /v1/streams/{stream}" | "PATCH /v1/tokens/{token}" => json!({"note": MARK}),
            "PUT /v1/templates/{template}" => json!({"description": MARK, "text": "t"}),
            "PUT /v1/webhooks/{name}" => json!({"url": self.web.url("/")}),
            "PATCH /v1/webhooks/{name}" => json!({"about": MARK}),
            "PUT /v1/accounts/{name}" | "PATCH /v1/accounts/{name}" => json!({"disabled": true}),
            "POST /v1/suppressions" => json!({"entries": [{"address": "more@dest.example"}]}),
            "POST /v1/queue/{operation}" => json!({"domain": "nowhere.example"}),
            "POST /v1/shaping" => json!({"domain": "new.example", "reason": "x"}),
            "POST /v1/warmup/complaints" => json!({"source": "x", "provider": "x", "count": 1}),
            "POST /v1/suppressions/import" => {
                return ("", "text/csv", "address\nx@dest.example\n".to_owned());
            }
            "POST /v1/uploads" => return ("", "text/plain", "x".to_owned()),
            "POST /v1/webhooks/{name}/replay" => return ("?since=1h", JSON, String::new()),
            "GET /v1/reports/{kind}" => return ("?domain=acme.example", JSON, String::new()),
            "DELETE /v1/suppressions/{address}" => return ("?stream=receipts", JSON, String::new()),
            _ => return ("", JSON, String::new()),
        };
        ("", JSON, body.to_string())
    }

    /// All that acme can see of its own, to be compared.
    fn own(&self) -> Result<Vec<String>> {
        let lists =
            ["streams", "templates", "tokens", "webhooks", "accounts", "suppressions", "domains", "audit"];
        let read = |list: &&str| {
            let mut seen = self.acme.get(&format!("/v1/{list}"))?.json()?;
            // When a token was used is no change, nor how a delivery goes.
            for rows in ["tokens", "webhooks"] {
                for row in seen.get_mut(rows).and_then(Value::as_array_mut).into_iter().flatten() {
                    for name in ["used_at", "status", "behind"] {
                        row.as_object_mut().context("a row")?.remove(name);
                    }
                }
            }
            Ok(seen.to_string())
        };
        lists.iter().map(read).collect()
    }
}

const JSON: &str = "application/json";
/// Of an address that each tenant may know something of, or nothing.
const OF_EVERYBODY: [&str; 3] =
    ["GET /v1/suppressions/{address}", "GET /v1/persons/{address}", "DELETE /v1/persons/{address}"];

/// Right for whom it is for: else the refusals would show nothing.
#[test]
fn every_route_answers_whom_it_is_for() -> Result<()> {
    let world = World::make()?;
    for call in world.calls()? {
        let api = if call.scope == "operator" { &world.operator } else { &world.acme };
        let reply = call.ask(api, "")?;
        let fits = match call.route.as_str() {
            // A token is no session.
            "PUT /v1/session/password" | "DELETE /v1/sessions" => reply.status == 401,
            // There is no plan of warm-up.
            "POST /v1/warmup/complaints" => reply.status == 400 && reply.fields()? == ["source"],
            // They are there.
            "PUT /v1/webhooks/{name}" | "PUT /v1/accounts/{name}" => reply.status == 409,
            // It has streams; it still follows.
            "DELETE /v1/tenants/{tenant}" | "DELETE /v1/followers/{name}" => reply.status == 409,
            _ => (200..300).contains(&reply.status),
        };
        ensure!(fits, "{}: {reply:?}", call.route);
    }
    Ok(())
}

#[test]
fn no_route_answers_who_has_no_token_that_counts() -> Result<()> {
    let world = World::make()?;
    let made = |body: Value| -> Result<Api> {
        let made: Value =
            serde_json::from_str(&world.relay.admin_raw("POST", "/v1/tokens", &body.to_string())?.1)?;
        let text = made.get("token").and_then(Value::as_str).context("a token")?;
        Ok(Api::of(&world.relay)?.showing(text))
    };
    let all = json!(SCOPES);
    let nobody = Api::of(&world.relay)?;
    let ended = made(json!({"tenant": "acme", "scopes": all, "expires_at": 1}))?;
    let ended_operator = made(json!({"scopes": all, "expires_at": 1}))?;
    let elsewhere = made(json!({"tenant": "acme", "scopes": all, "networks": ["192.0.2.0/24"]}))?;
    let forged = nobody.showing("bt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let strangers =
        [(&nobody, 401), (&ended, 401), (&ended_operator, 401), (&forged, 401), (&elsewhere, 403)];
    let before = world.own()?;
    for call in world.calls()?.iter().filter(|call| call.scope != "none") {
        for (stranger, status) in strangers {
            let reply = call.ask(stranger, "")?;
            ensure!(reply.status == status, "{}: {reply:?}", call.route);
            ensure!((reply.header("www-authenticate").is_some()) == (status == 401), "{reply:?}");
            check_silent(call, &reply, MARK)?;
        }
    }
    ensure!(world.own()? == before);
    Ok(())
}

#[test]
fn no_route_answers_a_token_without_its_scope() -> Result<()> {
    let world = World::make()?;
    // All scopes but that one, and but `admin`, which is all of them.
    let mut without = BTreeMap::new();
    for scope in SCOPES {
        let words =
            SCOPES.iter().filter(|one| **one != scope && **one != "admin").flat_map(|one| ["--scope", one]);
        let words: Vec<&str> = ["--tenant", "acme"].into_iter().chain(words).collect();
        without.insert(scope, Api::with_token(&world.relay, &words)?);
    }
    let words: Vec<&str> =
        SCOPES.iter().filter(|one| **one != "admin").flat_map(|one| ["--scope", one]).collect();
    let small_operator = Api::with_token(&world.relay, &words)?;
    let of_stream =
        Api::with_token(&world.relay, &["--tenant", "acme", "--stream", "receipts", "--scope", "admin"])?;
    for call in world.calls()?.iter().filter(|call| call.scope != "none") {
        let refused: Vec<&Api> = match call.scope.as_str() {
            "operator" => vec![&world.acme, &small_operator, &of_stream],
            scope => vec![without.get(scope).context(call.route.clone())?],
        };
        for api in refused {
            let reply = call.ask(api, "")?;
            ensure!(reply.status == 403, "{}: {reply:?}", call.route);
            check_silent(call, &reply, MARK)?;
        }
    }
    Ok(())
}

#[test]
fn no_route_shows_or_changes_what_is_another_tenants() -> Result<()> {
    let world = World::make()?;
    let other = Api::with_token(&world.relay, &["--tenant", "other", "--scope", "admin"])?;
    let before = world.own()?;
    for call in world.calls()?.iter().filter(|call| call.scope != "operator" && call.scope != "none") {
        let named = call.ask(&other, "tenant=acme")?;
        ensure!(matches!(named.status, 400 | 403 | 404 | 422), "{}: {named:?}", call.route);
        check_silent(call, &named, MARK)?;
        // Names of webhooks and templates are each tenant's own: it would make one for itself.
        if matches!(call.route.as_str(), "PUT /v1/webhooks/{name}" | "PUT /v1/templates/{template}") {
            continue;
        }
        let reply = call.ask(&other, "")?;
        let fits = match reply.status {
            // Of its own: lists, and what it makes or sends for itself. What others' lists have is nothing to it.
            200..300 => !call.names_one() || OF_EVERYBODY.contains(&call.route.as_str()),
            400 | 403 | 404 | 422 => true,
            _ => false,
        };
        ensure!(fits, "{}: {reply:?}", call.route);
        check_silent(call, &reply, MARK)?;
    }
    ensure!(world.own()? == before, "all of acme's is as it was");
    Ok(())
}

#[test]
fn no_route_shows_or_changes_what_is_another_streams() -> Result<()> {
    let world = World::make()?;
    let words = ["--tenant", "acme", "--stream", "news", "--scope", "admin"];
    let news = Api::with_token(&world.relay, &words)?;
    let before = world.own()?;
    for call in world.calls()?.iter().filter(|call| call.scope != "operator" && call.scope != "none") {
        for query in ["", "stream=receipts"] {
            let reply = call.ask(&news, query)?;
            ensure!(reply.status < 500, "{}: {reply:?}", call.route);
            check_silent(call, &reply, STREAM_MARK)?;
            if call.names_one() && call.path.contains("receipts") {
                ensure!(reply.status >= 400, "{}: {reply:?}", call.route);
            }
        }
    }
    // Its own things it may make; those of others are as they were.
    for (before, after) in before.iter().zip(world.own()?) {
        let rows = |text: &str| -> Result<Vec<Value>> {
            let all: Value = serde_json::from_str(text)?;
            let rows =
                all.as_object().and_then(|all| all.values().find_map(Value::as_array)).or(all.as_array());
            Ok(rows.cloned().unwrap_or_default())
        };
        let after = rows(&after)?;
        for row in rows(before)? {
            ensure!(after.contains(&row), "{row} in {after:?}");
        }
    }
    Ok(())
}

/// What is asked for may be named in the answer; nothing else of it may.
fn check_silent(call: &Call, reply: &Reply, mark: &str) -> Result<()> {
    let shown = reply.body.replace("app@acme.example", "").replace(&call.path, "");
    ensure!(!shown.contains(mark), "{}: {reply:?}", call.route);
    Ok(())
}
