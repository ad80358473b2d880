//! The settings file as it stands: every key with its text, unit and default. `check.rs` makes sense of it.

mod accounts;
mod api;
mod clients;
mod engine;
mod feed;
mod identity;
mod next_hops;
mod reports;
mod retry;
mod returns;
mod running;
mod security;
mod shaping;
mod sources;
mod store;
mod streams;
mod suppression;
mod templates;
mod tls;
mod tracking;

use std::path::PathBuf;

use super::field::{Anything, Named, section};

pub(crate) use accounts::{RawAccounts, RawIssuer};
pub(crate) use api::RawApi;
pub(crate) use clients::{RawClients, RawNetwork, RawPressure};
pub(crate) use engine::{RawEngine, RawHttp};
pub(crate) use feed::{RawEventFile, RawEventNats, RawFeed, RawSums, RawWebhooks};
pub(crate) use identity::{RawChecks, RawSigning};
pub(crate) use next_hops::{RawNextHop, RawRoute};
pub(crate) use reports::RawReports;
pub(crate) use retry::{RawClassRetry, RawRetry};
pub(crate) use returns::{RawBounces, RawComplaints};
pub(crate) use running::{
    RawBreaker, RawEvents, RawNext, RawPool, RawRecord, RawRegistry, RawSessionInstances, RawThresholds,
    RawWhen,
};
use security::prohibited_networks;
pub(crate) use security::{RawLogin, RawMtaSts};
pub(crate) use shaping::{RawProvider, RawRule, RawShaping, RawWarmup};
pub(crate) use sources::{RawBlocklists, RawPool as RawSourcePool, RawSource};
pub(crate) use store::{RawLanes, RawStore};
pub(crate) use streams::RawStreamRules;
pub(crate) use suppression::{RawSuppression, RawSuppressionDays};
pub(crate) use templates::RawTemplates;
pub(crate) use tls::{RawAcme, RawTls};
pub(crate) use tracking::RawTracking;

