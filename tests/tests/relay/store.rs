//! What is on the disk, and what happens when it can not be used.

use std::fs;

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;

fn refused(relay: &Relay) -> Result<String> {
    let output = relay.start_in_vain()?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    Ok(said)
}

#[test]
fn a_spool_that_can_not_be_made_is_named() -> Result<()> {
    let relay = Relay::prepare(Settings::new())?;
    fs::write(relay.spool(), "a file where the folder should be")?;
    let said = refused(&relay)?;
    assert!(said.contains(&relay.spool().display().to_string()), "{said}");
    Ok(())
}

#[test]
fn damage_in_the_middle_is_refused_and_not_forgotten() -> Result<()> {
    let dead = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut relay = Relay::start(Settings::new().all_to(dead))?;
    for number in 0..50 {
        relay.send("a@sender.example", &["b@dest.example"], &message::plain(&format!("damage-{number}")))?;
    }
    relay.kill()?;
    let log = newest_log(&relay)?;
    let mut octets = fs::read(&log)?;
    let middle = octets.len() / 2;
    for octet in octets.iter_mut().skip(middle).take(64) {
        *octet ^= 0x55;
    }
    fs::write(&log, &octets)?;
    let said = refused(&relay)?;
    assert!(said.contains(&relay.spool().display().to_string()), "{said}");
    Ok(())
}

#[test]
fn a_record_cut_short_by_a_crash_costs_nothing_acknowledged() -> Result<()> {
    let sink = Sink::start()?;
    let address = sink.address();
    let dead = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut relay = Relay::start(Settings::new().all_to(dead))?;
    for number in 0..20 {
        relay.send("a@sender.example", &["b@dest.example"], &message::plain(&format!("tail-{number}")))?;
    }
    relay.kill()?;
    // What a power cut in the middle of the next write leaves: the beginning of one more record.
    let log = newest_log(&relay)?;
    let mut octets = fs::read(&log)?;
    octets.extend_from_slice(&[0x17, 0x2a, 0x99, 0x01, 0x40, 0x00, 0x01, 0x55, 0x66]);
    fs::write(&log, &octets)?;
    relay.write_settings(Settings::new().all_to(address))?;
    relay.start_again()?;
    sink.wait_for(20)?;
    Ok(())
}

#[test]
fn large_and_small_messages_come_back_from_the_disk() -> Result<()> {
    let (sink, on) = crate::queue::switched()?;
    let mut relay =
        Relay::start(Settings::new().all_to(sink.address()).set("store.memory_body_octets_max", 0))?;
    let large = message::large("from-disk", 5 << 20);
    relay.send("a@sender.example", &["b@dest.example"], &large)?;
    let small = message::corpus("plain.eml")?;
    relay.send("a@sender.example", &["b@dest.example"], &small)?;
    let stopped = relay.stop()?;
    assert!(stopped.success(), "{stopped}");
    on.store(true, std::sync::atomic::Ordering::SeqCst);
    relay.start_again()?;
    let messages = sink.wait_for(2)?;
    assert!(messages.iter().any(|message| message.content.ends_with(&large)));
    assert!(messages.iter().any(|message| message.content.ends_with(&small)));
    Ok(())
}

/// The write-ahead log that the last messages are in.
fn newest_log(relay: &Relay) -> Result<std::path::PathBuf> {
    let mut folders = vec![relay.spool()];
    let mut logs = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "log") && fs::metadata(&path)?.len() > 0
            {
                logs.push(path);
            }
        }
    }
    logs.sort();
    logs.pop().context("a write-ahead log")
}
