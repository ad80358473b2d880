//! A DNS server that knows one thing: which address the demo's blocklist names (RFC 1035, RFC 5782).

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The zone of the blocklist.
pub(super) const ZONE: &str = "bl.demo.example";
/// The client that is on it.
pub(super) const LISTED: &str = "127.0.0.66";
/// Octets of a query at most; ours have one short name.
const QUERY_OCTETS_MAX: usize = 1_024;
const HEADER_OCTETS: usize = 12;
const TYPE_A: u16 = 1;

/// Starts it on a port of the system's choice.
pub(super) async fn start() -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let socket =
        UdpSocket::bind("127.0.0.1:0").await.context("a DNS server for the demo can not be started")?;
    let address = socket.local_addr()?;
    Ok((address, tokio::spawn(serve(socket))))
}

async fn serve(socket: UdpSocket) {
    let mut query = vec![0; QUERY_OCTETS_MAX];
    while let Ok((len, client)) = socket.recv_from(&mut query).await {
        if let Some(answer) = query.get(..len).and_then(answer) {
            // A client that went away needs no answer.
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

/// The answer to a query; none when it is not understood.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = query.split_at_checked(HEADER_OCTETS)?;
    let (name, len) = read_name(rest)?;
    let question = rest.get(..len + 4)?;
    let kind = u16::from_be_bytes(question.get(len..len + 2)?.try_into().ok()?);
    let listed = name == listed_name();
    // QR, RD, RA; NXDOMAIN (3) for every name but one.
    let flags: [u8; 2] = [0x81, if listed { 0x80 } else { 0x83 }];
    let answers = u8::from(listed && kind == TYPE_A);
    let mut answer = header.get(..2)?.to_vec();
    answer.extend_from_slice(&flags);
    answer.extend_from_slice(&[0, 1, 0, answers, 0, 0, 0, 0]);
    answer.extend_from_slice(question);
    if answers == 1 {
        // The name by reference, A, IN, 60 s, 127.0.0.2.
        answer.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 2]);
    }
    Some(answer)
}

/// The name at the begin of `octets` in lower case, and its length on the wire.
fn read_name(octets: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), 0);
    loop {
        let len = usize::from(*octets.get(at)?);
        at += 1;
        if len == 0 {
            return Some((name, at));
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&std::str::from_utf8(octets.get(at..at + len)?).ok()?.to_ascii_lowercase());
        at += len;
    }
}

fn listed_name() -> String {
    let reversed: Vec<_> = LISTED.rsplit('.').collect();
    format!("{}.{ZONE}", reversed.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str) -> Vec<u8> {
        let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(&[0, 0, 1, 0, 1]);
        query
    }

    #[test]
    fn one_address_is_listed() {
        let listed = answer(&query("66.0.0.127.BL.demo.example")).unwrap();
        assert_eq!((listed[3] & 15, &listed[listed.len() - 4..]), (0, &[127, 0, 0, 2][..]));
        let other = answer(&query("1.0.0.127.bl.demo.example")).unwrap();
        assert_eq!((&other[..2], other[3] & 15, other[7]), (&[7, 9][..], 3, 0));
        assert_eq!(answer(&[0; 13]), None);
    }
}