section! {
    /// The whole file.
    Raw {
        /// The relay's own name: in greetings, in EHLO, in trace fields and reports. Unset: the machine's name.
        hostname: Option<String> = None,
        /// The user that the relay becomes once its ports are open, by name or number, for a start as root. The folder of `store.path` and the files of certificates must be its own. Unset: it stays who it is.
        user: Option<String> = None,
        /// The group that it becomes. Unset: that of the user.
        group: Option<String> = None,
        /// Domains that this relay is responsible for: anybody may send to them.
        local_domains: Vec<String> = Vec::new(),
        /// Threads that run sessions and deliveries. Unset: one for each processor.
        worker_threads: Option<usize> = None,
        /// How long running transactions and deliveries may go on after a stop was asked for, in seconds. Service managers wait a little longer than this by default.
        drain_s: u64 = 20,
        /// The durable queue.
        store: RawStore = RawStore::default(),
        /// What happens, for those who follow it.
        events: RawFeed = RawFeed::default(),
        /// How events are posted to those who asked for that.
        webhooks: RawWebhooks = RawWebhooks::default(),
        /// Name lookups.
        dns: RawDns = RawDns::default(),
        /// Where mail comes in. Unset: one listener named `smtp` on 127.0.0.1:2525.
        listeners: Named<RawListener> = Named(Vec::new()),
        /// TLS, for all listeners.
        tls: RawTls = RawTls::default(),
        /// Rules and bounds of SMTP sessions, for all listeners.
        session: RawSession = RawSession::default(),
        /// How much strangers may ask for.
        clients: RawClients = RawClients::default(),
        /// When mail is refused because the relay itself is short of something.
        pressure: RawPressure = RawPressure::default(),
        /// The accounts of `baton user`: how their passwords are kept, and how often somebody may be wrong.
        accounts: RawAccounts = RawAccounts::default(),
        /// SPF, DKIM and DMARC for mail of strangers.
        checks: RawChecks = RawChecks::default(),
        /// DKIM signatures on what leaves, with the keys of `baton domain`.
        signing: RawSigning = RawSigning::default(),
        /// What templates may cost.
        templates: RawTemplates = RawTemplates::default(),
        /// Opens, clicks and unsubscribing, where they are asked for.
        tracking: RawTracking = RawTracking::default(),
        /// Reports of others about mail in the names of your domains, and ours about the domains of others.
        reports: RawReports = RawReports::default(),
        /// The WebAssembly plugins, by name: lower-case letters, digits and hyphens.
        plugins: Named<RawPlugin> = Named(Vec::new()),
        /// A folder of scripts, each of which is a plugin.
        policies: RawPolicies = RawPolicies::default(),
        /// Whose signatures on plugins count.
        plugin_trust: RawTrust = RawTrust::default(),
        /// In which order each hook asks its plugins, where the order of the file is not meant.
        hooks: RawHooks = RawHooks::default(),
        /// What all plugins share.
        engine: RawEngine = RawEngine::default(),
        /// Requests of plugins to HTTP servers.
        http: RawHttp = RawHttp::default(),
        /// OCI registries, which plugins with `source = "oci://…"` come from.
        registry: RawRegistry = RawRegistry::default(),
        /// Places that mail can go to. Each has exactly one of `mx`, `hosts`, `lmtp`, `file`, `http`, `hold`, `discard`.
        next_hops: Named<RawNextHop> = Named(Vec::new()),
        /// Which domains go where: the route of exactly the domain, else of its nearest parent, else of `*`, else the mail hosts of the domain.
        routes: Vec<RawRoute> = Vec::new(),
        /// What mail leaves by, by name. Unset: one source with the addresses of `delivery.source_addresses`.
        sources: Named<RawSource> = Named(Vec::new()),
        /// Groups of sources, by name. The pool `default`, unless it is set, is all sources with their own weights.
        pools: Named<RawSourcePool> = Named(Vec::new()),
        /// Blocklists that are asked about the addresses of the sources.
        blocklists: RawBlocklists = RawBlocklists::default(),
        /// Plans of warm-up, by name; a source names its own.
        warmup: Named<RawWarmup> = Named(Vec::new()),
        /// How much goes where, how fast.
        shaping: RawShaping = RawShaping::default(),
        /// How mail is delivered and retried.
        delivery: RawDelivery = RawDelivery::default(),
        /// What kind of failure a reply means, and when failures of that kind are tried again.
        retry: RawRetry = RawRetry::default(),
        /// Reports about mail that could not be delivered.
        bounce: RawBounce = RawBounce::default(),
        /// Reports of others that mail could not be delivered after all.
        bounces: RawBounces = RawBounces::default(),
        /// Feedback of recipients who call mail unwanted.
        complaints: RawComplaints = RawComplaints::default(),
        /// What mail of a stream must have, by the stream's name.
        streams: Named<RawStreamRules> = Named(Vec::new()),
        /// To whom nothing is sent.
        suppression: RawSuppression = RawSuppression::default(),
        /// What is logged and how.
        log: RawLog = RawLog::default(),
        /// The API, metrics and health over HTTP.
        api: RawApi = RawApi::default(),
    }
}

section! {
    /// Name lookups.
    RawDns {
        /// Servers to ask, as address:port. Empty: those of the system's configuration.
        servers: Vec<String> = Vec::new(),
        /// How long one server may take for one try, in milliseconds.
        timeout_ms: u64 = 3_000,
        /// Tries at most.
        attempts: usize = 2,
        /// Answers kept in memory at most, negative ones included.
        cache_entries_max: usize = 32_768,
        /// Whether the relay proves answers about mail hosts by their signatures (DNSSEC), which DANE and REQUIRETLS build on: `auto` (when the name servers pass signatures on; from the first time that they did, until the end of the process), `validate` (always: without signatures no mail host is found) or `off`. Forged answers make mail wait. `auto` is the default, as some name servers pass no signatures on: with them `validate` would stop all mail.
        dnssec: String = "auto".to_owned(),
        /// A file of DNSKEY records, as in a zone, whose keys are believed. Unset: the keys of the root.
        trust_anchor_file: Option<PathBuf> = None,
    }
}

