//! `baton webhook` and `baton report`: who is told of events, and what they come to.

use anyhow::Context;
use baton_api::webhooks::{EndpointList, Replay};
use baton_events::report::Report;
use baton_events::webhook::{EndpointView, Tested};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::{print, write_out};
use crate::admin::{Admin, escape};
use crate::cli::webhook::{
    AddOptions, NameOptions, ReplayOptions, ReportOptions, SetOptions, WantOptions, WebhookCommand,
    WhoseOptions,
};
use crate::render;

pub(crate) async fn run(command: WebhookCommand) -> anyhow::Result<()> {
    match command {
        WebhookCommand::Ls(options) => list(options).await,
        WebhookCommand::Show(options) => {
            let view: EndpointView = Admin::of(&options.target)?.get(&path(&options, "")).await?;
            print(&view, options.target.json, render::webhook::full)
        }
        WebhookCommand::Add(options) => add(options).await,
        WebhookCommand::Set(options) => set(options).await,
        WebhookCommand::Remove(options) => {
            let admin = Admin::of(&options.target)?;
            admin.octets(Method::DELETE, &path(&options, ""), Bytes::new()).await?;
            write_out(&format!("{} is removed.\n", options.name))
        }
        WebhookCommand::Rotate(options) => {
            let admin = Admin::of(&options.target)?;
            let view: EndpointView = admin.post(&path(&options, "/secret"), &Value::Null).await?;
            print(&view, options.target.json, render::webhook::full)
        }
        WebhookCommand::Test(options) => test(options).await,
        WebhookCommand::Replay(options) => replay(options).await,
    }
}

async fn list(options: WhoseOptions) -> anyhow::Result<()> {
    let tenant = options.tenant.as_deref().map(|tenant| format!("?tenant={}", escape(tenant)));
    let path = format!("/v1/webhooks{}", tenant.unwrap_or_default());
    let list: EndpointList = Admin::of(&options.target)?.get(&path).await?;
    print(&list, options.target.json, render::webhook::list)
}

async fn add(options: AddOptions) -> anyhow::Result<()> {
    let AddOptions { endpoint, url, wants } = options;
    let mut body = wanted(wants);
    body.insert("url".to_owned(), json!(url));
    let admin = Admin::of(&endpoint.target)?;
    let view: EndpointView = admin.put(&path(&endpoint, ""), &Value::Object(body)).await?;
    print(&view, endpoint.target.json, render::webhook::full)
}

async fn set(options: SetOptions) -> anyhow::Result<()> {
    let SetOptions { endpoint, url, wants, pause, resume } = options;
    let mut body = wanted(wants);
    body.extend(url.map(|url| ("url".to_owned(), json!(url))));
    if pause || resume {
        body.insert("paused".to_owned(), json!(pause));
    }
    let admin = Admin::of(&endpoint.target)?;
    let view: EndpointView = admin.patch(&path(&endpoint, ""), &Value::Object(body)).await?;
    print(&view, endpoint.target.json, render::webhook::full)
}

async fn test(options: NameOptions) -> anyhow::Result<()> {
    let tested: Tested = Admin::of(&options.target)?.post(&path(&options, "/test"), &Value::Null).await?;
    print(&tested, options.target.json, |tested| format!("{}\n", tested.answer))?;
    anyhow::ensure!(tested.taken, "the endpoint did not take it");
    Ok(())
}

async fn replay(options: ReplayOptions) -> anyhow::Result<()> {
    let ReplayOptions { endpoint, since } = options;
    let path = path(&endpoint, "/replay");
    let mark = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{mark}since={}", escape(&since));
    let replay: Replay = Admin::of(&endpoint.target)?.post(&path, &Value::Null).await?;
    print(&replay, endpoint.target.json, |replay| {
        format!(
            "{} records of the feed are read again, and what is wanted of them is posted.\n",
            replay.behind
        )
    })
}

/// What is asked for about the events.
fn wanted(wants: WantOptions) -> Map<String, Value> {
    let list = |text: String| {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "all");
        json!(names.collect::<Vec<_>>())
    };
    let WantOptions { kinds, streams, about } = wants;
    let members =
        [("kinds", kinds.map(list)), ("streams", streams.map(list)), ("about", about.map(Value::String))];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn path(options: &NameOptions, below: &str) -> String {
    let tenant = options.tenant.as_deref().map(|tenant| format!("?tenant={}", escape(tenant)));
    format!("/v1/webhooks/{}{below}{}", escape(&options.name), tenant.unwrap_or_default())
}

pub(crate) async fn report(options: ReportOptions) -> anyhow::Result<()> {
    let mut path = "/v1/reports/mail?".to_owned();
    let mut add = |name: &str, value: &str| path.push_str(&format!("{name}={}&", escape(value)));
    let named = [
        ("since", &options.since),
        ("until", &options.until),
        ("step", &options.step),
        ("by", &options.by),
        ("tenant", &options.tenant),
        ("stream", &options.stream),
    ];
    for (name, value) in named {
        value.iter().for_each(|value| add(name, value));
    }
    for only in &options.only {
        let (group, value) =
            only.split_once('=').with_context(|| format!("--only {only}: write GROUP=VALUE"))?;
        add(group, value);
    }
    let admin = Admin::of(&options.target)?;
    if options.csv {
        return write_out(&admin.text(&format!("{path}format=csv")).await?);
    }
    let report: Report = admin.get(path.trim_end_matches(['&', '?'])).await?;
    print(&report, options.target.json, render::webhook::report)
}
