//! A web server over TLS on loopback, with a certificate and content for each host.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::pki::Issued;

/// What is said to who asks a host.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status line and fields, without the length.
    pub head: String,
    /// The content.
    pub body: Vec<u8>,
}

impl Page {
    /// Text, as policies are.
    pub fn text(body: &str) -> Page {
        Page {
            head: "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8".to_owned(),
            body: body.into(),
        }
    }
}

#[derive(Debug, Default)]
struct Hosts {
    pages: Mutex<HashMap<String, Page>>,
    asked: Mutex<Vec<(String, Vec<u8>)>>,
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

/// The running server; it ends when this is dropped.
pub struct Vault {
    address: SocketAddr,
    hosts: Arc<Hosts>,
    _runtime: Runtime,
}

impl Vault {
    /// A server without hosts: each handshake fails.
    pub fn start() -> Result<Vault> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let (address, hosts) = (listener.local_addr()?, Arc::new(Hosts::default()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(hosts.clone());
        runtime.spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), hosts.clone()));
        Ok(Vault { address, hosts, _runtime: runtime })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the host shows this certificate and says this.
    pub fn host(&self, name: &str, issued: &Issued, page: Page) -> Result<()> {
        let chain = CertificateDer::pem_file_iter(&issued.chain)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&issued.key)?;
        let shown = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
        lock(&self.hosts.certificates).insert(name.to_owned(), Arc::new(shown));
        self.say(name, page);
        Ok(())
    }

    /// From now on the host says this.
    pub fn say(&self, name: &str, page: Page) {
        lock(&self.hosts.pages).insert(name.to_owned(), page);
    }

    /// The requests for a host so far, each with its head and content.
    pub fn asked(&self, name: &str) -> Vec<Vec<u8>> {
        let asked = lock(&self.hosts.asked);
        asked.iter().filter(|(host, _)| host == name).map(|(_, request)| request.clone()).collect()
    }
}

impl ResolvesServerCert for Hosts {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        lock(&self.certificates).get(hello.server_name()?).cloned()
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, hosts: Arc<Hosts>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, hosts) = (acceptor.clone(), hosts.clone());
        // A client that goes away ends its own connection only.
        tokio::spawn(async move { drop(answer(stream, &acceptor, &hosts).await) });
    }
}

async fn answer(stream: TcpStream, acceptor: &TlsAcceptor, hosts: &Hosts) -> Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
    let request = read_request(&mut stream).await?;
    lock(&hosts.asked).push((name.clone(), request));
    let Some(page) = lock(&hosts.pages).get(&name).cloned() else { return Ok(()) };
    let head = format!("{}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", page.head, page.body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&page.body).await?;
    stream.shutdown().await?;
    // A close with octets unread would reset the connection under the answer.
    let mut rest = [0; 1_024];
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut rest)).await;
    Ok(())
}

/// Head and content, by its length.
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        let mut buffer = [0; 4_096];
        let count = stream.read(&mut buffer).await?;
        request.extend(buffer.get(..count).unwrap_or_default());
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            anyhow::ensure!(count > 0, "the client went away");
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let begins = request.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        if count == 0 || request.len() >= begins + length.unwrap_or(0) {
            return Ok(request);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