section! {
    /// One listener.
    RawListener {
        /// The address and port, `unix:/path`, or `systemd:NAME` for a socket of the service manager. Port 0 lets the system choose. Clients of a UNIX socket count as clients at 127.0.0.1; its file is for the relay's user and group.
        address: String = "127.0.0.1:2525".to_owned(),
        /// More addresses of this listener, such as `[::]:25`.
        addresses: Vec<String> = Vec::new(),
        /// `mx` (other servers, and the relay networks), `relay` (the relay networks only), `submission` (users, who must authenticate, after STARTTLS; port 587), `submissions` (the same where TLS begins with the connection; port 465) or `lmtp`.
        kind: String = "mx".to_owned(),
        /// When TLS begins: `off`, `offered` or `required` (both by STARTTLS), or `implicit` (with the connection). Unset: as the kind says; `offered` for `mx` and `relay`, `off` for `lmtp`.
        tls: Option<String> = None,
        /// Whether clients are asked for a certificate: `off`, `offered` or `required`. Plugins see whom it names and whether an authority of `client_ca_file` vouches for it.
        client_certificates: String = "off".to_owned(),
        /// A PEM file of the authorities that vouch for clients.
        client_ca_file: Option<PathBuf> = None,
        /// Networks of balancers in front, such as `10.0.0.0/8`: their connections must begin with a PROXY header (version 1 or 2), which tells the client. From elsewhere no such header is read.
        proxy_networks: Vec<String> = Vec::new(),
        /// Networks of clients that may say by XCLIENT for whom they speak, as proxies and filters do; it is offered to no other. What they say counts: the address with its rights, and with LOGIN an account.
        xclient_networks: Vec<String> = Vec::new(),
        /// Sessions open at once on this listener; more are told 421.
        connections_max: usize = 10_000,
        /// Sessions open at once from one IPv4 address or IPv6 /64; clients of the relay networks do not count. 0 is no limit.
        connections_per_address_max: usize = 50,
        /// Connections that the kernel holds until they are accepted.
        backlog: u32 = 1_024,
        /// Offers AUTH on connections without TLS. Only for networks that nobody else can read.
        auth_without_tls: bool = false,
        /// The mechanisms of AUTH that may be offered here, where somebody can judge them: `SCRAM-SHA-256-PLUS`, `SCRAM-SHA-256`, `PLAIN`, `LOGIN`, `OAUTHBEARER`, `XOAUTH2`. Unset: all of them for users (`submission`, `submissions`); elsewhere `PLAIN` and `LOGIN`, and those only when a plugin serves the hook `auth`.
        mechanisms: Option<Vec<String>> = None,
        /// Octets of one message on this listener. Unset: as in [session].
        size_octets_max: Option<u64> = None,
        /// Recipients of one message on this listener. Unset: as in [session].
        recipients_max: Option<usize> = None,
        /// What holds for clients of some networks.
        networks: Vec<RawNetwork> = Vec::new(),
    }
}

