//! The relay under test: the real program with a settings file in a folder of its own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::settings::Settings;
use crate::{program, wait};

/// Opens a port, hands it over by sd_listen_fds(3), and becomes the command in its arguments.
const SERVICE_MANAGER: &str = "
import os, socket, sys
port = socket.create_server(('127.0.0.1', 0))
os.dup2(port.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='front')
os.execv(sys.argv[1], sys.argv[1:])
";

/// A relay with its spool. It is killed when this is dropped.
pub struct Relay {
    folder: TempDir,
    child: Option<Child>,
}

impl Relay {
    /// Starts a relay and waits until it listens.
    pub fn start(settings: Settings) -> Result<Relay> {
        let mut relay = Relay::prepare(settings)?;
        relay.start_again()?;
        Ok(relay)
    }

    /// Lays everything out and starts nothing yet.
    pub fn prepare(settings: Settings) -> Result<Relay> {
        let relay = Relay { folder: tempfile::Builder::new().prefix("baton-").tempdir()?, child: None };
        relay.write_settings(settings)?;
        Ok(relay)
    }

    /// Writes the settings file anew; a running relay does not look before `reload`.
    pub fn write_settings(&self, settings: Settings) -> Result<()> {
        let settings = settings.set("store.path", self.spool().display().to_string());
        fs::write(self.settings_path(), settings.text())?;
        Ok(())
    }

    /// Starts the program on the spool that is there, and waits until it listens.
    pub fn start_again(&mut self) -> Result<()> {
        let serve = self.command(&["serve"]);
        self.start_by(serve)
    }

    /// Starts the program as a service manager does that opened the port of the listener `systemd:front`.
    pub fn start_activated(&mut self) -> Result<()> {
        let serve = self.command(&["serve"]);
        let mut command = Command::new("python3");
        command.args(["-c", SERVICE_MANAGER]).arg(serve.get_program()).args(serve.get_args());
        command.current_dir(self.folder.path());
        self.start_by(command)
    }

    fn start_by(&mut self, mut command: Command) -> Result<()> {
        ensure!(self.child.is_none(), "the relay runs already");
        if self.ports_path().exists() {
            fs::remove_file(self.ports_path())?;
        }
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let child = command
            .arg("--ports-file")
            .arg(self.ports_path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        self.child = Some(child.context("start the relay")?);
        wait::until("the relay to listen", || {
            if let Some(status) = self.exited()? {
                bail!("the relay ended with {status}: {}", self.log());
            }
            Ok(self.ports().ok().filter(|ports| !ports.is_empty()))
        })
        .with_context(|| self.log())?;
        Ok(())
    }

    /// Starts the program expecting that it refuses; returns its exit status and what it said.
    pub fn start_in_vain(&self) -> Result<Output> {
        let mut command = self.command(&["serve"]);
        command.arg("--ports-file").arg(self.folder.path().join("ports-in-vain"));
        output_within(command, wait::LONG)
    }

    /// A command of the program with this relay's settings.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program::relay().unwrap_or_default());
        command.args(words).arg("--settings").arg(self.settings_path()).current_dir(self.folder.path());
        command
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        output_within(self.command(words), wait::LONG)
    }

    /// Runs a command that must succeed; returns what it printed.
    pub fn said(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{words:?} ended with {}: {said}{complaint}", output.status);
        Ok(said)
    }

    /// The listener named `smtp`.
    pub fn smtp(&self) -> Result<SocketAddr> {
        self.listener("smtp")
    }

    /// A listener by its name.
    pub fn listener(&self, name: &str) -> Result<SocketAddr> {
        let ports = self.ports()?;
        let found = ports.iter().find(|(listener, _)| listener == name);
        found.map(|(_, address)| *address).with_context(|| format!("no listener {name} among {ports:?}"))
    }

    /// A connection after EHLO.
    pub fn client(&self) -> Result<Client> {
        Client::greeted(self.smtp()?)
    }

    /// Sends one message, which must be accepted; returns its id.
    pub fn send(&self, sender: &str, recipients: &[&str], message: &[u8]) -> Result<String> {
        let answer = self.client()?.send(sender, recipients, message)?;
        ensure!(answer.code == 250, "not accepted: {answer}");
        answer.message_id()
    }

