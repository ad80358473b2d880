//! Messages go from one relay's queue to another's: as they are, and once, whoever is killed at whatever step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use baton_tests::message;
use baton_tests::program;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::wait;

use super::queue::switched;

/// Stands between the two commands, as ssh does, and kills somebody at the second message. Arguments: the step, the process to
/// kill (0 for the command that moves), and the command at the other relay.
const PIPE: &str = r#"
import os, signal, struct, subprocess, sys
step, victim, command = sys.argv[1], int(sys.argv[2]) or os.getppid(), sys.argv[3:]
taker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
number = 0
while True:
    length = sys.stdin.buffer.read(8)
    if len(length) < 8:
        break
    parcel = sys.stdin.buffer.read(struct.unpack(">Q", length)[0])
    number += 1
    if number == 2 and step == "before":
        os.kill(victim, signal.SIGKILL)
    taker.stdin.write(length + parcel)
    taker.stdin.flush()
    answer = taker.stdout.readline()
    if number == 2 and step == "taken":
        os.kill(victim, signal.SIGKILL)
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
taker.stdin.close()
sys.exit(taker.wait())
"#;

/// Two relays, and the next hop of each with what lets it take mail.
type Pair = (Relay, Relay, [(Sink, Arc<AtomicBool>); 2]);

/// A relay whose queue stays full, and one whose next hop takes mail when it is told to.
fn two_relays() -> Result<Pair> {
    let (closed, open) = (switched()?, switched()?);
    let from = Relay::start(
        Settings::new()
            .all_to(closed.0.address())
            .set("delivery.retry_first_s", 600.0)
            .set("delivery.retry_max_s", 600.0),
    )?;
    let to = Relay::start(Settings::new().all_to(open.0.address()))?;
    Ok((from, to, [closed, open]))
}

/// The command that takes messages at a relay, for a shell.
fn taking(relay: &Relay) -> Result<String> {
    let (program, settings) = (program::relay()?, relay.settings_path());
    Ok(format!("'{}' queue take --settings '{}'", program.display(), settings.display()))
}

#[test]
fn messages_are_moved_with_all_that_belongs_to_them() -> Result<()> {
    let (from, to, [_closed, (open, switch)]) = two_relays()?;
    switch.store(true, Ordering::SeqCst);
    let send =
        |name: &str, recipients: &[&str]| from.send("a@sender.example", recipients, &message::plain(name));
    let both = send("both", &["b@dest.example", "c@other.example"])?;
    let urgent = send("urgent", &["b@dest.example"])?;
    let held = send("held", &["b@dest.example"])?;
    let large = from.send("a@sender.example", &["b@dest.example"], &message::large("large", 3 << 20))?;
    for id in [&both, &urgent, &held, &large] {
        from.wait_for_event(id, "deferred")?;
    }
    from.said(&["queue", "reassign", &urgent, "--to-tenant", "acme", "--to-priority", "9"])?;
    from.said(&["queue", "hold", &held])?;
    let expires = |relay: &Relay| -> Result<String> {
        let page = relay.admin("GET", &format!("/v1/queue?message={held}"), "")?;
        let job = page.pointer("/jobs/0").context("no entry")?;
        Ok(format!("{} {} {}", job["expires_at"], job["attempt"], job["last"]))
    };
    let before = expires(&from)?;

    let via = taking(&to)?;
    let said =
        from.said(&["queue", "move", "--domain", "dest.example", "--to", "b.example", "--via", &via])?;
    assert_eq!(said, "4 messages moved to b.example\n");
    assert!(from.queue()?.is_empty());
    // Copies of one message go together when they are due together.
    let mut copies = wait::until("four copies", || {
        let mut copies = Vec::new();
        for one in open.messages() {
            let subject = one.header("Subject").unwrap_or_default();
            copies.extend(one.recipients.iter().map(|recipient| format!("{subject} for {recipient}")));
        }
        Ok((copies.len() >= 4).then_some(copies))
    })?;
    copies.sort();
    let wanted = [
        "both for b@dest.example",
        "both for c@other.example",
        "large for b@dest.example",
        "urgent for b@dest.example",
    ];
    assert_eq!(copies, wanted, "the held one waits here, too");
    assert_eq!(expires(&to)?, before);
    let shown = to.said(&["queue", "show", &held])?;
    assert!(shown.contains("held by operator") && shown.contains("come back later"), "{shown}");
    let told = from.said(&["explain", &urgent])?;
    assert!(told.contains("who moved it to b.example"), "{told}");
    let told = to.said(&["explain", &urgent])?;
    assert!(told.contains("moved here from ") && told.contains("(attempt 2,"), "{told}");

    let back = taking(&from)?;
    let said = to.said(&["queue", "move", "--all", "--to", "a.example", "--via", &back])?;
    assert_eq!(said, "1 messages moved to a.example\n");
    assert_eq!(expires(&from)?, before, "and back again");
    Ok(())
}