section! {
    /// Rules and bounds of SMTP sessions, for all listeners.
    RawSession {
        /// Networks whose clients may send to every domain. Everybody else needs an account or a plugin with the grant.
        relay_networks: Vec<String> = vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()],
        /// Who reads mail for <postmaster> without a domain (RFC 5321 4.5.1). Unset: postmaster at the hostname.
        postmaster: Option<String> = None,
        /// Sessions open at once over all listeners; more are told 421.
        sessions_max: usize = 10_000,
        /// Octets of one message; announced by SIZE (RFC 1870). 0 is no limit.
        size_octets_max: u64 = 50 << 20,
        /// Recipients of one message (RFC 5321 4.5.3.1.8 asks for 100 at least).
        recipients_max: usize = 1_000,
        /// Octets of one command line.
        command_octets_max: usize = 2_048,
        /// Octets of one line of content; 0 is no limit. RFC 5322 2.1.1 allows 1,000, real mail has more.
        line_octets_max: usize = 0,
        /// Errors of a client before it is told 421.
        errors_max: u32 = 20,
        /// Commands that lead nowhere (NOOP, RSET, HELP, VRFY) before a client is told 421.
        junk_commands_max: u32 = 100,
        /// Messages of one session; then the client is told 421 and comes again.
        transactions_max: u32 = 1_000,
        /// BDAT chunks of one message (RFC 3030).
        chunks_max: u32 = 10_000,
        /// A CR or LF that stands alone in content: `refuse`, or `repair` to CRLF. Leaving it would let mail be smuggled.
        bare_line_endings: String = "refuse".to_owned(),
        /// Whose mail may go before that of others by MT-PRIORITY (RFC 6710): `nobody`, `trusted` (users and the relay networks) or `all`. To be late may be asked by everybody.
        priority_from: String = "trusted".to_owned(),
        /// Seconds that users may have a message held before it leaves (FUTURERELEASE, RFC 4865); 0 offers it to nobody.
        hold_s_max: u32 = 604_800,
        /// Offers BINARYMIME (RFC 3030): content without lines. Towards next hops that do not know it, it is converted.
        binary_mime: bool = true,
        /// What VRFY and EXPN tell about a mailbox (RFC 5321 3.5, 7.3): `off`, 502; `silent`, VRFY is 252, which says nothing, and EXPN 502; `recipients`, what RCPT would be told by rules and plugins, and whom plugins put in its place; `next-hop`, for VRFY also what the next hop says. Within the bounds of recipients.
        vrfy: String = "silent".to_owned(),
        /// `Received` fields of a message at most; more is a loop (RFC 5321 6.3).
        received_max: usize = 50,
        /// Octets of content that all sessions together may hold while they receive; beyond it 452.
        memory_octets_max: u64 = 256 << 20,
        /// Failed AUTH commands before a client is told 421.
        auth_failures_max: u32 = 3,
        /// How long the answer to a failed AUTH is held back, in milliseconds. Slows guessing down.
        auth_failure_delay_ms: u64 = 1_000,
        /// Refused recipients that one session may write to the history. Bounds what a spammer can make us store.
        rejections_recorded_max: u32 = 20,
        /// Looks up each client's name (forward-confirmed) for trace fields. Plugins that ask for it get it anyway.
        reverse_dns: bool = false,
        /// Refuses return paths of strangers (550 5.7.27) in domains that say by a null MX that they take no mail: nobody there could be answered (RFC 7505 4.2). Costs a DNS query.
        null_mx_senders: bool = false,
        /// Refuses recipients (556 5.1.10) in foreign domains that say by a null MX that they take no mail, when they are named instead of at delivery (RFC 7505 4.1). For relays that deliver by MX; costs a DNS query.
        null_mx_recipients: bool = false,
        /// A message with more MIME parts or headers than can be read safely: `accept` it unparsed, or `refuse` it.
        too_complex: String = "accept".to_owned(),
        /// How long one command may take from the reply before it to its last octet, in seconds (RFC 5321 4.5.3.2.7).
        command_s: u64 = 300,
        /// How long content may take beyond what the lowest rate allows for, in seconds.
        data_s: u64 = 180,
        /// The lowest rate of content, in octets per second.
        data_octets_per_s: u64 = 500,
        /// How long the relay itself may take for one answer, plugins and queue included, in seconds. Well below the 600 that a client waits for the end of data (RFC 5321 4.5.3.2.6): whoever gives up earlier sends the message twice.
        answer_s: u64 = 300,
        /// How long a client may take to read our replies, in seconds.
        write_s: u64 = 60,
        /// How long a session outside a transaction may last, in seconds.
        session_s: u64 = 3_600,
        /// How long a running transaction may go on beyond that, in seconds.
        transaction_s: u64 = 3_600,
        /// How long a session keeps the plugins it began with after a reload, in seconds.
        generation_s: u64 = 900,
    }
}

