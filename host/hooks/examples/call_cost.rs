//! What a hook costs: `call_cost FILE HOOK [CONFIG-JSON [CALLS [INSTANCES [WHEN [OCTETS]]]]]`.
//!
//! Prints microseconds per call, from before the chain to after it. FILE is a component or a script; INSTANCES is
//! `fresh` (each call has one of its own), `session` or `pool`; WHEN is a guard (empty: none); OCTETS is the size of the
//! message (4 KiB).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use baton_hooks::host::Capabilities;
use baton_hooks::worlds::World;
use baton_hooks::{
    AttemptFacts, Call, Credential, Engine, EngineSettings, Generation, Grants, GuardSettings, Hook,
    Instances, Limits, MessageContent, OnFailure, PluginSettings, RunSettings, SessionFacts, SessionNotes,
};
use baton_mail::body::Content;
use baton_mail::{Envelope, Mailbox, MessageId, Origin, ReversePath, SessionId, SystemClock, UnixMs};
use tokio::time::Instant;

const CALLS: usize = 20_000;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let source = arguments
        .first()
        .context("usage: call_cost FILE HOOK [CONFIG-JSON [CALLS [INSTANCES [WHEN [OCTETS]]]]]")?;
    let hook =
        arguments.get(1).and_then(|name| Hook::from_name(name)).context("the second argument is a hook")?;
    let config = serde_json::from_str(arguments.get(2).map_or("{}", String::as_str))?;
    let calls = arguments.get(3).map_or(Ok(CALLS), |text| text.parse())?;
    let instances = match arguments.get(4).map(String::as_str) {
        None | Some("fresh") => Instances::Fresh,
        Some("session") => Instances::Session,
        Some("pool") => Instances::Pool,
        Some(_) => return Err(anyhow!("the fifth argument is fresh, session or pool")),
    };
    let when = arguments.get(5).filter(|when| !when.is_empty());
    let when = when.map(|when| GuardSettings { hook: None, when: when.clone() });
    let octets = arguments.get(6).map_or(Ok(4_096), |text| text.parse())?;
    let capabilities = Capabilities { clock: Arc::new(SystemClock), ..World::default().capabilities() };
    let plugin = PluginSettings {
        hooks: Some(vec![hook]),
        on_failure: OnFailure::Closed,
        limits: Limits::default(),
        grants: Grants {
            relay: true,
            route: vec!["*".to_owned()],
            dns: true,
            kv: vec!["rate".to_owned()],
            edit: vec![baton_hooks::EditGrant::Headers],
            ..Grants::default()
        },
        run: RunSettings { instances, when: when.into_iter().collect(), ..RunSettings::default() },
        config,
        ..PluginSettings::new("measured", source)
    };
    let engine = Engine::new(&EngineSettings::default())?;
    let generation = Generation::load(&engine, 1, &[plugin], &HashMap::new(), &capabilities)
        .await
        .map_err(|errors| anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    if std::env::var_os("FIRST_TIER").is_none() {
        generation.settled().await;
    }
    let mut call = call_at(hook, octets)?;
    let rcpt: Mailbox = "ann@us.example".parse()?;
    let answer = ask(&generation, hook, &mut call, &rcpt).await;
    let mut took = Vec::with_capacity(calls);
    for _ in 0..calls {
        let started = Instant::now();
        ask(&generation, hook, &mut call, &rcpt).await;
        took.push(started.elapsed());
    }
    took.sort();
    let at = |share: usize| {
        took.get(took.len() * share / 100).copied().unwrap_or_default().as_nanos() as f64 / 1e3
    };
    println!("{hook}: answer {answer}; pool {}; instances {}", engine.is_pooling(), instances.as_str());
    println!(
        "{calls} calls, µs: least {:.1}  median {:.1}  p90 {:.1}  p99 {:.1}",
        at(0),
        at(50),
        at(90),
        at(99)
    );
    Ok(())
}

fn call_at(hook: Hook, octets: usize) -> anyhow::Result<Call> {
    let session = SessionFacts::new(SessionId(1), "relay".to_owned(), "192.0.2.1".parse()?, 4_000);
    let mut call = Call::new(Arc::new(session), SessionNotes::default());
    if matches!(hook, Hook::Connect | Hook::Auth) {
        return Ok(call);
    }
    let sender = ReversePath::Mailbox("from@them.example".parse()?);
    call.envelope = Envelope::new(
        MessageId::new(UnixMs(1)),
        UnixMs(1),
        Duration::from_secs(60),
        sender,
        Origin::internal(),
    );
    call.envelope.recipients.push("ann@us.example".parse::<Mailbox>()?.into());
    call.recipient_parameters.push(Vec::new());
    let header = "Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n".repeat(3);
    let text = format!(
        "{header}Subject: hello\r\nFrom: a@them.example\r\nTo: ann@us.example\r\n\r\n{}",
        "x\r\n".repeat(octets / 3)
    );
    call.content = Some(MessageContent::new(Content::split(text.into())));
    call.attempt = Some(AttemptFacts::default());
    Ok(call)
}

async fn ask(generation: &Generation, hook: Hook, call: &mut Call, rcpt: &Mailbox) -> String {
    match hook {
        Hook::Connect => format!("{:?}", generation.connect(call).await.answer),
        Hook::Auth => {
            let credential = Credential::Password("secret".to_owned());
            format!("{:?}", generation.auth(call, "PLAIN", "ann", credential).await.answer)
        }
        Hook::Rcpt => format!("{:?}", generation.rcpt(call, rcpt, &[]).await.answer),
        Hook::Data => format!("{:?}", generation.data(call).await.answer),
        Hook::Route => format!("{:?}", generation.route(call, rcpt).await.answer),
        Hook::Bounce => format!("{:?}", generation.bounce(call, rcpt).await.answer),
        Hook::Events => "nobody waits for observers".to_owned(),
    }
}
