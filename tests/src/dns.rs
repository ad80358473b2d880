//! A DNS server that answers from zone text, on a loopback port of the system's choice.
//!
//! Started with [`DnsServer::start_signed`], it is a resolver over one signed root zone, from which some names are delegated
//! unsigned. Signatures and proofs of absence are made as they are asked for.
//!
//! It answers over UDP and TCP, says "no such name" with a start-of-authority record so that the answer can be
//! cached, and can be told to fail or to stay silent for a name. It counts questions.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::dnssec::crypto::EcdsaSigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use hickory_proto::dnssec::{Algorithm, DnssecSigner, PublicKey, SigningKey};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{DNSClass, LowerName, Name, RData, Record, RecordSet, RecordType, RrKey};
use hickory_proto::serialize::txt::Parser;
use time::OffsetDateTime;
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
    /// Signs what it answers wrongly.
    Forgery,
    /// Leaves the signatures out.
    Strip,
    /// Cuts each answer by UDP and never answers by TCP.
    Cut,
}

#[derive(Debug, Default)]
struct Zone {
    records: BTreeMap<RrKey, RecordSet>,
    faults: Mutex<HashMap<Name, Fault>>,
    turns: Mutex<HashMap<Name, VecDeque<Ipv4Addr>>>,
    questions: Mutex<HashMap<(Name, RecordType), usize>>,
    keys: Option<Keys>,
}

impl DnsServer {
    /// Starts a server for `zone_text` as one signed zone, but for `unsigned` names and all below them.
    pub async fn start_signed(zone_text: &str, unsigned: &[&str]) -> anyhow::Result<DnsServer> {
        let (_, records) = Parser::new(zone_text.to_owned(), None, Some(Name::root())).parse()?;
        let keys = Some(Keys::make(unsigned)?);
        DnsServer::start_with(Zone { records, keys, ..Zone::default() }).await
    }

    /// The file of trust anchors that makes its signatures believed.
    pub fn trust_anchor(&self) -> String {
        self.zone.keys.as_ref().map(Keys::anchor).unwrap_or_default()
    }

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
        if octets.len() > UDP_OCTETS_MAX || zone.cuts(&answer) {
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
        let answer = zone.answer(&question).filter(|answer| !zone.cuts(answer));
        let Some(octets) = answer.and_then(|answer| answer.to_vec().ok()) else { continue };
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
            Some(fault @ (Fault::Forgery | Fault::Strip)) => {
                self.fill(&mut answer, name.clone(), query.query_type());
                if let (Some(keys), Fault::Forgery) = (&self.keys, fault) {
                    self.sign(&mut answer, keys, &name, query.query_type(), true);
                }
            }
            Some(Fault::Gap | Fault::Cut) | None => {
                self.fill(&mut answer, name.clone(), query.query_type());
                let wants_proof = question.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
                if let Some(keys) = self.keys.as_ref().filter(|_| wants_proof) {
                    self.sign(&mut answer, keys, &name, query.query_type(), false);
                }
            }
        }
        Some(answer)
    }

    /// Adds what proves the answer.
    fn sign(&self, answer: &mut Message, keys: &Keys, name: &Name, wanted: RecordType, forged: bool) {
        let last = answer.answers.iter().rev().find_map(|record| match &record.data {
            RData::CNAME(target) => Some(Name::from(LowerName::new(&target.0))),
            _ => None,
        });
        let last = last.unwrap_or_else(|| name.clone());
        let is_cut = keys.unsigned.contains(name);
        if wanted == RecordType::DNSKEY && name.is_root() {
            answer.metadata.response_code = ResponseCode::NoError;
            answer.authorities.clear();
            answer.add_answer(keys.record());
        } else if wanted == RecordType::NS && is_cut {
            answer.authorities.clear();
            let host = NS(absolute("ns.test"));
            answer.add_answer(Record::from_rdata(name.clone(), 60, RData::NS(host)));
            return;
        } else if keys.is_unsigned(name) && keys.is_unsigned(&last) && !(is_cut && wanted == RecordType::DS) {
            return;
        }
        if !answer.answers.iter().any(|record| record.record_type() == wanted) {
            // All that there is at the last name, and nothing behind it: a proof for just this question (RFC 4470).
            // What lies in a zone without signatures is not proved.
            if last == *name || !keys.is_unsigned(&last) {
                answer.metadata.response_code = ResponseCode::NoError;
                let next = Name::from_labels(std::iter::once(&b"\0"[..]).chain(last.iter()))
                    .unwrap_or_else(|_| Name::root());
                let here = self.records.keys().filter(|key| key.name() == &LowerName::new(&last));
                let types = here.map(|key| key.record_type).chain(is_cut.then_some(RecordType::NS));
                let nsec = NSEC::new_cover_self(next, types.collect::<Vec<_>>());
                answer.add_authority(Record::from_rdata(last, 60, RData::DNSSEC(DNSSECRData::NSEC(nsec))));
            }
        }
        let mut proofs = keys.signatures(&answer.answers, forged);
        answer.answers.append(&mut proofs);
        let mut proofs = keys.signatures(&answer.authorities, forged);
        answer.authorities.append(&mut proofs);
    }

    /// True when answers about the name do not come through.
    fn cuts(&self, answer: &Message) -> bool {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let name = answer.queries.first().map(|query| Name::from(LowerName::new(query.name())));
        name.is_some_and(|name| faults.get(&name) == Some(&Fault::Cut))
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
        let mut unsigned = self.keys.iter().flat_map(|keys| &keys.unsigned);
        let apex = unsigned.find(|parent| parent.zone_of(&name)).cloned().unwrap_or_else(Name::root);
        answer.add_authority(start_of_authority(apex));
    }
}