section! {
    /// A folder of scripts, each of which is a plugin.
    RawPolicies {
        /// Each `.js` or `.ts` file in this folder is a plugin by the name of the file, asked after those of `plugins`, in the order of the names. `[plugins.NAME]` without a `source` sets what is particular to one. With `hooks.watch` the folder is watched. One that does not load after a change goes on in its last version.
        folder: Option<PathBuf> = None,
        /// What happens to mail when one of them fails, as `on_failure` of a plugin.
        on_failure: String = "tempfail".to_owned(),
        /// What one call of each may use.
        limits: RawLimits = RawLimits::default(),
        /// What each of them may do. Nothing by default.
        grants: RawGrants = RawGrants::default(),
    }
}

section! {
    /// One plugin.
    RawPlugin {
        /// The component, a `.wasm` file; a script, a `.js` or `.ts` file; or a component in a registry, `oci://registry/repository:tag` or `oci://registry/repository@sha256:…`. A tag is looked up at each load, a digest that was fetched before is not asked for again.
        source: PathBuf = PathBuf::new(),
        /// The SHA-256 that the file must have, in hexadecimal digits. Unset: any file of that name is loaded.
        sha256: Option<String> = None,
        /// Runs the self-tests that the file brings along before it serves; one that fails refuses the load. A file that passed is not tested again.
        self_test: bool = true,
        /// The hooks it is asked at. Unset: all that it exports.
        hooks: Option<Vec<String>> = None,
        /// What happens to mail when the plugin fails: `tempfail` (4xx, try again), `open` (as if it were not there), `closed` (5xx) or `quarantine` (accept and hold).
        on_failure: String = "tempfail".to_owned(),
        /// `enforce`, or `monitor`: it is asked, the history tells what it would have done, and nothing is changed by it.
        mode: String = "enforce".to_owned(),
        /// How long an instance of it lives: `fresh` (one call), `session` (one SMTP session) or `pool` (many calls). Only with `fresh` nothing that it keeps in memory is seen by another call.
        instances: String = "fresh".to_owned(),
        /// Warm instances, for `instances = "pool"`.
        pool: RawPool = RawPool::default(),
        /// Instances of sessions, for `instances = "session"`.
        session: RawSessionInstances = RawSessionInstances::default(),
        /// When it is left alone after failures.
        breaker: RawBreaker = RawBreaker::default(),
        /// When it is asked: a CEL expression for all its hooks, or a table with one for each hook. Read without it being started: `client in cidr("192.0.2.0/24")`, `rcpt.domain == "example.org"`, `header("subject").contains("invoice")`, `size > 1000000`. Unset: always.
        when: RawWhen = RawWhen::Unset,
        /// How events are told to it, when it observes.
        events: RawEvents = RawEvents::default(),
        /// Records its calls, to be replayed against another build of it: `baton plugin replay`.
        record: RawRecord = RawRecord::default(),
        /// A new version that is tried beside it.
        next: Option<RawNext> = None,
        /// A TOML file that is merged under `config`: tables that are too long for this file.
        config_file: Option<PathBuf> = None,
        /// The plugin's own settings; its README says which.
        config: Anything = Anything(None),
        /// What one call may use.
        limits: RawLimits = RawLimits::default(),
        /// What it may do. Nothing by default.
        grants: RawGrants = RawGrants::default(),
        /// Its secrets, by the names it asks for. Read at the start and at each reload; no log and no interface shows them.
        secrets: Named<RawSecret> = Named(Vec::new()),
    }
}

section! {
    /// One secret: exactly one of these keys.
    RawSecret {
        /// The file that holds it; a line end at its end does not count.
        file: Option<PathBuf> = None,
        /// The variable of the relay's environment that holds it.
        env: Option<String> = None,
    }
}

