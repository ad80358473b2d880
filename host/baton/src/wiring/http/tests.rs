//! The client against real servers on loopback. Names that need a DNS server are in the end-to-end tests.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use baton_dns::DnsSettings;
use baton_mail::Body;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore as Gate;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A server that answers by a script: what it is asked for is the name of the answer.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Requests to `/wait` end when this has a permit; those that began are counted.
    gate: Arc<Gate>,
    waiting: Arc<AtomicUsize>,
}

impl Server {
    async fn start(acceptor: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            gate: Arc::new(Gate::new(0)),
            waiting: Arc::default(),
        };
        let (connections, gate, waiting) =
            (server.connections.clone(), server.gate.clone(), server.waiting.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, gate, waiting) = (acceptor.clone(), gate.clone(), waiting.clone());
                tokio::spawn(async move {
                    match acceptor {
                        // A client that does not trust us goes away.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, &gate, &waiting).await;
                            }
                        }
                        None => serve(stream, &gate, &waiting).await,
                    }
                });
            }
        });
        server
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, gate: &Gate, waiting: &AtomicUsize) {
    let mut input = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let head_end = loop {
            if let Some(at) = memchr::memmem::find(&input, b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => input.extend_from_slice(&buffer[..count]),
            }
        };
        let head = String::from_utf8_lossy(&input[..head_end]).into_owned();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        while input.len() < head_end + length {
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            input.extend_from_slice(&buffer[..count]);
        }
        let content: Vec<u8> = input.drain(..head_end + length).skip(head_end).collect();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let answer = match path {
            "/redirect" => {
                "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
                    .to_owned()
            }
            "/large" => format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5_000)),
            "/endless" => format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000)),
            "/fields" => format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "A: b\r\n".repeat(1_000)),
            "/broken" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_owned(),
            "/goodbye" => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbye".to_owned(),
            "/wait" => {
                waiting.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            _ => {
                let text = format!("{}|{}", head.replace("\r\n", "|"), String::from_utf8_lossy(&content));
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
            }
        };
        let written = stream.write_all(answer.as_bytes()).await;
        if written.is_err() || matches!(path, "/broken" | "/endless" | "/goodbye") {
            // As a server does that closes idle connections.
            let _ = stream.shutdown().await;
            return;
        }
    }
}

fn client(change: impl FnOnce(&mut HttpSettings)) -> PluginHttp {
    let mut settings = HttpSettings {
        requests_max: 8,
        requests_per_plugin_max: 8,
        connect_ms: 10_000,
        idle_connections_max: 4,
        idle_ms: 60_000,
        ca_file: None,
        allowed_networks: Vec::new(),
    };
    change(&mut settings);
    let dns =
        DnsSettings { servers: vec!["127.0.0.1:9".parse().unwrap()], timeout_ms: 200, ..Default::default() };
    PluginHttp::new(settings, Resolver::new(&dns).unwrap()).unwrap()
}

fn request(url: &str, granted: bool) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        url: HttpUrl::parse(url).unwrap(),
        host_is_granted: granted,
        headers: vec![("x-key".to_owned(), "value".to_owned())],
        body: Body::default(),
        response_octets_max: 4_096,
    }
}

