//! What plugins reach beyond the message: HTTP with the relay's own resolver, next hops, secrets, a new body.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use baton_tests::http::{HttpServer, Request};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::zone::Zone;
use baton_tests::{message, program};

fn with_zoo(settings: Settings, config: &str) -> Result<Settings> {
    Ok(settings.plugin("zoo", &program::plugin("baton-plugin-zoo")?).with(config))
}

/// What the plugin says at the end of a message, as the client hears it.
fn answer_of(relay: &Relay, message: &[u8]) -> Result<String> {
    Ok(relay.client()?.send("a@sender.example", &["b@dest.example"], message)?.to_string())
}

fn hello(_: &Request) -> (u16, String, Vec<u8>) {
    (200, "X-Score: 1\r\n".to_owned(), b"hello plugin".to_vec())
}

/// A relay whose plugin asks for `url` at the end of each message.
fn asking(zone: &Zone, url: &str, grant: &str, more: &str) -> Result<Relay> {
    Relay::start(to_ask(zone, url, grant, more)?)
}

fn to_ask(zone: &Zone, url: &str, grant: &str, more: &str) -> Result<Settings> {
    let config = format!(
        "[plugins.zoo]\ngrants.http = ['{grant}']\nconfig = {{ data = 'fetch', url = '{url}' }}\n{more}"
    );
    with_zoo(Settings::new().names_from(zone.address()), &config)
}

#[test]
fn a_name_is_asked_when_it_leads_where_plugins_may_go() -> Result<()> {
    let server = HttpServer::start(hello)?;
    let port = server.address().port();
    let zone = Zone::serve("api.example. 60 IN A 127.0.0.1\n")?;
    let (url, grant) = (format!("http://api.example:{port}/v1/x"), format!("http://api.example:{port}/v1/"));
    let relay = asking(&zone, &url, &grant, "[http]\nallowed_networks = ['127.0.0.1/32']\n")?;
    let answer = answer_of(&relay, &message::plain("http"))?;
    assert!(answer.contains("200: hello plugin"), "{answer}");
    let [request] = &server.requests()[..] else { panic!("one request") };
    assert!(request.fields.contains(&format!("host: api.example:{port}")), "{request:?}");
    let metrics = relay.metrics()?;
    assert!(
        metrics.contains("baton_hooks_http_requests_total{plugin=\"zoo\",outcome=\"answered\"} 1"),
        "{metrics}"
    );
    Ok(())
}