section! {
    /// What one call of a plugin may use.
    RawLimits {
        /// Time on the processor, in milliseconds.
        cpu_ms: u32 = 20,
        /// Time in all, waiting for DNS and storage included, in milliseconds.
        wall_ms: u32 = 5_000,
        /// Octets of memory.
        memory_octets: usize = 64 << 20,
        /// Elements of its tables.
        table_elements: usize = 20_000,
        /// Calls of host functions.
        host_calls_max: u32 = 10_000,
        /// Octets that it hands over in one call of a host function.
        host_call_octets_max: usize = 4 << 20,
        /// Octets of messages and config that it reads.
        read_octets_max: u64 = 64 << 20,
        /// Octets of messages and parts that the relay decodes, searches and digests for it.
        work_octets_max: u64 = 256 << 20,
        /// Octets of all new bodies that it writes. Unused without the grant.
        body_octets_max: u64 = 64 << 20,
        /// Handles (buckets, parts, streams) that are open at once.
        handles_max: usize = 256,
        /// DNS queries.
        dns_queries_max: u32 = 64,
        /// HTTP requests.
        http_requests_max: u32 = 16,
        /// Octets of the content of one HTTP request; a message that is posted as it is does not count.
        http_request_octets_max: usize = 4 << 20,
        /// Octets of the content of one HTTP response.
        http_response_octets_max: usize = 1 << 20,
        /// Questions to next hops about recipients.
        verify_questions_max: u32 = 4,
        /// Log records in a second, over all calls.
        log_lines_per_s: u32 = 100,
        /// Octets of a log record.
        log_line_octets_max: usize = 8_192,
    }
}

section! {
    /// What a plugin may do beyond looking and deciding.
    RawGrants {
        /// What it may change: any of `headers`, `trace` (with `headers`: also `Received` fields, by which mail loops are found), `body`, `recipients`, `sender`.
        edit: Vec<String> = Vec::new(),
        /// Its `accept` at `rcpt` lets a client send to a foreign domain.
        relay: bool = false,
        /// Where it may send mail: `*`, `mx`, `host:PATTERN`, or names of [next_hops].
        route: Vec<String> = Vec::new(),
        /// The key-value buckets that it may open; those that begin with `shared/` are shared between plugins.
        kv: Vec<String> = Vec::new(),
        /// May look up names.
        dns: bool = false,
        /// Which URLs it may ask: each the beginning of a URL with scheme, host, port and path, such as `https://api.example/v1/`; `https://.example.org/` is all names below; `*` is every public host. Addresses that are not public are asked only when a grant names the address (or `localhost`) itself, or by http.allowed_networks.
        http: Vec<String> = Vec::new(),
        /// May ask next hops whether they take mail for a recipient.
        verify: bool = false,
    }
}

section! {
    /// Whose signatures on plugins count. A signature lies beside its file, as `x.wasm.sig`.
    RawTrust {
        /// Which plugins need a signature of one of the keys: `none`, `oci` (those that come from a registry) or `all`. A signature that does not fit its file is refused in any case.
        require: String = "oci".to_owned(),
        /// The keys.
        keys: Vec<RawTrustedKey> = Vec::new(),
    }
}

section! {
    /// One key.
    RawTrustedKey {
        /// What to call it.
        name: String = String::new(),
        /// The public key, as `baton plugin keygen` prints it.
        public: String = String::new(),
    }
}

section! {
    /// In which order each hook asks its plugins.
    RawHooks {
        /// Reloads by itself when this file or a plugin's file changes. Otherwise changes wait for `baton reload` or SIGHUP.
        watch: bool = false,
        /// A client connects.
        connect: Option<Vec<String>> = None,
        /// A client gives a name and a password.
        auth: Option<Vec<String>> = None,
        /// A recipient is named.
        rcpt: Option<Vec<String>> = None,
        /// The content is there.
        data: Option<Vec<String>> = None,
        /// A recipient's copy is about to be delivered.
        route: Option<Vec<String>> = None,
        /// An attempt failed.
        bounce: Option<Vec<String>> = None,
        /// What the sum of a message's scores means.
        thresholds: RawThresholds = RawThresholds::default(),
    }
}

