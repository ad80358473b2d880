//! Opening the sockets of listeners: TCP addresses and UNIX sockets.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use baton_tls::TlsError;
use listenfd::ListenFd;
use socket2::{Protocol, SockRef, Socket as SystemSocket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::stream::Socket;
use crate::{InboundSettings, ListenAddress, ListenerSettings};

/// A listener can not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refuses its address.
    #[error("listener {listener}: can not listen on {address}: {cause}; {remedy}")]
    Address {
        /// The listener's name in the settings.
        listener: String,
        /// The address that was asked for.
        address: ListenAddress,
        /// What the system said.
        cause: io::Error,
        /// What to do about it.
        remedy: &'static str,
    },
    /// TLS can not be spoken on it.
    #[error("listener {listener}: {cause}")]
    Tls {
        /// The listener's name in the settings.
        listener: String,
        /// Why.
        cause: TlsError,
    },
    /// TLS is to be spoken, and there is no certificate.
    #[error("listener {listener}: TLS needs a certificate; set [[tls.certificates]], or its tls to \"off\"")]
    NoCertificate {
        /// The listener's name in the settings.
        listener: String,
    },
}

/// An open socket that takes connections.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    /// The file goes with it.
    Unix(UnixListener, PathBuf),
    /// A UNIX socket of the service manager.
    Inherited(UnixListener),
}

/// Sockets that are open and belong to no listener yet: those opened before the relay does anything else, and those
/// that a service manager opened for it.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(ListenAddress, Opened)>);

#[derive(Debug)]
enum Opened {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Sockets {
    /// Opens the TCP sockets of all listeners, or none. UNIX sockets come later: the files of a start that fails
    /// would stay.
    pub fn open(settings: &InboundSettings) -> Result<Sockets, BindError> {
        let mut inherited = Inherited::from_env();
        let mut sockets = Vec::new();
        for listener in &settings.listeners {
            for address in &listener.addresses {
                let opened = match address {
                    ListenAddress::Tcp(address) => bind_tcp(*address, listener.backlog).map(Opened::Tcp),
                    ListenAddress::Inherited(name) => inherited.take(name),
                    ListenAddress::Unix(_) => continue,
                };
                sockets.push((address.clone(), opened.map_err(|cause| refused(listener, address, cause))?));
            }
        }
        Ok(Sockets(sockets))
    }

    fn take(&mut self, wanted: &ListenAddress) -> Option<Opened> {
        let at = self.0.iter().position(|(address, _)| address == wanted)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// Sockets that a service manager opened (sd_listen_fds(3)), by the names that it gave them.
struct Inherited {
    names: Vec<String>,
    sockets: ListenFd,
}

impl Inherited {
    fn from_env() -> Inherited {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Inherited { names: names.split(':').map(str::to_owned).collect(), sockets: ListenFd::from_env() }
    }

    fn take(&mut self, wanted: &str) -> io::Result<Opened> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "the service manager gave no such socket");
        let index = self.names.iter().position(|name| name == wanted).ok_or_else(missing)?;
        let name = self.names.get_mut(index).ok_or_else(missing)?;
        // The next one of that name is another one.
        name.clear();
        let opened = match self.sockets.take_tcp_listener(index) {
            Ok(socket) => Opened::Tcp(socket.ok_or_else(missing)?),
            Err(_) => Opened::Unix(self.sockets.take_unix_listener(index)?.ok_or_else(missing)?),
        };
        match &opened {
            Opened::Tcp(socket) => socket.set_nonblocking(true)?,
            Opened::Unix(socket) => socket.set_nonblocking(true)?,
        }
        Ok(opened)
    }
}

impl Acceptor {
    /// Opens all sockets of a listener, or takes those that are open already.
    pub(crate) fn bind_all(
        settings: &ListenerSettings,
        sockets: &mut Sockets,
    ) -> Result<Vec<Acceptor>, BindError> {
        let mut take = |address: &ListenAddress| match (sockets.take(address), address) {
            (Some(Opened::Tcp(socket)), _) => TcpListener::from_std(socket).map(Acceptor::Tcp),
            (Some(Opened::Unix(socket)), _) => UnixListener::from_std(socket).map(Acceptor::Inherited),
            (None, ListenAddress::Unix(path)) => {
                bind_unix(path, settings.backlog).map(|socket| Acceptor::Unix(socket, path.clone()))
            }
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        };
        let open = |address| take(address).map_err(|cause| refused(settings, address, cause));
        settings.addresses.iter().map(open).collect()
    }

    /// The address it got; none for a UNIX socket.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Acceptor::Tcp(socket) => socket.local_addr().ok(),
            Acceptor::Unix(..) | Acceptor::Inherited(_) => None,
        }
    }

    /// Where it listens, for people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Acceptor::Tcp(socket) => socket.local_addr().map_or_else(|_| "?".to_owned(), |at| at.to_string()),
            Acceptor::Unix(_, path) => ListenAddress::Unix(path.clone()).to_string(),
            Acceptor::Inherited(_) => "a socket of the service manager".to_owned(),
        }
    }

    /// Takes one connection, and the address of its client.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        match self {
            Acceptor::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Socket::Tcp(stream), peer))
            }
            Acceptor::Unix(socket, _) | Acceptor::Inherited(socket) => {
                let (stream, _) = socket.accept().await?;
                Ok((Socket::Unix(stream), UNIX_PEER.into()))
            }
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        if let Acceptor::Unix(_, path) = self {
            // A file that is gone already needs no removal.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn refused(listener: &ListenerSettings, address: &ListenAddress, cause: io::Error) -> BindError {
    let remedy = remedy(&cause, address);
    BindError::Address { listener: listener.name.clone(), address: address.clone(), remedy, cause }
}

fn bind_tcp(address: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    let socket = SystemSocket::new(socket2::Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before it.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // 0.0.0.0 and [::] are two listeners, whatever the system's default.
        socket.set_only_v6(true)?;
    }
    // Replies are written whole; waiting for more to send only delays them. Accepted sockets inherit the option.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Opens a socket for this user and its group. One that a relay before us left behind is replaced; one that somebody
/// listens on is not.
fn bind_unix(path: &Path, backlog: u32) -> io::Result<UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        std::fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(UNIX_MODE))?;
    SockRef::from(&socket).listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn remedy(cause: &io::Error, address: &ListenAddress) -> &'static str {
    match (cause.kind(), address) {
        (io::ErrorKind::AddrInUse, ListenAddress::Unix(_)) => {
            "another program listens there, or a file is in the way: stop it, or choose another path"
        }
        (io::ErrorKind::AddrInUse, _) => "another program listens there: stop it, or choose another port",
        (io::ErrorKind::PermissionDenied, ListenAddress::Tcp(_)) => {
            "ports below 1024 need root (and then the setting `user`) or CAP_NET_BIND_SERVICE: grant it, or choose a higher port"
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            "no interface of this machine has the address: correct it, or listen on all"
        }
        (_, ListenAddress::Inherited(_)) => {
            "name it by FileDescriptorName= in the socket unit (systemd.socket(5))"
        }
        (_, ListenAddress::Unix(_)) => "make its folder, for the relay's user to write in",
        _ => "correct the listener's address",
    }
}

/// What a client of a UNIX socket counts as: it is on this machine, and the file's permissions let it in.
const UNIX_PEER: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
/// For the relay's user and its group.
const UNIX_MODE: u32 = 0o660;
