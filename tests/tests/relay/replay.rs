//! Calls of a real relay, recorded, and made again without it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use baton_tests::http::HttpServer;
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{message, program, wait};

const SECRET: &str = "t0ken-of-the-score-service";
const SCRIPT: &str = r#"
export function onRcpt(rcpt) {
  kv("seen").increment(rcpt.local);
  kv("seen").set("last", `by ${secret("token")}`);
  return rcpt.local === "evil" ? reject("not him") : next();
}
export function onData() {
  const [headers, body] = [{ authorization: secret("token") }, `token=${secret("token")}`];
  const { status } = http.fetch(config.url, { method: "POST", headers, body });
  message.setHeader("X-Score", String(status));
  return next();
}
"#;

/// A relay that records the script, with three calls behind it.
fn recorded(sink: &Sink, server: &HttpServer, more: &str) -> Result<Relay> {
    let url = format!("http://{}/", server.address());
    let settings = Settings::new().all_to(sink.address()).with(&format!(
        "[plugins.guard]\nsource = 'guard.js'\nconfig = {{ url = '{url}score' }}\nrecord.folder = 'records'\n{more}\n\
         grants = {{ kv = ['seen'], edit = ['headers'], http = ['{url}'] }}\nsecrets.token = {{ file = 'token' }}\n"
    ));
    let mut relay = Relay::prepare(settings)?;
    fs::write(relay.folder().join("guard.js"), SCRIPT)?;
    fs::write(relay.folder().join("token"), SECRET)?;
    relay.start_again()?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<evil@dest.example>", 550)?;
    let id = relay.send("a@sender.example", &["good@dest.example"], &message::plain("recorded"))?;
    relay.wait_until_empty()?;
    ensure!(!relay.story(&id)?.is_empty(), "no story");
    Ok(relay)
}

fn score(_: &baton_tests::http::Request) -> (u16, String, Vec<u8>) {
    (200, String::new(), b"fine".to_vec())
}

/// The records of the plugin, as soon as there are so many.
fn records(relay: &Relay, count: usize) -> Result<Vec<PathBuf>> {
    let folder = relay.folder().join("records/guard");
    wait::until("the records to be written", || {
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(None) };
        let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        let whole = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "json");
        Ok((paths.iter().filter(whole).count() >= count).then_some(paths))
    })
}

/// What the tool says, and whether it found all as it was.
fn replay(folder: &Path, words: &[&str]) -> Result<(String, bool)> {
    let mut command = std::process::Command::new(program::relay()?);
    command.args(["plugin", "replay"]).args(words).current_dir(folder);
    let output = output_within(command, wait::LONG)?;
    let said = [output.stdout, output.stderr].concat();
    Ok((String::from_utf8_lossy(&said).into_owned(), output.status.code().context("it was killed")? == 0))
}

#[test]
fn the_same_build_decides_as_recorded_and_a_changed_one_is_told() -> Result<()> {
    let (sink, server) = (Sink::start()?, HttpServer::start(score)?);
    let mut relay = recorded(&sink, &server, "")?;
    for path in records(&relay, 3)? {
        ensure!(fs::metadata(&path)?.permissions().mode() & 0o077 == 0, "others can read {}", path.display());
        let text = fs::read_to_string(&path)?;
        ensure!(!text.contains(SECRET), "{} has the secret: {text}", path.display());
    }
    relay.stop()?;
    drop(server);
    let (said, is_same) = replay(relay.folder(), &["records", "--plugin", "guard.js"])?;
    ensure!(is_same && said.contains("3 of 3 calls are as before"), "{said}");

    let other = SCRIPT.replace("not him", "not her").replace("String(status)", "`${status}!`");
    fs::write(relay.folder().join("new.js"), other)?;
    let (said, is_same) = replay(relay.folder(), &["records", "--plugin", "new.js"])?;
    ensure!(!is_same, "{said}");
    for expected in [
        "rcpt evil@dest.example\n  decision   was reject 550 5.7.1 not him\n  decision   is  reject 550 5.7.1 not her\n",
        "data\n  edits      was header=X-Score: 200\n  edits      is  header=X-Score: 200!\n",
        "1 of 3 calls are as before",
        "2 of 3 calls differ",
    ] {
        ensure!(said.contains(expected), "`{expected}` was not said:\n{said}");
    }

    fs::write(relay.folder().join("asks.js"), SCRIPT.replace("config.url,", "config.url + '?v=2',"))?;
    let (said, is_same) = replay(relay.folder(), &["records/guard", "--plugin", "asks.js"])?;
    ensure!(!is_same, "{said}");
    for expected in [
        "host calls was http POST http://",
        "/score?v=2, content ",
        "1 host calls have no recorded answer",
        "1 of 3 calls differ",
    ] {
        ensure!(said.contains(expected), "`{expected}` was not said:\n{said}");
    }
    Ok(())
}

#[test]
fn records_are_bounded_and_others_are_refused() -> Result<()> {
    let (sink, server) = (Sink::start()?, HttpServer::start(score)?);
    let relay = recorded(&sink, &server, "record.calls_max = 2")?;
    wait::until("the bound to be told", || {
        Ok(relay.log().contains("enough calls are recorded").then_some(()))
    })?;
    ensure!(records(&relay, 2)?.len() == 2, "more than was allowed");
    fs::write(relay.folder().join("other.json"), "{}")?;
    let (said, _) = replay(relay.folder(), &["other.json", "--plugin", "guard.js"])?;
    ensure!(said.contains("other.json: is no record of a call"), "{said}");
    let (said, _) = replay(relay.folder(), &["records", "--name", "guest", "--plugin", "guard.js"])?;
    ensure!(said.contains("the records are of guard"), "{said}");
    Ok(())
}