section! {
    /// How mail is delivered and retried.
    RawDelivery {
        /// The wait after the first failed attempt, in seconds. Greylisting peers ask for five minutes.
        retry_first_s: f64 = 300.0,
        /// By how much each wait is longer than the one before.
        retry_factor: f64 = 2.0,
        /// The longest wait, in seconds.
        retry_max_s: f64 = 14_400.0,
        /// The part of each wait that is left to chance, from 0 to 1. Keeps retries from coming all at once.
        retry_jitter: f64 = 0.2,
        /// How long a message may wait in the queue before it is given up, in seconds (RFC 5321 4.5.4.1 asks for 4 days at least).
        lifetime_s: u64 = 432_000,
        /// What happens to 8-bit mail for a next hop without 8BITMIME, and to binary mail for one without BINARYMIME: `convert` (quoted-printable, base64, encoded words in fields; signatures such as DKIM no longer hold then), or `bounce` (5.6.3). Parts below a `multipart/signed` and fields with no form in ASCII are never converted: such mail goes back.
        convert_8bit: String = "convert".to_owned(),
        /// Connections to one site (a set of mail hosts) at once.
        site_connections_max: usize = 20,
        /// Messages over one connection; then a new one is made.
        deliveries_per_connection_max: u32 = 1_000,
        /// Recipients of one delivery (RFC 5321 4.5.3.1.8).
        recipients_per_delivery_max: usize = 100,
        /// Jobs that wait in memory for a connection of one site; more wait in the queue.
        ready_max: usize = 2_000,
        /// Jobs taken from the queue and not finished, all sites together. An eighth of it is kept for the high lane, another one for all but the low lane.
        jobs_max: usize = 10_000,
        /// Routing decisions (plugin calls, lookups of mail hosts) at once.
        routing_max: usize = 256,
        /// How long a connection without work is kept for the next message, in milliseconds.
        idle_ms: u64 = 5_000,
        /// Addresses that one attempt tries to connect to.
        addresses_max: usize = 8,
        /// After so long without an answer of one address of a host the next one is tried beside it, IPv4 and IPv6 by turns, in milliseconds (RFC 8305). The first that answers is taken.
        attempt_delay_ms: u64 = 250,
        /// How long an address that could not be reached is not tried again by any delivery of the same source, in milliseconds; 0 is not at all.
        host_failure_ms: u64 = 30_000,
        /// How long a host whose TLS failed is spoken to in plain text, where TLS is welcome but not needed, in milliseconds.
        tls_failure_ms: u64 = 600_000,
        /// How long the mail hosts of a domain are remembered, in milliseconds.
        site_cache_ms: u64 = 30_000,
        /// Sites with metrics of their own: the busiest; all others share theirs, as `other`.
        metric_sites_max: usize = 50,
        /// How long a job waits at most that found no room in memory, in milliseconds; an eighth of it at first, and longer while there is none.
        overflow_ms: u64 = 10_000,
        /// Questions of plugins to next hops about recipients at once; more wait within their time.
        verify_max: usize = 64,
        /// How long the answer about a recipient is remembered, in milliseconds.
        verify_cache_ms: u64 = 60_000,
        /// TLS towards next hops that say nothing of it themselves: `off`, `opportunistic` or `required`.
        tls: String = "opportunistic".to_owned(),
        /// A PEM file of the only authorities that may vouch for mail hosts, where a next hop does not name its own. Unset: those of the system.
        tls_ca_file: Option<PathBuf> = None,
        /// Heeds TLSA records of mail hosts (DANE, RFC 7672) that DNSSEC proves: TLS with such a certificate, or mail waits. What a next hop says of TLS in these settings comes first.
        dane: bool = true,
        /// Policies of domains about the TLS of their mail hosts (MTA-STS, RFC 8461).
        mta_sts: RawMtaSts = RawMtaSts::default(),
        /// The port of mail hosts.
        smtp_port: u16 = 25,
        /// The pool of sources that mail leaves by of which nothing else is said.
        pool: String = "default".to_owned(),
        /// Local addresses that connections come from where there are no [sources], at most one of each family. Empty: the system chooses.
        source_addresses: Vec<String> = Vec::new(),
        /// More names of this relay: a mail host of such a name is a loop.
        own_names: Vec<String> = Vec::new(),
        /// Delivers to loopback addresses that the DNS, a recipient or a plugin names. Hosts in these settings are always allowed.
        allow_loopback: bool = false,
        /// Networks that no mail goes to when the DNS, a recipient or a plugin names an address there. By default those that are private, or for documents, measurements and the like (RFC 6890). Hosts in these settings are always allowed.
        prohibited_networks: Vec<String> = prohibited_networks(),
        /// How long opening a connection may take, in milliseconds.
        connect_ms: u64 = 30_000,
        /// How long a peer may take to greet, in milliseconds (RFC 5321 4.5.3.2.1).
        greeting_ms: u64 = 300_000,
        /// How long a peer may take to answer EHLO, in milliseconds.
        ehlo_ms: u64 = 300_000,
        /// How long a peer may take to answer STARTTLS, and then for the TLS handshake, in milliseconds.
        tls_ms: u64 = 30_000,
        /// How long a peer may take to answer MAIL, in milliseconds (RFC 5321 4.5.3.2.2).
        mail_ms: u64 = 300_000,
        /// How long a peer may take to answer each RCPT, in milliseconds (RFC 5321 4.5.3.2.3).
        rcpt_ms: u64 = 300_000,
        /// How long a peer may take to answer DATA, in milliseconds (RFC 5321 4.5.3.2.4).
        data_init_ms: u64 = 120_000,
        /// How long a peer may take for each 64 KiB of content, in milliseconds (RFC 5321 4.5.3.2.5).
        data_block_ms: u64 = 180_000,
        /// How long a peer may take to answer the end of content, in milliseconds (RFC 5321 4.5.3.2.6).
        data_dot_ms: u64 = 600_000,
    }
}

