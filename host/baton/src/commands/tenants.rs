//! `baton tenant`, `baton stream`, `baton token`: who sends by the API, as what, and with which tokens.

use anyhow::{Context, anyhow};
use baton_api::v1::{
    NewToken, StreamChange, StreamPage, StreamRow, TenantChange, TenantPage, TenantRow, TokenChange,
    TokenMade, TokenPage, TokenRow,
};
use baton_mail::account::Quota;
use baton_mail::tenant::{Label, Requirements, Retention, StreamKind, Tracking};
use baton_mail::{Clock, SystemClock, UnixMs};
use serde::Serialize;

use super::print;
use crate::admin::{Admin, escape};
use crate::cli::tenants::{
    AddToken, KindWord, ListOfTenant, OneStream, OneTenant, OneToken, QuotaOptions, SetStream, SetTenant,
    SetToken, StreamCommand, TenantCommand, TokenBounds, TokenCommand,
};
use crate::render;

pub(crate) async fn run_tenant(command: TenantCommand) -> anyhow::Result<()> {
    match command {
        TenantCommand::Add(options) => {
            let body =
                TenantChange { name: Some(options.one.name.clone()), ..options.change(Quota::default()) };
            let row: TenantRow = Admin::of(&options.one.target)?.post("/v1/tenants", &json(&body)?).await?;
            print(&row, options.one.target.json, render::tenants::tenant)
        }
        TenantCommand::Set(options) => {
            let (admin, path) = (Admin::of(&options.one.target)?, tenant_path(&options.one));
            let before: TenantRow = admin.get(&path).await?;
            let body = TenantChange { version: Some(before.version), ..options.change(before.quota) };
            let row: TenantRow = admin.patch(&path, &json(&body)?).await?;
            print(&row, options.one.target.json, render::tenants::tenant)
        }
        TenantCommand::Show(one) => {
            let row: TenantRow = Admin::of(&one.target)?.get(&tenant_path(&one)).await?;
            print(&row, one.target.json, render::tenants::tenant)
        }
        TenantCommand::Remove(one) => {
            let row: TenantRow = Admin::of(&one.target)?.delete(&tenant_path(&one)).await?;
            print(&row, one.target.json, |row| format!("{} is removed.\n", row.name))
        }
        TenantCommand::List(target) => {
            let page = |page: TenantPage| (page.tenants, page.next);
            let rows = all(&Admin::of(&target)?, "/v1/tenants?limit=1000", page).await?;
            print(&rows, target.json, |rows| render::tenants::tenants(rows))
        }
    }
}

pub(crate) async fn run_stream(command: StreamCommand) -> anyhow::Result<()> {
    match command {
        StreamCommand::Add(options) => {
            let named = StreamChange {
                name: Some(options.one.name.clone()),
                tenant: options.one.tenant.clone(),
                ..options.change(None)
            };
            let row: StreamRow = Admin::of(&options.one.target)?.post("/v1/streams", &json(&named)?).await?;
            print(&row, options.one.target.json, render::tenants::stream)
        }
        StreamCommand::Set(options) => {
            let (admin, path) = (Admin::of(&options.one.target)?, stream_path(&options.one));
            let before: StreamRow = admin.get(&path).await?;
            let body = StreamChange { version: Some(before.version), ..options.change(Some(&before)) };
            let row: StreamRow = admin.patch(&path, &json(&body)?).await?;
            print(&row, options.one.target.json, render::tenants::stream)
        }
        StreamCommand::Show(one) => {
            let row: StreamRow = Admin::of(&one.target)?.get(&stream_path(&one)).await?;
            print(&row, one.target.json, render::tenants::stream)
        }
        StreamCommand::Remove(one) => {
            let row: StreamRow = Admin::of(&one.target)?.delete(&stream_path(&one)).await?;
            print(&row, one.target.json, |row| format!("{} is removed.\n", row.name))
        }
        StreamCommand::List(ListOfTenant { tenant, target }) => {
            let path = format!("/v1/streams?limit=1000{}", of_tenant(tenant.as_ref(), '&'));
            let page = |page: StreamPage| (page.streams, page.next);
            let rows = all(&Admin::of(&target)?, &path, page).await?;
            print(&rows, target.json, |rows| render::tenants::streams(rows))
        }
    }
}