#[test]
fn what_may_be_asked_follows_a_reload() -> Result<()> {
    let server = HttpServer::start(hello)?;
    let zone = Zone::serve("api.example. 60 IN A 127.0.0.1\n")?;
    let url = format!("http://api.example:{}/", server.address().port());
    let relay = asking(&zone, &url, &url, "")?;
    let answer = answer_of(&relay, &message::plain("before"))?;
    assert!(answer.contains("Error::Denied"), "{answer}");
    let more = "[http]\nallowed_networks = ['127.0.0.1/32']\n[delivery]\nverify_max = 3\n";
    relay.write_settings(to_ask(&zone, &url, &url, more)?)?;
    let said = relay.said(&["reload"])?;
    assert!(said.contains("http.allowed_networks") && said.contains("delivery.verify_max"), "{said}");
    assert!(!said.contains("restart"), "{said}");
    let answer = answer_of(&relay, &message::plain("after"))?;
    assert!(answer.contains("200: hello plugin"), "{answer}");

    let bad = more.replace("[delivery]", "ca_file = 'none.pem'\n[delivery]");
    relay.write_settings(to_ask(&zone, &url, &url, &bad)?)?;
    let output = relay.run(&["reload"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("http.ca_file"), "{said}");
    let answer = answer_of(&relay, &message::plain("kept"))?;
    assert!(answer.contains("200: hello plugin"), "{answer}");
    Ok(())
}

#[test]
fn a_name_that_leads_inside_is_refused() -> Result<()> {
    let server = HttpServer::start(hello)?;
    let port = server.address().port();
    let zone = Zone::serve(
        "loop.example.   60 IN A 127.0.0.1\n\
         meta.example.   60 IN A 169.254.169.254\n\
         mapped.example. 60 IN AAAA ::ffff:10.0.0.1\n\
         six.example.    60 IN AAAA ::ffff:127.0.0.1\n\
         nat.example.    60 IN AAAA 64:ff9b::7f00:1\n\
         alias.example.  60 IN CNAME loop.example.\n",
    )?;
    for name in
        ["loop.example", "meta.example", "mapped.example", "six.example", "nat.example", "alias.example"]
    {
        let url = format!("http://{name}:{port}/");
        // Naming the name is not naming the address: whoever owns the name must not choose.
        let relay = asking(&zone, &url, &url, "")?;
        let answer = answer_of(&relay, &message::plain("inside"))?;
        assert!(answer.contains("Error::Denied"), "{name}: {answer}");
    }
    assert!(server.requests().is_empty());
    Ok(())
}

#[test]
fn a_name_that_moves_inside_between_two_requests_is_refused() -> Result<()> {
    let outside = HttpServer::start_at("127.0.0.3:0".parse()?, hello)?;
    let port = outside.address().port();
    let inside = HttpServer::start_at(format!("127.0.0.1:{port}").parse()?, hello)?;
    let zone = Zone::serve("unused.example. 60 IN A 127.0.0.1\n")?;
    zone.server().set_turns("moving.example", &[Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::LOCALHOST]);
    let url = format!("http://moving.example:{port}/");
    let relay = asking(&zone, &url, &url, "[http]\nallowed_networks = ['127.0.0.3/32']\n")?;
    let first = answer_of(&relay, &message::plain("first"))?;
    assert!(first.contains("200: hello plugin"), "{first}");
    // A kept connection to the first address is no way around the check either.
    let second = answer_of(&relay, &message::plain("second"))?;
    assert!(second.contains("Error::Denied"), "{second}");
    assert_eq!((outside.requests().len(), inside.requests().len()), (1, 0));
    Ok(())
}

#[test]
fn urls_in_disguise_do_not_leave_the_grant() -> Result<()> {
    let server = HttpServer::start(|request| match request.target.as_str() {
        "/v1/away" => (302, "Location: http://127.0.0.1/v2/secret\r\n".to_owned(), Vec::new()),
        _ => (200, String::new(), b"reached".to_vec()),
    })?;
    let address = server.address();
    let zone = Zone::serve("evil.example. 60 IN A 127.0.0.1\n")?;
    let grant = format!("http://{address}/v1/");
    for url in [
        format!("http://{address}/v1/../v2/secret"),
        format!("http://{address}/v1/%2e%2e/v2/secret"),
        format!("http://{address}/v1/..%2fv2/secret"),
        format!("http://{address}/v1/%252e%252e/v2/secret"),
        format!("http://{address}@evil.example/v1/"),
        format!("http://evil.example:{}/v1/", address.port()),
        format!("http://[::ffff:127.0.0.1]:{}/v1/", address.port()),
    ] {
        let relay = asking(&zone, &url, &grant, "")?;
        let answer = answer_of(&relay, &message::plain("disguise"))?;
        assert!(answer.contains("Error::Denied") || answer.contains("failed: "), "{url}: {answer}");
    }
    assert!(server.requests().is_empty());
    let relay = asking(&zone, &format!("http://{address}/v1/away"), &grant, "")?;
    let answer = answer_of(&relay, &message::plain("redirect"))?;
    assert!(answer.contains("302 to http://127.0.0.1/v2/secret: "), "{answer}");
    assert_eq!(server.requests().len(), 1, "the redirect was not followed");
    Ok(())
}

#[test]
fn a_scanner_gets_the_whole_message_without_a_copy_in_the_plugin() -> Result<()> {
    let server = HttpServer::start(hello)?;
    let url = format!("http://{}/checkv2", server.address());
    let config = format!(
        "[plugins.zoo]\ngrants.http = ['{url}']\ngrants.edit = ['headers']\nlimits.memory_octets = 4_000_000\n\
         config = {{ data = 'post', url = '{url}' }}\n"
    );
    let relay = Relay::start(with_zoo(Settings::new(), &config)?)?;
    let large = [message::plain("scan"), "x".repeat(998).into_bytes(), b"\r\n".repeat(4_000_000)].concat();
    let answer = answer_of(&relay, &large)?;
    assert!(answer.contains("200: hello plugin"), "{answer}");
    let [request] = &server.requests()[..] else { panic!("one request") };
    assert_eq!(request.method, "POST");
    let posted = String::from_utf8_lossy(&request.content);
    assert!(posted.contains("X-Zoo: posted\r\n") && posted.len() > large.len(), "{}", posted.len());
    Ok(())
}

#[test]
fn the_next_hop_is_asked_before_a_recipient_is_taken() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
        (Step::Rcpt, "gone@dest.example") => Say::Line("550 5.1.1 no such user".into()),
        _ => Say::Yes,
    }))?;
    let config = "[plugins.zoo]\ngrants.verify = true\nconfig.rcpt = 'verify'\n";
    let relay = Relay::start(with_zoo(Settings::new().all_to(sink.address()), config)?)?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    let known = client.command("RCPT TO:<b@dest.example>")?.to_string();
    assert!(known.contains("127.0.0.1 says 250"), "{known}");
    let gone = client.command("RCPT TO:<gone@dest.example>")?.to_string();
    assert!(gone.contains("127.0.0.1 says 550 no such user"), "{gone}");
    assert!(sink.messages().is_empty(), "a question is no mail");
    let metrics = relay.metrics()?;
    for line in ["{answer=\"yes\"} 1", "{answer=\"no\"} 1"] {
        assert!(metrics.contains(&format!("baton_delivery_questions_total{line}")), "{metrics}");
    }
    assert!(!metrics.contains("baton_delivery_questions_total{answer=\"remembered\"} 0"));
    Ok(())
}