section! {
    /// Reports about mail that could not be delivered (RFC 3464).
    RawBounce {
        /// The address that reports come from. Unset: mailer-daemon at the hostname.
        from: Option<String> = None,
        /// Octets of the original header that a report carries at most.
        header_octets_max: usize = 65_536,
        /// Octets of a message that a report about a failure gives back whole when the sender asks for that (RET=FULL, RFC 3461 4.3); of a larger one, its header.
        message_octets_max: u64 = 50_000,
        /// How long a report is tried, in seconds.
        lifetime_s: u64 = 432_000,
        /// Whether senders are told that their mail is late: `never`, `asked` (those who asked by NOTIFY=DELAY) or `all` (all but those who asked for something else).
        delay: String = "asked".to_owned(),
        /// When mail is late: after this time in the queue, in seconds. The sender is told once, at the next failed attempt.
        delay_after_s: u64 = 14_400,
        /// Domains in whose return paths the recipient is named (VERP): `news@x.example` becomes `news+ann=y.example@x.example` in the mail for ann@y.example, which then goes alone, so that whoever reads what comes back there knows whose address failed. Only where that makes a local part of 64 octets at most; not towards LMTP.
        verp_domains: Vec<String> = Vec::new(),
    }
}

section! {
    /// What is logged and how. The log goes to the standard error output.
    RawLog {
        /// `text` for people or `json` for programs.
        format: String = "text".to_owned(),
        /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or `target=level` pairs with commas between. Targets are the stages: listener, session, hooks, queue, router, delivery, store.
        filter: String = "info".to_owned(),
        /// Lines that may wait for a slow reader of the log; more are dropped and counted. A blocked log never stops mail.
        buffer_lines_max: usize = 10_000,
        /// `plain`, or `hashed`: what stands before the @ of addresses becomes a keyed hash of the address, which `baton suppression show ADDRESS` tells.
        addresses: String = "plain".to_owned(),
    }
}