/// The key of the signed zone.
struct Keys {
    signer: DnssecSigner,
    unsigned: Vec<Name>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keys").field("unsigned", &self.unsigned).finish_non_exhaustive()
    }
}

impl Keys {
    fn make(unsigned: &[&str]) -> anyhow::Result<Keys> {
        let algorithm = Algorithm::ECDSAP256SHA256;
        let key = EcdsaSigningKey::from_pkcs8(&EcdsaSigningKey::generate_pkcs8(algorithm)?, algorithm)?;
        let dnskey = DNSKEY::from_key(&key.to_public_key()?);
        let signer = DnssecSigner::new(dnskey, Box::new(key), Name::root(), SIGNATURES_LAST);
        Ok(Keys { signer, unsigned: unsigned.iter().map(|name| absolute(name)).collect() })
    }

    fn record(&self) -> Record {
        let dnskey = RData::DNSSEC(DNSSECRData::DNSKEY(self.signer.to_dnskey()));
        Record::from_rdata(Name::root(), 60, dnskey)
    }

    fn anchor(&self) -> String {
        use base64::Engine;

        let key = base64::engine::general_purpose::STANDARD
            .encode(self.signer.dnskey().public_key().public_bytes());
        format!(". 60 IN DNSKEY 257 3 13 {key}\n")
    }

    fn is_unsigned(&self, name: &Name) -> bool {
        self.unsigned.iter().any(|parent| parent.zone_of(name))
    }

    /// A signature for each set of records that is of the signed zone.
    fn signatures(&self, records: &[Record], forged: bool) -> Vec<Record> {
        let mut sets: Vec<RecordSet> = Vec::new();
        for record in records.iter().filter(|record| !self.is_unsigned(&record.name) || is_of_parent(record))
        {
            let is_its = |set: &&mut RecordSet| {
                set.name() == &record.name && set.record_type() == record.record_type()
            };
            match sets.iter_mut().find(is_its) {
                Some(set) => {
                    set.insert(record.clone(), 0);
                }
                None => {
                    let mut set = RecordSet::with_ttl(record.name.clone(), record.record_type(), record.ttl);
                    set.insert(record.clone(), 0);
                    sets.push(set);
                }
            }
        }
        sets.iter().filter_map(|set| self.signature(set, forged)).collect()
    }

    fn signature(&self, set: &RecordSet, forged: bool) -> Option<Record> {
        let begins = OffsetDateTime::now_utc() - SIGNATURES_LAST / 2;
        let mut rrsig = RRSIG::from_rrset(set, DNSClass::IN, begins, &self.signer).ok()?;
        if forged {
            let mut octets = rrsig.sig().to_vec();
            octets.reverse();
            rrsig = RRSIG::from_sig(rrsig.input().clone(), octets);
        }
        let data = RData::DNSSEC(DNSSECRData::RRSIG(rrsig));
        Some(Record::from_rdata(set.name().clone(), set.ttl(), data))
    }
}

/// At a cut, what is said about it belongs to the zone above.
fn is_of_parent(record: &Record) -> bool {
    record.record_type() == RecordType::NSEC
}

/// How long signatures hold; they begin half of it ago.
const SIGNATURES_LAST: std::time::Duration = std::time::Duration::from_secs(7_200);

/// Negative answers are cacheable only with such a record (RFC 2308 5).
fn start_of_authority(apex: Name) -> Record {
    let soa = SOA::new(absolute("ns.test"), absolute("admin.test"), 1, 3_600, 600, 86_400, 60);
    Record::from_rdata(apex, 60, RData::SOA(soa))
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_utf8(name).unwrap_or_else(|_| Name::root());
    name.set_fqdn(true);
    Name::from(LowerName::new(&name))
}
