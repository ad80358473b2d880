//! A start as root: the ports are opened, then root is given up, by every thread and for good.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;

/// Neither has an entry on any machine, nor needs one.
const USER: u32 = 61_234;
const GROUP: u32 = 61_235;

/// Says why a test is left out where it can not be done.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("left out: only root can give root up");
    }
    is_root
}

fn with_user() -> Settings {
    Settings::new().set("user", USER.to_string()).set("group", GROUP.to_string())
}

/// Lets the user write into the folder of the test, as an operator does.
fn hand_over(relay: &Relay) -> Result<()> {
    fs::set_permissions(relay.folder(), fs::Permissions::from_mode(0o755))?;
    chown(relay.folder(), Some(USER), Some(GROUP))?;
    Ok(())
}

/// A port that only root may open, and that is free.
fn privileged_port() -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (600..1_024).find(is_free).context("no port below 1024 is free")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn no_thread_keeps_anything_of_root() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let sink = Sink::start()?;
    let address = format!("127.0.0.1:{}", privileged_port()?);
    let settings = with_user().all_to(sink.address()).set("listeners.smtp.address", address.as_str());
    let mut relay = Relay::prepare(settings)?;
    hand_over(&relay)?;
    relay.start_again()?;
    assert_eq!(relay.smtp()?.to_string(), address);
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("without root"))?;
    sink.wait_for(1)?;
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{}/task", relay.pid()?))? {
        // A thread may end meanwhile.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|rest| rest.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
        };
        let [user, group] = [USER, GROUP].map(|id| format!("{id} {id} {id} {id}"));
        assert_eq!((field("Uid:"), field("Gid:")), (user, group), "{status}");
        assert_eq!(field("Groups:"), GROUP.to_string(), "{status}");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set} {status}");
        }
        assert_eq!(field("NoNewPrivs:"), "1", "{status}");
        threads += 1;
    }
    assert!(threads > 3, "{threads} threads: the runtime and the store run");
    for path in [relay.spool(), relay.spool().join("queue"), relay.spool().join("admin.sock")] {
        let found = fs::metadata(&path)?;
        assert_eq!((found.uid(), found.gid()), (USER, GROUP), "{}", path.display());
    }
    // It goes on by itself: a reload and a stop need no root.
    relay.said(&["reload"])?;
    ensure!(relay.stop()?.success(), "{}", relay.log());
    Ok(())
}

#[test]
fn a_folder_of_somebody_else_is_told_with_its_remedy() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut relay = Relay::prepare(Settings::new())?;
    relay.start_again()?;
    relay.stop()?;
    // What root made before is not the user's.
    relay.write_settings(with_user())?;
    hand_over(&relay)?;
    let output = relay.start_in_vain()?;
    ensure!(!output.status.success());
    for part in ["store.path: ", "chown -R 61234", &relay.spool().display().to_string()] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    // The folder alone is not enough.
    chown(relay.spool(), Some(USER), Some(GROUP))?;
    let output = relay.start_in_vain()?;
    assert!(!output.status.success() && said(&output).contains("belongs to user 0"), "{}", said(&output));
    Ok(())
}

#[test]
fn only_root_can_become_somebody_else() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let relay = Relay::prepare(with_user())?;
    hand_over(&relay)?;
    let mut command = relay.command(&["serve"]);
    let output = match command.uid(USER + 9).gid(GROUP).output() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("left out: the program is in a folder that only root may enter");
            return Ok(());
        }
        output => output?,
    };
    assert!(!output.status.success());
    assert!(said(&output).contains("user: only root can become user 61234"), "{}", said(&output));
    Ok(())
}

#[test]
fn a_user_must_exist_and_not_be_root() -> Result<()> {
    for (key, user, reason) in
        [("user", "no-such-user", "there is no such user"), ("user", "root", "it is root")]
    {
        let output = Relay::prepare(Settings::new().set("user", user))?.run(&["check"])?;
        assert!(!output.status.success());
        assert!(said(&output).contains(key) && said(&output).contains(reason), "{}", said(&output));
    }
    let output = Relay::prepare(Settings::new().set("group", "61235"))?.run(&["check"])?;
    assert!(!output.status.success() && said(&output).contains("`user` is needed"), "{}", said(&output));
    Ok(())
}
