//! `baton search` and `baton events`: what happened.

use baton_api::followers::FollowerPage;
use baton_api::happened::{EventsPage, MessagesPage};
use bytes::Bytes;
use hyper::Method;

use super::{print, write_out};
use crate::admin::{Admin, escape};
use crate::cli::search::{EventsOptions, FollowersOptions, SearchOptions};
use crate::render;

/// How long one request waits for something to happen, in seconds.
const WAIT_S: u64 = 30;

pub(crate) async fn search(options: SearchOptions) -> anyhow::Result<()> {
    let path = format!("/v1/messages?limit={}", options.limit);
    let fields = [
        ("recipient", &options.recipient),
        ("domain", &options.domain),
        ("sender", &options.sender),
        ("message_id", &options.message_id),
        ("tenant", &options.tenant),
        ("stream", &options.stream),
        ("tag", &options.tag),
        ("since", &options.since),
        ("until", &options.until),
        ("after", &options.after),
    ];
    let page: MessagesPage = Admin::of(&options.target)?.get(&with_fields(path, &fields)).await?;
    print(&page, options.target.json, render::search::page)
}

/// Who follows what happens.
pub(crate) async fn followers(options: FollowersOptions) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    if let Some(name) = &options.forget {
        let path = format!("/v1/followers/{}", escape(name));
        admin.octets(Method::DELETE, &path, Bytes::new()).await?;
        return write_out(&format!("{name} is forgotten.\n"));
    }
    let page: FollowerPage = admin.get("/v1/followers").await?;
    print(&page, options.target.json, render::webhook::followers)
}

/// Prints a line of JSON for each event.
pub(crate) async fn events(options: EventsOptions) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    let now = Some("0s".to_owned());
    let since = if options.follow && options.since.is_none() { &now } else { &options.since };
    let fields = [
        ("kind", &options.kind),
        ("tenant", &options.tenant),
        ("stream", &options.stream),
        ("tag", &options.tag),
        ("recipient", &options.recipient),
    ];
    let wait = if options.follow { WAIT_S } else { 0 };
    let base = with_fields(format!("/v1/events?limit=1000&wait_s={wait}"), &fields);
    let mut path = with_fields(base.clone(), &[("since", since)]);
    loop {
        let page: EventsPage = admin.get(&path).await?;
        let lines: String = page.events.iter().map(|event| format!("{event}\n")).collect();
        write_out(&lines)?;
        if !page.more && !options.follow {
            return Ok(());
        }
        path = with_fields(base.clone(), &[("after", &Some(page.next))]);
    }
}

fn with_fields(mut path: String, fields: &[(&str, &Option<String>)]) -> String {
    for (name, value) in fields {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    path
}
