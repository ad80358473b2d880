//! A real nats-server with JetStream, and a look into its streams.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::ConnectOptions;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::wait;

/// The stream that tests make.
pub const STREAM: &str = "MAIL";

/// A server with its folder. It is killed when this is dropped.
pub struct NatsServer {
    folder: TempDir,
    child: Option<Child>,
    port: u16,
    runtime: Runtime,
    options: Box<dyn Fn() -> ConnectOptions>,
}

/// A message of a stream.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its subject.
    pub subject: String,
    /// What it says.
    pub event: Value,
}

impl NatsServer {
    /// A server that lets everybody in.
    pub fn start() -> Result<NatsServer> {
        NatsServer::with("", ConnectOptions::new)
    }

    /// A server with these settings beside, which the options of a client fit.
    pub fn with(settings: &str, options: impl Fn() -> ConnectOptions + 'static) -> Result<NatsServer> {
        let folder = tempfile::Builder::new().prefix("baton-nats-").tempdir()?;
        let path = folder.path().display().to_string();
        let whole = format!(
            "jetstream {{ store_dir: \"{path}/store\", max_memory_store: 64M, max_file_store: 256M }}\n{settings}\n"
        );
        fs::write(folder.path().join("nats.conf"), whole)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut server = NatsServer { folder, child: None, port: 0, runtime, options: Box::new(options) };
        server.start_again()?;
        Ok(server)
    }

    /// The address, such as `127.0.0.1:4222`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it on the store that is there; at the port of before, once it had one.
    pub fn start_again(&mut self) -> Result<()> {
        let log = self.folder.path().join("log");
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut command = Command::new(program()?);
        command.arg("-c").arg(self.folder.path().join("nats.conf"));
        command.args(["-a", "127.0.0.1", "-p", &port, "--ports_file_dir"]).arg(self.folder.path());
        command.arg("-l").arg(&log).stdout(Stdio::null()).stderr(Stdio::null());
        let child = self.child.insert(command.spawn()?);
        let ports = self.folder.path().join(format!("nats-server_{}.ports", child.id()));
        let read = || -> Option<u16> {
            let text: Value = serde_json::from_str(&fs::read_to_string(&ports).ok()?).ok()?;
            text.pointer("/nats/0")?.as_str()?.rsplit(':').next()?.parse().ok()
        };
        self.port = wait::until("the ports of nats-server", || Ok(read()))
            .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        wait::until("nats-server", || Ok(self.ask("$JS.API.INFO", &Value::Null).ok()))
            .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(())
    }

    /// Ends it as an operator does: it writes what it has to disk.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the server does not run")?;
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        wait::until("nats-server to end", || Ok(child.try_wait()?)).map(drop)
    }

    /// Asks the server something; what it says.
    pub fn ask(&self, subject: &str, request: &Value) -> Result<Value> {
        let payload = if request.is_null() { Vec::new() } else { serde_json::to_vec(request)? };
        let (address, options) = (self.address(), (self.options)());
        let asked = async {
            let client = options.max_reconnects(1).connect(address).await?;
            let request = async_nats::Request::new().payload(payload.into()).timeout(Some(PATIENCE));
            anyhow::Ok(client.send_request(subject.to_owned(), request).await?)
        };
        // The clock of a bound belongs to the runtime.
        let answer = self.runtime.block_on(async { tokio::time::timeout(2 * PATIENCE, asked).await })??;
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        match answer.get("error") {
            Some(error) => bail!("{subject}: {error}"),
            None => Ok(answer),
        }
    }

    /// Makes the stream, which takes these subjects.
    pub fn make_stream(&self, subjects: &str) -> Result<()> {
        let stream = json!({"name": STREAM, "subjects": [subjects], "storage": "file"});
        self.ask(&format!("$JS.API.STREAM.CREATE.{STREAM}"), &stream).map(drop)
    }

    /// How many messages the stream has.
    pub fn count(&self) -> Result<u64> {
        let info = self.ask(&format!("$JS.API.STREAM.INFO.{STREAM}"), &Value::Null)?;
        info.pointer("/state/messages").and_then(Value::as_u64).context("a number of messages")
    }

    /// All messages of the stream, in its order.
    pub fn messages(&self) -> Result<Vec<Stored>> {
        let get = |number| {
            let answer = self.ask(&format!("$JS.API.STREAM.MSG.GET.{STREAM}"), &json!({"seq": number}))?;
            let text = |name: &str| answer.pointer(name).and_then(Value::as_str);
            let data = STANDARD.decode(text("/message/data").context("a payload")?)?;
            let subject = text("/message/subject").context("a subject")?.to_owned();
            Ok(Stored { subject, event: serde_json::from_slice(&data)? })
        };
        (1..=self.count()?).map(get).collect()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a server with accounts of its own trusts, and the file by which a client gets into one.
pub struct Credentials {
    /// The settings of the server.
    pub server: String,
    /// A JWT and the seed of its nkey.
    pub text: String,
}

impl Credentials {
    /// An operator, an account and a user, as `nsc` makes them.
    pub fn make() -> Result<Credentials> {
        let (operator, account, user) =
            (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
        let no_limits = json!({"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1,
            "wildcards": true, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1});
        let of_operator = jwt(&operator, &operator, json!({"type": "operator", "version": 2}))?;
        let of_account =
            jwt(&operator, &account, json!({"type": "account", "version": 2, "limits": no_limits}))?;
        let of_user = jwt(
            &account,
            &user,
            json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}),
        )?;
        // JetStream wants an account of the server's own.
        let system = KeyPair::new_account();
        let of_system = jwt(
            &operator,
            &system,
            json!({"type": "account", "version": 2, "limits": {"subs": -1, "conn": -1}}),
        )?;
        let (name, own) = (account.public_key(), system.public_key());
        let server = format!(
            "operator: \"{of_operator}\"\nsystem_account: {own}\nresolver: MEMORY\n\
             resolver_preload: {{ {name}: \"{of_account}\", {own}: \"{of_system}\" }}"
        );
        let seed = user.seed()?;
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        Ok(Credentials { server, text })
    }
}

fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: Value) -> Result<String> {
    let (iss, sub) = (issuer.public_key(), subject.public_key());
    let claims =
        json!({"jti": sub, "iat": 1_700_000_000, "iss": iss, "name": "test", "sub": sub, "nats": nats});
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header)?),
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?)
    );
    let signature = issuer.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The program: that of the machine, or what `.ci/setup` unpacked.
fn program() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let unpacked = cache.map(|cache| cache.join("baton/nats/usr/sbin/nats-server"));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&paths)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("nats-server"));
    match installed.chain(unpacked).find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("there is no nats-server: run `make test`, or `.ci/setup test` first"),
    }
}