#[tokio::test]
async fn a_named_address_is_asked_and_the_connection_kept() {
    let (server, client) = (Server::start(None).await, client(|_| ()));
    let url = format!("http://{}/a?b", server.address);
    for _ in 0..3 {
        let body: Body = [Bytes::from_static(b"one "), Bytes::from_static(b"two")].into_iter().collect();
        let request = HttpRequest { method: "POST".to_owned(), body, ..request(&url, true) };
        let response = client.fetch("p", request).await.unwrap();
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let host = format!("host: {}|", server.address);
        assert!(text.starts_with("POST /a?b HTTP/1.1|") && text.ends_with("|one two"), "{text}");
        assert!(
            text.contains(&host) && text.contains("x-key: value|") && text.contains("content-length: 7|"),
            "{text}"
        );
        assert_eq!(response.status, 200);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn loopback_is_refused_unless_the_grant_names_it() {
    let (server, client) = (Server::start(None).await, client(|_| ()));
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "a.localhost", "[::ffff:127.0.0.1]", "[::1]", "0x7f.1", "0.0.0.0"]
    {
        let url = format!("http://{host}:{port}/");
        assert_eq!(client.fetch("p", request(&url, false)).await, Err(HttpError::Denied), "{url}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
    let named = client.fetch("p", request(&format!("http://localhost:{port}/"), true)).await.unwrap();
    assert!(String::from_utf8_lossy(&named.body).contains(&format!("host: localhost:{port}|")));
}

#[tokio::test]
async fn allowed_networks_are_asked_in_every_spelling() {
    let server = Server::start(None).await;
    let client = client(|settings| settings.allowed_networks = vec!["127.0.0.0/30".parse().unwrap()]);
    let url = |host: &str| format!("http://{host}:{}/", server.address.port());
    assert!(client.fetch("p", request(&url("127.0.0.1"), false)).await.is_ok());
    assert!(client.fetch("p", request(&url("[::ffff:127.0.0.1]"), false)).await.is_ok());
    assert_eq!(client.fetch("p", request(&url("127.0.0.4"), false)).await, Err(HttpError::Denied));
}

#[tokio::test]
async fn redirects_come_back_and_are_not_followed() {
    let (server, client) = (Server::start(None).await, client(|_| ()));
    let url = format!("http://{}/redirect", server.address);
    let response = client.fetch("p", request(&url, true)).await.unwrap();
    assert_eq!(response.status, 302);
    assert!(response.headers.contains(&("location".to_owned(), "http://169.254.169.254/".to_owned())));
}

#[tokio::test]
async fn responses_are_bounded() {
    let (server, client) = (Server::start(None).await, client(|_| ()));
    let ask = |path: &str| client.fetch("p", request(&format!("http://{}{path}", server.address), true));
    assert_eq!(ask("/large").await, Err(HttpError::TooLarge));
    assert_eq!(ask("/endless").await, Err(HttpError::TooLarge));
    for path in ["/fields", "/broken"] {
        assert!(matches!(ask(path).await, Err(HttpError::Failed(_))), "{path}");
    }
    assert_eq!(ask("/x").await.unwrap().status, 200, "it goes on after all that");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced() {
    let (server, client) = (Server::start(None).await, client(|_| ()));
    for _ in 0..5 {
        let url = format!("http://{}/goodbye", server.address);
        assert_eq!(client.fetch("p", request(&url, true)).await.unwrap().body, "bye");
    }
    assert!(server.connections.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn requests_at_once_are_bounded_for_each_plugin_and_for_all() {
    let server = Server::start(None).await;
    let client = client(|settings| (settings.requests_max, settings.requests_per_plugin_max) = (3, 2));
    let url = format!("http://{}/wait", server.address);
    let asked = |plugin: &'static str| client.fetch(plugin, request(&url, true));
    let all = async { tokio::join!(asked("a"), asked("a"), asked("a"), asked("b"), asked("b"), asked("b")) };
    let watch = async {
        for done in 0..6 {
            while server.waiting.load(Ordering::SeqCst) < (done + 3).min(6) {
                tokio::task::yield_now().await;
            }
            // Room for those that must not come: the bound holds however long they have.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            assert!(server.waiting.load(Ordering::SeqCst) <= done + 3);
            server.gate.add_permits(1);
        }
    };
    let ((a, b, c, d, e, f), ()) = tokio::join!(all, watch);
    assert!([a, b, c, d, e, f].iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    let (server, client) = (Server::start(None).await, client(|_| ()));
    let url = format!("http://{}/wait", server.address);
    {
        let asking = client.fetch("p", request(&url, true));
        tokio::pin!(asking);
        while server.waiting.load(Ordering::SeqCst) == 0 {
            tokio::select! {
                biased;
                _ = &mut asking => panic!("nobody answers"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    let other = format!("http://{}/x", server.address);
    assert_eq!(client.fetch("p", request(&other, true)).await.unwrap().status, 200);
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

fn acceptor() -> TlsAcceptor {
    let chain =
        CertificateDer::pem_slice_iter(include_bytes!("fixtures/server.pem")).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("fixtures/server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.unwrap(), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn authority() -> Option<PathBuf> {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the crate's folder");
    Some(Path::new(&folder).join("src/wiring/http/fixtures/authority.pem"))
}

#[tokio::test]
async fn tls_checks_the_certificate_for_the_name_of_the_url() {
    let server = Server::start(Some(acceptor())).await;
    let port = server.address.port();
    let trusting = client(|settings| settings.ca_file = authority());
    let by_name = trusting.fetch("p", request(&format!("https://localhost:{port}/"), true)).await.unwrap();
    assert!(String::from_utf8_lossy(&by_name.body).starts_with("GET / HTTP/1.1|"));
    // The certificate is for the name, not for the address.
    let by_address = trusting.fetch("p", request(&format!("https://127.0.0.1:{port}/"), true)).await;
    assert!(matches!(by_address, Err(HttpError::Failed(why)) if why.contains("TLS")));
    let strange = client(|_| ()).fetch("p", request(&format!("https://localhost:{port}/"), true)).await;
    assert!(matches!(strange, Err(HttpError::Failed(_))), "{strange:?}");
}

#[test]
fn a_ca_file_without_certificates_is_an_error_of_the_start() {
    for bad in [Path::new("/nowhere/ca.pem"), Path::new("/dev/null")] {
        assert!(Trust::new(Some(bad)).is_err(), "{}", bad.display());
    }
}