#[test]
fn nothing_is_lost_or_doubled_whoever_is_killed() -> Result<()> {
    for (step, victim) in [
        ("before", "mover"),
        ("before", "from"),
        ("before", "to"),
        ("taken", "mover"),
        ("taken", "from"),
        ("taken", "to"),
    ] {
        let (mut from, mut to, [_closed, (open, switch)]) = two_relays()?;
        for number in 0..4 {
            from.send("a@sender.example", &["b@dest.example"], &message::plain(&format!("{number}")))?;
        }
        let pid = match victim {
            "from" => from.pid()?,
            "to" => to.pid()?,
            _ => 0,
        };
        let script = from.folder().join("pipe.py");
        std::fs::write(&script, PIPE)?;
        let via = format!("exec python3 '{}' {step} {pid} {}", script.display(), taking(&to)?);
        let run = |relay: &Relay, via: &str| {
            relay.run(&["queue", "move", "--all", "--to", "b.example", "--via", via])
        };
        let interrupted = run(&from, &via)?;
        match victim {
            "from" => from.wait_for_end().and_then(|_| from.start_again())?,
            "to" => to.wait_for_end().and_then(|_| to.start_again())?,
            _ => {}
        }
        let said = String::from_utf8_lossy(&interrupted.stderr).into_owned();
        // The other relay may have died after its last word.
        ensure!(
            !interrupted.status.success() || (step, victim) == ("taken", "to"),
            "{step} {victim}: {said}"
        );
        let again = run(&from, &taking(&to)?)?;
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        ensure!(again.status.success(), "{step} {victim}: {said}");
        from.wait_until_empty()?;
        // Not before: a kill in the middle of a delivery may repeat that, moved or not.
        switch.store(true, Ordering::SeqCst);
        open.wait_for(4)?;
        to.wait_until_empty()?;
        let mut subjects: Vec<_> = open.messages().iter().filter_map(|one| one.header("Subject")).collect();
        subjects.sort();
        ensure!(subjects == ["0", "1", "2", "3"], "{step} {victim}: {subjects:?}");
    }
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused_and_a_message_that_can_not_go_stays() -> Result<()> {
    let (from, to, _sinks) = two_relays()?;
    let id = from.send("a@sender.example", &["b@dest.example"], &message::plain("stays"))?;
    from.wait_for_event(&id, "deferred")?;
    let output = from.run(&["queue", "move", &id, "--to", "nowhere.example", "--via", "false"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("run the same command again"), "{said}");
    let held = from.said(&["queue", "ls"])?;
    assert!(held.contains("held") && held.contains("to move it to nowhere.example"), "{held}");
    let output = from.run(&["queue", "move", "--to", "b.example"])?;
    assert!(String::from_utf8_lossy(&output.stderr).contains("--all"));
    let (status, answer) = to.admin_raw("PUT", "/v1/transfers", "nonsense")?;
    assert!(status == 400 && answer.contains("no message that this relay understands"), "{status} {answer}");
    from.said(&["queue", "release", &id])?;
    assert!(!from.said(&["queue", "ls"])?.contains("to move it"));
    Ok(())
}