    /// Asks the admin interface; returns the answer's JSON.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let (status, answer) = self.admin_raw(method, path, body)?;
        ensure!(status == 200, "{method} {path}: {status} {answer}");
        Ok(serde_json::from_str(&answer)?)
    }

    /// Asks the admin interface; returns status and body.
    pub fn admin_raw(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let mut stream =
            UnixStream::connect(self.spool().join("admin.sock")).context("connect to the admin socket")?;
        stream.set_read_timeout(Some(wait::LONG))?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP status")?;
        Ok((status, body.to_owned()))
    }

    /// The entries of the queue.
    pub fn queue(&self) -> Result<Vec<Value>> {
        let page = self.admin("GET", "/v1/queue", "")?;
        Ok(page.get("jobs").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Waits until nothing is left in the queue.
    pub fn wait_until_empty(&self) -> Result<()> {
        wait::until("the queue to become empty", || Ok(self.queue()?.is_empty().then_some(())))
            .with_context(|| self.log())
    }

    /// The events of a message, oldest first.
    pub fn story(&self, id: &str) -> Result<Vec<Value>> {
        let story = self.admin("GET", &format!("/v1/messages/{id}"), "")?;
        Ok(story.get("events").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Waits until the story of a message has an event of that kind; returns the event's content.
    pub fn wait_for_event(&self, id: &str, kind: &str) -> Result<Value> {
        wait::until(&format!("{kind} in the story of {id}"), || {
            let events = self.story(id)?;
            Ok(events.iter().find_map(|event| event.get("what")?.get(kind)).cloned())
        })
        .with_context(|| self.log())
    }

    /// The metrics, as text.
    pub fn metrics(&self) -> Result<String> {
        let (status, body) = self.admin_raw("GET", "/metrics", "")?;
        ensure!(status == 200, "/metrics: {status}");
        Ok(body)
    }

    /// Asks the relay to stop, and waits for its end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_for_end()
    }

    /// Sends a signal to the relay.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("the relay does not run")?;
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// Waits for the end of the relay.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus> {
        let status = wait::until("the relay to end", || self.exited()).with_context(|| self.log())?;
        self.child = None;
        Ok(status)
    }

    /// Ends the relay at once: nothing is said and nothing is flushed.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the relay does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// The exit status, when the relay has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        match self.child.as_mut() {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// The relay's process id.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the relay does not run")?.id())
    }

    /// Everything that the relay logged.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|octets| String::from_utf8_lossy(&octets).into_owned())
            .unwrap_or_default()
    }

    /// The folder that holds settings, spool and log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the queue.
    pub fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// The settings file.
    pub fn settings_path(&self) -> PathBuf {
        self.folder.path().join("baton.toml")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("baton.log")
    }

    /// The file of its addresses.
    pub fn ports_path(&self) -> PathBuf {
        self.folder.path().join("ports")
    }

    /// The listeners that the relay wrote down, with their addresses.
    fn ports(&self) -> Result<Vec<(String, SocketAddr)>> {
        let text = fs::read_to_string(self.ports_path())?;
        let mut ports = Vec::new();
        for line in text.lines() {
            let (name, address) =
                line.split_once(' ').context("a line of the ports file is no name and address")?;
            ports.push((name.to_owned(), address.trim().parse()?));
        }
        Ok(ports)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a command to its end; one that does not end is killed and is an error.
pub fn output_within(mut command: Command, bound: Duration) -> Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut out = child.stdout.take().context("no output")?;
    let mut err = child.stderr.take().context("no error output")?;
    let out = std::thread::spawn(move || read_all(&mut out));
    let err = std::thread::spawn(move || read_all(&mut err));
    let mut waited = Duration::ZERO;
    let pause = Duration::from_millis(10);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if waited > bound {
            child.kill()?;
            child.wait()?;
            bail!("{command:?} did not end");
        }
        std::thread::sleep(pause);
        waited += pause;
    };
    let gather = |thread: std::thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
    Ok(Output { status, stdout: gather(out), stderr: gather(err) })
}

fn read_all(source: &mut impl Read) -> Vec<u8> {
    let mut octets = Vec::new();
    // What was read before an error is what there is.
    let _ = source.read_to_end(&mut octets);
    octets
}
