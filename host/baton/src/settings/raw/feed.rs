//! What happens, for those who follow it.

use std::path::PathBuf;

use super::RawSecret;
use crate::settings::field::{Named, section};

section! {
    /// The feed of events.
    RawFeed {
        /// How long who follows what happens can go back, in days: webhooks, files, `/v1/events`. At most `store.history_days`, which keeps the events themselves.
        keep_days: u32 = 14,
        /// Files of events, a line of JSON each, by name.
        files: Named<RawEventFile> = Named(Vec::new()),
        /// NATS servers that events are published to, by name.
        nats: Named<RawEventNats> = Named(Vec::new()),
        /// Sums over time, for reports.
        sums: RawSums = RawSums::default(),
    }
}

section! {
    /// A file of events. It begins with all that is kept, and goes on after a restart where it ended.
    RawEventFile {
        /// Where it is. Its folder must exist.
        path: PathBuf = PathBuf::new(),
        /// Octets from which on the file is put aside as `PATH.1`, that as `PATH.2`, and so on.
        rotate_octets: u64 = 64 << 20,
        /// How many of those are kept.
        keep: u32 = 10,
        /// Only mail of this tenant.
        tenant: Option<String> = None,
        /// Only mail of these streams of the tenant.
        streams: Vec<String> = Vec::new(),
        /// Kinds of events, such as `delivered`. Empty: all that those who send want to know.
        kinds: Vec<String> = Vec::new(),
    }
}

section! {
    /// A NATS server, or the servers of a cluster, where JetStream stores events: a stream there must take the subjects. An event counts as published when the server said that it is stored; else it is sent again, with the same `Nats-Msg-Id`, its `id`. It begins with all that is kept, and goes on after a restart where it ended.
    RawEventNats {
        /// The servers, such as `nats://127.0.0.1:4222`, or `tls://nats.example:4222` where TLS is required. With `nats://` TLS is spoken when the server asks for it. Certificates are always checked.
        servers: Vec<String> = Vec::new(),
        /// The subject. `{tenant}`, `{stream}` and `{type}` become one token each: other octets than letters, digits, `-` and `_` are percent-encoded, and none is `-`.
        subject: String = "baton.{tenant}.{stream}.{type}".to_owned(),
        /// Our name there, with `password`.
        user: Option<String> = None,
        /// The password: `{ file = "…" }` or `{ env = "…" }`, read for each connection, as are the others.
        password: Option<RawSecret> = None,
        /// A token instead.
        token: Option<RawSecret> = None,
        /// The seed of an nkey instead (`SU…`).
        nkey: Option<RawSecret> = None,
        /// A file of credentials instead: a JWT and the seed of its nkey, as `nsc` writes it.
        credentials_file: Option<PathBuf> = None,
        /// Also logs in by password or token where TLS is not required. Only for networks that nobody else can read; on loopback it is not asked.
        without_tls: bool = false,
        /// A PEM file of the only authorities that may vouch for the servers. Unset: those of the system.
        tls_ca_file: Option<PathBuf> = None,
        /// A PEM file: the certificate that is shown when a server asks for one, and behind it those that signed it.
        tls_certificate: Option<PathBuf> = None,
        /// The PEM file of its key.
        tls_key: Option<PathBuf> = None,
        /// How long connecting to one server may take, in milliseconds.
        connect_ms: u64 = 5_000,
        /// How long a server may take to acknowledge an event, in milliseconds.
        acknowledge_ms: u64 = 5_000,
        /// Events at most that are sent and not acknowledged.
        unacknowledged_max: usize = 256,
        /// How long to wait after the first failure, in milliseconds; it doubles with each further one.
        retry_first_ms: u64 = 500,
        /// How long to wait at most, in milliseconds.
        retry_max_ms: u64 = 60_000,
        /// Only mail of this tenant.
        tenant: Option<String> = None,
        /// Only mail of these streams of the tenant.
        streams: Vec<String> = Vec::new(),
        /// Kinds of events, such as `delivered`. Empty: all that those who send want to know.
        kinds: Vec<String> = Vec::new(),
    }
}

section! {
    /// Sums over time.
    RawSums {
        /// For how many days sums by hour are kept.
        hours_kept_days: u32 = 35,
        /// For how many days sums by day are kept.
        days_kept_days: u32 = 800,
        /// Domains, tags and so on that a tenant's stream has in an hour; further ones count together as `(other)`.
        values_max: usize = 1_000,
    }
}

section! {
    /// How events are posted to the endpoints of `baton webhook` and the API.
    RawWebhooks {
        /// Networks that are not public and may be posted to all the same, such as `10.1.0.0/16`. Empty: an endpoint whose name leads into a private, loopback or link-local network is refused.
        allowed_networks: Vec<String> = Vec::new(),
        /// Posts at once.
        posts_max: usize = 64,
        /// How long a post may take, in milliseconds.
        timeout_ms: u64 = 15_000,
        /// Events of one post at most.
        batch_max: usize = 500,
        /// How long events wait for others, in milliseconds.
        batch_ms: u64 = 200,
        /// How long to wait after the first failure, in milliseconds; it doubles with each further one.
        retry_first_ms: u64 = 1_000,
        /// How long to wait at most, in milliseconds.
        retry_max_ms: u64 = 900_000,
        /// Events that are older are not posted any more, in seconds.
        expire_after_s: u64 = 259_200,
        /// How long a secret counts after it was replaced, in seconds.
        secret_overlap_s: u64 = 86_400,
    }
}
