//! What the API stands on: its bounds, and the parts of the relay behind it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use baton_accounts::Authenticator;
use baton_content::Limits;
use baton_events::FollowerView;
use baton_events::report::Reports;
use baton_events::webhook::Webhooks;
use baton_hooks::Generation;
use baton_identity::domains::Inspector;
use baton_mail::submission::{Submission, Submitted};
use baton_mail::tenant::Requirements;
use baton_mail::{Clock, Mailbox, Reply};
use baton_store::Store;
use baton_store::catalog::Edit;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use tokio::sync::{mpsc, oneshot};

use super::delivery::DeliveryFace;
use crate::FieldError;
use crate::wire::ReloadReport;

/// A wish about what serves, with the place where the answer goes.
pub enum Wish {
    /// To read the settings again.
    Reload {
        /// Takes the report, or every reason why nothing was changed.
        answer: oneshot::Sender<Result<ReloadReport, Vec<FieldError>>>,
    },
    /// To let plugins run as they were switched.
    Switch {
        /// Takes why it could not be.
        answer: oneshot::Sender<Result<(), String>>,
    },
}

/// Says what is wrong with a next hop in an operator's words.
pub type CheckNextHop = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Sends our own reports about others at once; tells what became of each.
pub type SendReports = Arc<dyn Fn() -> BoxFuture<'static, Vec<String>> + Send + Sync>;

/// Makes the records of the catalog that are written with a message, once it is known which recipients were refused.
pub type Beside = Box<dyn FnOnce(&[(Mailbox, Reply)]) -> Vec<Edit> + Send>;

/// Takes a message of a program, by the same rules as from a client of SMTP.
pub type Submit = Arc<dyn Fn(Submission, Beside) -> Submitting + Send + Sync>;

/// What will have become of a message.
pub type Submitting = BoxFuture<'static, Submitted>;

/// The bounds of the API.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Networks of proxies whose word about the client is taken (`X-Forwarded-For`).
    pub trusted_networks: Vec<IpNet>,
    /// Octets of a body at most, also after it was unpacked.
    pub body_octets_max: usize,
    /// Octets of all bodies that are being read or worked on.
    pub memory_octets_max: usize,
    /// How long a request may take to come in, in seconds.
    pub request_s: u64,
    /// Requests of one token within a minute, where the token does not say.
    pub requests_per_minute: u32,
    /// The pages for operators.
    pub console: ConsoleSettings,
    /// How long lines of the audit log are kept, in days.
    pub audit_days: u32,
    /// Octets of a message at most, as it is composed; 0 is no bound.
    pub message_octets_max: u64,
    /// Recipients of one message at most.
    pub recipients_max: usize,
    /// Messages of one batch at most.
    pub batch_messages_max: usize,
    /// How far ahead a message may be scheduled, in days.
    pub schedule_days_max: u32,
    /// How long answers to requests with an `Idempotency-Key` are kept, in hours.
    pub idempotency_hours: u32,
    /// How long uploads are kept, in hours.
    pub upload_hours: u32,
    /// What templates may cost.
    pub templates: TemplateSettings,
    /// What mail of a stream must have by the settings, by its name.
    pub streams: HashMap<String, Requirements>,
}

/// The bounds of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateSettings {
    /// What one rendering may cost.
    pub limits: Limits,
    /// Templates of one tenant at most. Default 500.
    pub templates_max: usize,
    /// Octets of all sources of one tenant at most: all of them are compiled together. Default 16 MiB.
    pub tenant_octets_max: u64,
    /// Versions that are kept of one template, the newest included. Default 20.
    pub versions_kept: u32,
    /// Octets of sources whose compiled form stays in memory. Default 64 MiB.
    pub compiled_octets_max: u64,
    /// How long a preview is kept as a page, in seconds. Default 600.
    pub preview_s: u64,
    /// Octets of all such pages at most; the oldest go. Default 32 MiB.
    pub preview_octets_max: usize,
}

impl Default for TemplateSettings {
    fn default() -> TemplateSettings {
        TemplateSettings {
            limits: Limits::default(),
            templates_max: 500,
            tenant_octets_max: 16 << 20,
            versions_kept: 20,
            compiled_octets_max: 64 << 20,
            preview_s: 600,
            preview_octets_max: 32 << 20,
        }
    }
}

/// The bounds of the pages for operators.
#[derive(Clone, Debug)]
pub struct ConsoleSettings {
    /// They are served. Default true.
    pub enabled: bool,
    /// How long a session lasts at the most, in seconds. Default 12 hours.
    pub session_s: u64,
    /// How long a session may rest, in seconds. Default an hour.
    pub idle_s: u64,
    /// Sessions at once. Default 1,000.
    pub sessions_max: usize,
}

impl Default for ConsoleSettings {
    fn default() -> ConsoleSettings {
        ConsoleSettings { enabled: true, session_s: 43_200, idle_s: 3_600, sessions_max: 1_000 }
    }
}

/// What the API needs.
pub struct FaceDeps {
    /// The queue and the catalog.
    pub store: Store,
    /// The relay's time.
    pub clock: Arc<dyn Clock>,
    /// Takes messages.
    pub submit: Submit,
    /// The bounds; replaced by a reload.
    pub settings: Arc<ArcSwap<ApiSettings>>,
    /// Looks at the domains to send from.
    pub inspector: Inspector,
    /// Keeps the accounts.
    pub authenticator: Authenticator,
    /// The plugins that serve.
    pub hooks: Arc<ArcSwap<Generation>>,
    /// Where wishes about what serves go.
    pub wishes: mpsc::Sender<Wish>,
    /// Says what is wrong with a next hop in an operator's words.
    pub check_next_hop: CheckNextHop,
    /// A look at delivery.
    pub delivery: DeliveryFace,
    /// Sends our own reports about others.
    pub send_reports: SendReports,
    /// Endpoints that events are posted to.
    pub webhooks: Webhooks,
    /// Those who follow what happens because the settings name them.
    pub followers: Vec<FollowerView>,
    /// Sums over time.
    pub reports: Reports,
}