#[test]
fn a_secret_reaches_the_plugin_and_nobody_else() -> Result<()> {
    let relay = Relay::prepare(Settings::new())?;
    let path = relay.folder().join("token");
    std::fs::write(&path, "hunter2\n")?;
    let config = format!(
        "[plugins.zoo]\nconfig.data = 'secret'\n[plugins.zoo.secrets]\ntoken = {{ file = '{}' }}\n",
        path.display()
    );
    let mut relay = relay;
    relay.write_settings(with_zoo(Settings::new(), &config)?)?;
    relay.start_again()?;
    let answer = answer_of(&relay, &message::plain("secret"))?;
    assert!(answer.contains("Some(\"hunter2\")"), "{answer}");
    std::fs::write(&path, "correct horse")?;
    relay.said(&["reload"])?;
    let answer = answer_of(&relay, &message::plain("secret"))?;
    assert!(answer.contains("correct horse"), "{answer}");
    let shown = [relay.said(&["plugins"])?, relay.admin("GET", "/v1/plugins", "")?.to_string()].concat();
    assert!(!shown.contains("hunter2") && !shown.contains("correct horse"), "{shown}");
    assert!(shown.contains("secret token"), "{shown}");
    std::fs::remove_file(&path)?;
    let refused = relay.run(&["reload"])?;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("plugins.zoo.secrets.token"), "{told}");
    Ok(())
}

#[test]
fn a_new_body_is_delivered_and_explained() -> Result<()> {
    let sink = Sink::start()?;
    let config = "[plugins.zoo]\ngrants.edit = ['headers', 'body']\nconfig.data = 'new-body'\n";
    let relay = Relay::start(with_zoo(Settings::new().all_to(sink.address()), config)?)?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("body"))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("X-Zoo").as_deref(), Some("new body"));
    let text = received.text();
    let (_, body) = text.split_once("\r\n\r\n").context("a body")?;
    assert!(body.starts_with("Grüße\r\nfirst\r\n") && body.ends_with("\r\nlast\r\n"), "{body}");
    relay.wait_for_event(&id, "delivered")?;
    let told = relay.said(&["explain", &id])?;
    assert!(told.contains("body replaced, "), "{told}");
    Ok(())
}