pub(crate) async fn run_token(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Add(AddToken { tenant, stream, scopes, bounds, target }) => {
            let body = NewToken {
                tenant,
                stream,
                scopes,
                note: bounds.note.clone().unwrap_or_default(),
                networks: bounds.networks.clone(),
                requests_per_minute: bounds.requests_per_minute,
                expires_at: bounds.expires_at()?,
            };
            let made: TokenMade = Admin::of(&target)?.post("/v1/tokens", &json(&body)?).await?;
            print(&made, target.json, render::tenants::made)
        }
        TokenCommand::Set(SetToken { one, bounds, from_everywhere, disabled }) => {
            let has_networks = from_everywhere || !bounds.networks.is_empty();
            let body = TokenChange {
                networks: has_networks.then(|| bounds.networks.clone()),
                requests_per_minute: bounds.requests_per_minute,
                expires_at: bounds.expires_at()?,
                note: bounds.note,
                disabled,
            };
            let row: TokenRow = Admin::of(&one.target)?.patch(&token_path(&one), &json(&body)?).await?;
            print(&row, one.target.json, render::tenants::token)
        }
        TokenCommand::Show(one) => {
            let row: TokenRow = Admin::of(&one.target)?.get(&token_path(&one)).await?;
            print(&row, one.target.json, render::tenants::token)
        }
        TokenCommand::Remove(one) => {
            let row: TokenRow = Admin::of(&one.target)?.delete(&token_path(&one)).await?;
            print(&row, one.target.json, |row| format!("The token {} is worth nothing any more.\n", row.id))
        }
        TokenCommand::List(ListOfTenant { tenant, target }) => {
            let path = format!("/v1/tokens?limit=1000{}", of_tenant(tenant.as_ref(), '&'));
            let page = |page: TokenPage| (page.tokens, page.next);
            let rows = all(&Admin::of(&target)?, &path, page).await?;
            print(&rows, target.json, |rows| render::tenants::tokens(rows))
        }
    }
}

/// All pages, one behind the other.
async fn all<P, T>(
    admin: &Admin,
    path: &str,
    split: impl Fn(P) -> (Vec<T>, Option<String>),
) -> anyhow::Result<Vec<T>>
where
    P: serde::de::DeserializeOwned,
{
    let mut rows = Vec::new();
    let mut after = String::new();
    loop {
        let (page, next) = split(admin.get(&format!("{path}{after}")).await?);
        rows.extend(page);
        match next {
            Some(next) => after = format!("&after={}", escape(&next)),
            None => return Ok(rows),
        }
    }
}

impl QuotaOptions {
    /// What the quota is after this; 0 takes a bound away.
    fn over(&self, before: Quota) -> Quota {
        let bound = |new: Option<u32>, old: Option<u32>| match new {
            Some(0) => None,
            other => other.or(old),
        };
        Quota {
            messages_per_hour: bound(self.messages_per_hour, before.messages_per_hour),
            messages_per_day: bound(self.messages_per_day, before.messages_per_day),
            recipients_per_hour: bound(self.recipients_per_hour, before.recipients_per_hour),
            recipients_per_day: bound(self.recipients_per_day, before.recipients_per_day),
        }
    }
}

impl SetTenant {
    fn change(&self, quota: Quota) -> TenantChange {
        let has_domains = self.no_domains || !self.domains.is_empty();
        TenantChange {
            name: None,
            note: self.note.clone(),
            domains: has_domains.then(|| self.domains.clone()),
            quota: Some(self.quota.over(quota)),
            suspended: self.suspend.clone(),
            version: None,
        }
    }
}

impl SetStream {
    fn change(&self, before: Option<&StreamRow>) -> StreamChange {
        let tracking = before.map(|row| row.tracking).unwrap_or_default();
        let retention = before.map(|row| row.retention).unwrap_or_default();
        let require = before.map(|row| row.require.clone()).unwrap_or_default();
        StreamChange {
            note: self.note.clone(),
            kind: self.kind.map(|kind| match kind {
                KindWord::Transactional => StreamKind::Transactional,
                KindWord::Bulk => StreamKind::Bulk,
            }),
            priority: self.priority,
            pool: self.pool.clone(),
            quota: Some(self.quota.over(before.map(|row| row.quota).unwrap_or_default())),
            tracking: Some(Tracking {
                opens: self.track_opens.unwrap_or(tracking.opens),
                clicks: self.track_clicks.unwrap_or(tracking.clicks),
            }),
            require: Some(Requirements {
                unsubscribe: self.require_unsubscribe.unwrap_or(require.unsubscribe),
                postal_address: self.postal_address.clone().unwrap_or(require.postal_address),
            }),
            retention: Some(Retention {
                bodies_days: self.bodies_days.or(retention.bodies_days),
                events_days: self.events_days.or(retention.events_days),
                addresses_days: self.addresses_days.or(retention.addresses_days),
            }),
            disabled: self.disabled,
            ..StreamChange::default()
        }
    }
}

impl TokenBounds {
    fn expires_at(&self) -> anyhow::Result<Option<UnixMs>> {
        let Some(text) = &self.expires_in else { return Ok(None) };
        let ms = baton_api::read_time_ms(text)
            .ok_or_else(|| anyhow!("--expires-in {text}: write a time such as 12h or 90d"))?;
        Ok(Some(UnixMs(SystemClock.now().0.saturating_add(ms))))
    }
}

fn json(body: &impl Serialize) -> anyhow::Result<serde_json::Value> {
    serde_json::to_value(body).context("the request can not be written as JSON")
}

fn of_tenant(tenant: Option<&Label>, separator: char) -> String {
    tenant.map(|tenant| format!("{separator}tenant={tenant}")).unwrap_or_default()
}

fn tenant_path(one: &OneTenant) -> String {
    format!("/v1/tenants/{}", one.name)
}

fn stream_path(one: &OneStream) -> String {
    format!("/v1/streams/{}{}", one.name, of_tenant(one.tenant.as_ref(), '?'))
}

fn token_path(one: &OneToken) -> String {
    format!("/v1/tokens/{}", escape(&one.id))
}
