//! The interfaces over HTTP.

use std::path::PathBuf;

use crate::settings::field::section;

section! {
    /// The API, metrics and health over HTTP.
    RawApi {
        /// The address and port of the API, `/v1`. Unset: it is off. Whoever asks shows a token of `baton token add`.
        listen: Option<String> = None,
        /// TLS of the API.
        tls: RawApiTls = RawApiTls::default(),
        /// Networks of proxies in front of the API: the client is the last address in `X-Forwarded-For` that is none of them.
        trusted_networks: Vec<String> = Vec::new(),
        /// Open connections to the API at once; more wait.
        connections_max: usize = 1_024,
        /// Octets of one request of the API, also after it was unpacked (`Content-Encoding: gzip`).
        body_octets_max: usize = 33_554_432,
        /// Octets of all requests that are being read or worked on; beyond it 503.
        memory_octets_max: usize = 268_435_456,
        /// How long a request may take to come in, in seconds.
        request_s: u64 = 60,
        /// Requests of one token within a minute, unless the token says otherwise; beyond it 429. A batch is one request.
        requests_per_minute: u32 = 60_000,
        /// How long changes by the API and by commands stay in the audit log, in days.
        audit_days: u32 = 400,
        /// Recipients of one message of the API.
        recipients_max: usize = 1_000,
        /// Messages of one batch of the API.
        batch_messages_max: usize = 1_000,
        /// How far ahead a message of the API may be scheduled, in days.
        schedule_days_max: u32 = 30,
        /// How long answers to requests with an `Idempotency-Key` are kept, in hours.
        idempotency_hours: u32 = 24,
        /// How long uploads are kept, in hours.
        upload_hours: u32 = 72,
        /// The pages for operators, at `/console` of the API.
        console: RawConsole = RawConsole::default(),
        /// The address of /metrics, /healthz and /readyz. Unset: they answer on the admin socket only.
        metrics_address: Option<String> = None,
        /// The admin socket. Unset: `admin.sock` in `store.path`.
        admin_socket: Option<PathBuf> = None,
    }
}

section! {
    /// TLS of the API, with the certificates, versions and cipher suites of [tls].
    RawApiTls {
        /// Speaks HTTPS only. Without it, and without `api.trusted_networks`, the API listens on loopback only: tokens are passwords.
        enabled: bool = false,
    }
}

section! {
    /// The pages for operators. Who uses them is made by `baton operator add`.
    RawConsole {
        /// Serves them.
        enabled: bool = true,
        /// How long a session lasts at the most, in seconds.
        session_s: u64 = 43_200,
        /// How long a session may rest before it ends, in seconds.
        idle_s: u64 = 3_600,
        /// Sessions at once; beyond it the one that rests for longest ends.
        sessions_max: usize = 1_000,
    }
}
