//! A DNS server that answers from zone text, on a loopback port of the system's choice.
//!
//! It answers over UDP and TCP, says "no such name" with a start-of-authority record so that the answer can be
//! cached, and can be told to fail or to stay silent for a name. It counts questions.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordSet, RecordType, RrKey, rdata::SOA};
use hickory_proto::serialize::txt::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// Octets that a UDP answer may have here; longer ones are cut, so that the client asks again by TCP.
const UDP_OCTETS_MAX: usize = 1_232;
/// Aliases that are followed within the zone.
const ALIASES_MAX: usize = 4;

/// The running server; it ends when this is dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Zone>,
    _tasks: JoinSet<()>,
}

/// How the server treats the questions about one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Never answers.
    Silence,
    /// Answers SERVFAIL.
    Failure,
    /// Answers REFUSED.
    Refusal,
    /// Answers SERVFAIL about types that it has no records of.
    Gap,
}

#[derive(Debug, Default)]
struct Zone {
    records: BTreeMap<RrKey, RecordSet>,
    faults: Mutex<HashMap<Name, Fault>>,
    turns: Mutex<HashMap<Name, VecDeque<Ipv4Addr>>>,
    questions: Mutex<HashMap<(Name, RecordType), usize>>,
}

impl DnsServer {
    /// Starts a server for `zone_text` (RFC 1035 5). Names without a dot at the end are relative to the root.
    pub async fn start(zone_text: &str) -> anyhow::Result<DnsServer> {
        let (_, records) = Parser::new(zone_text.to_owned(), None, Some(Name::root())).parse()?;
        DnsServer::start_with(Zone { records, ..Zone::default() }).await
    }

    /// Starts a server for these records, which may hold what zone text can not say.
    pub async fn start_records(records: Vec<Record>) -> anyhow::Result<DnsServer> {
        let mut zone = Zone::default();
        for record in records {
            let key = RrKey::new(LowerName::new(&record.name), record.record_type());
            let set = || RecordSet::new(record.name.clone(), record.record_type(), 0);
            zone.records.entry(key).or_insert_with(set).insert(record, 0);
        }
        DnsServer::start_with(zone).await
    }

    async fn start_with(zone: Zone) -> anyhow::Result<DnsServer> {
        let zone = Arc::new(zone);
        let (udp, tcp) = bind_both().await?;
        let address = udp.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, zone.clone()));
        tasks.spawn(serve_tcp(tcp, zone.clone()));
        Ok(DnsServer { address, zone, _tasks: tasks })
    }

    /// Where it listens, for UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, questions about `name` meet this fault; `None` ends it.
    pub fn set_fault(&self, name: &str, fault: Option<Fault>) {
        let mut faults = self.zone.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => faults.insert(absolute(name), fault),
            None => faults.remove(&absolute(name)),
        };
    }

    /// From now on, questions for an address of `name` get these, one after the other and the last one for good. Answers
    /// may not be kept (RFC 1035 3.2.1: TTL 0).
    pub fn set_turns(&self, name: &str, addresses: &[Ipv4Addr]) {
        let mut turns = self.zone.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.insert(absolute(name), addresses.iter().copied().collect());
    }

    /// How many questions for this name and type have come in.
    pub fn questions(&self, name: &str, record_type: RecordType) -> usize {
        let questions = self.zone.questions.lock().unwrap_or_else(PoisonError::into_inner);
        questions.get(&(absolute(name), record_type)).copied().unwrap_or(0)
    }
}

/// UDP and TCP sockets of the same port. The system chooses the port of one, the other may be taken: then again.
async fn bind_both() -> anyhow::Result<(UdpSocket, TcpListener)> {
    loop {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await?;
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr()?).await {
            return Ok((udp, tcp));
        }
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Zone>) {
    let mut buffer = vec![0; 65_535];
    while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
        let Some(answer) = buffer.get(..len).and_then(|question| zone.answer(question)) else { continue };
        let Ok(mut octets) = answer.to_vec() else { continue };
        if octets.len() > UDP_OCTETS_MAX {
            octets = answer.truncate().to_vec().unwrap_or_default();
        }
        // A client that went away is no trouble of the server.
        let _ = socket.send_to(&octets, peer).await;
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Zone>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_connection(stream, zone.clone()));
    }
}

async fn serve_connection(mut stream: TcpStream, zone: Arc<Zone>) {
    while let Ok(len) = stream.read_u16().await {
        let mut question = vec![0; usize::from(len)];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        let Some(octets) = zone.answer(&question).and_then(|answer| answer.to_vec().ok()) else { continue };
        let Ok(len) = u16::try_from(octets.len()) else { return };
        let framed = [&len.to_be_bytes()[..], &octets].concat();
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

impl Zone {
    /// The answer to one question; none when it is not a question or silence was asked for.
    fn answer(&self, octets: &[u8]) -> Option<Message> {
        let question = Message::from_vec(octets).ok()?;
        let query = question.queries.first()?.clone();
        let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let name = Name::from(LowerName::new(query.name()));
        self.count(&name, query.query_type());
        match self.faults.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            Some(Fault::Silence) => return None,
            Some(Fault::Failure) => answer.metadata.response_code = ResponseCode::ServFail,
            Some(Fault::Refusal) => answer.metadata.response_code = ResponseCode::Refused,
            Some(Fault::Gap) if !self.has(&name, query.query_type()) => {
                answer.metadata.response_code = ResponseCode::ServFail;
            }
            Some(Fault::Gap) | None => self.fill(&mut answer, name, query.query_type()),
        }
        Some(answer)
    }

    fn count(&self, name: &Name, record_type: RecordType) {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        *questions.entry((name.clone(), record_type)).or_default() += 1;
    }

    /// The address whose turn it is.
    fn turn(&self, name: &Name, record_type: RecordType) -> Option<Ipv4Addr> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = turns.get_mut(name).filter(|_| record_type == RecordType::A)?;
        if addresses.len() > 1 { addresses.pop_front() } else { addresses.front().copied() }
    }

    fn has(&self, name: &Name, record_type: RecordType) -> bool {
        self.records.contains_key(&RrKey::new(LowerName::new(name), record_type))
    }

    /// Follows aliases for a while; longer chains are left to the client, as some real servers do.
    fn fill(&self, answer: &mut Message, mut name: Name, record_type: RecordType) {
        if let Some(address) = self.turn(&name, record_type) {
            answer.add_answer(Record::from_rdata(name, 0, RData::A(address.into())));
            return;
        }
        for _ in 0..ALIASES_MAX {
            if let Some(records) = self.records.get(&RrKey::new(LowerName::new(&name), record_type)) {
                answer.add_answers(records.records_without_rrsigs().cloned());
                return;
            }
            let Some(alias) = self.records.get(&RrKey::new(LowerName::new(&name), RecordType::CNAME)) else {
                break;
            };
            let Some(record) = alias.records_without_rrsigs().next() else { break };
            answer.add_answer(record.clone());
            let RData::CNAME(target) = &record.data else { break };
            name = target.0.clone();
        }
        let exists = self.records.keys().any(|key| key.name() == &LowerName::new(&name));
        if !exists {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.add_authority(start_of_authority());
    }
}

/// Negative answers are cacheable only with such a record (RFC 2308 5).
fn start_of_authority() -> Record {
    let soa = SOA::new(absolute("ns.test"), absolute("admin.test"), 1, 3_600, 600, 86_400, 60);
    Record::from_rdata(Name::root(), 60, RData::SOA(soa))
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_utf8(name).unwrap_or_else(|_| Name::root());
    name.set_fqdn(true);
    Name::from(LowerName::new(&name))
}
