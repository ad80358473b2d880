//! `baton template`: what messages are made from.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use baton_api::v1::messages::Sent;
use baton_api::v1::{
    LintReport, Preview, PreviewRequest, TemplateChanged, TemplatePage, TemplateView, VersionPage,
};
use baton_content::Template;
use baton_content::template::Part;
use baton_content::template::lint::Severity;
use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::{print, write_out};
use crate::admin::{Admin, Refused, escape};
use crate::cli::template::{
    AddTemplate, LintTemplate, ListTemplates, OneTemplate, Owner, PreviewTemplate, ShowTemplate,
    TemplateCommand, TestSend,
};
use crate::render::template as render;

pub(crate) async fn run(command: TemplateCommand) -> anyhow::Result<ExitCode> {
    match command {
        TemplateCommand::Ls(options) => list(&options).await?,
        TemplateCommand::Show(options) => show(&options).await?,
        TemplateCommand::Add(options) => add(&options).await?,
        TemplateCommand::Preview(options) => preview(&options).await?,
        TemplateCommand::Lint(options) => return lint(&options).await,
        TemplateCommand::Versions(one) => versions(&one).await?,
        TemplateCommand::TestSend(options) => test_send(&options).await?,
        TemplateCommand::Rm(one) => remove(&one).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The path of a template, or of something below it.
fn path(owner: &Owner, name: &str, below: &str, parameters: &[(&str, String)]) -> String {
    let tenant = owner.tenant.iter().map(|tenant| ("tenant", tenant.to_string()));
    let pairs: Vec<_> = tenant
        .chain(parameters.iter().cloned())
        .map(|(name, value)| format!("{name}={}", escape(&value)))
        .collect();
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
    let name = if name.is_empty() { String::new() } else { format!("/{}", escape(name)) };
    format!("/v1/templates{name}{below}{query}")
}

async fn list(options: &ListTemplates) -> anyhow::Result<()> {
    let mut parameters = vec![("limit", options.limit.to_string())];
    parameters.extend(options.after.iter().map(|after| ("after", after.clone())));
    if options.ready {
        parameters.push(("ready", "true".to_owned()));
    }
    let admin = Admin::of(&options.owner.target)?;
    let page: TemplatePage = admin.get(&path(&options.owner, "", "", &parameters)).await?;
    print(&page, options.owner.target.json, render::list)
}

async fn show(options: &ShowTemplate) -> anyhow::Result<()> {
    let view = get(&options.owner, &options.name, options.version).await?;
    match options.part {
        Some(part) => {
            let source = view.template.part(Part::from(part));
            write_out(source.with_context(|| format!("{} has no such part", options.name))?)
        }
        None => print(&view, options.owner.target.json, render::shown),
    }
}

async fn get(owner: &Owner, name: &str, version: Option<u32>) -> anyhow::Result<TemplateView> {
    let parameters: Vec<_> = version.iter().map(|version| ("version", version.to_string())).collect();
    Admin::of(&owner.target)?.get(&path(owner, name, "", &parameters)).await
}

async fn add(options: &AddTemplate) -> anyhow::Result<()> {
    let owner = &options.owner;
    let mut template = match &options.from {
        Some(from) => get(owner, from, None).await?.template,
        None => newest(owner, options.name.as_str()).await?,
    };
    template.description = options.description.clone().unwrap_or(template.description);
    template.subject = options.subject.clone().or(template.subject);
    template.html = read(options.html.as_deref())?.or(template.html);
    template.text = read(options.text.as_deref())?.or(template.text);
    template.sample = read_json(options.sample.as_deref())?.map_or(template.sample, Value::Object);
    template.bulk = options.bulk.unwrap_or(template.bulk);
    let path = path(owner, options.name.as_str(), "", &[]);
    let changed: TemplateChanged = Admin::of(&owner.target)?
        .put_if(&path, &serde_json::to_value(&template)?, options.if_version)
        .await?;
    print(&changed, owner.target.json, render::changed)
}

/// The newest version, or an empty template when there is none.
async fn newest(owner: &Owner, name: &str) -> anyhow::Result<Template> {
    match get(owner, name, None).await {
        Ok(view) => Ok(view.template),
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) if refused.status == StatusCode::NOT_FOUND => Ok(Template::default()),
            _ => Err(error),
        },
    }
}

/// What a template becomes.
async fn rendered(
    owner: &Owner,
    name: &str,
    data: Option<&Path>,
    version: Option<u32>,
) -> anyhow::Result<Preview> {
    let request = PreviewRequest { data: read_json(data)?, version, ..PreviewRequest::default() };
    let path = path(owner, name, "/preview", &[]);
    Admin::of(&owner.target)?.post(&path, &serde_json::to_value(&request)?).await
}

async fn preview(options: &PreviewTemplate) -> anyhow::Result<()> {
    let preview = rendered(&options.owner, &options.name, options.data.as_deref(), options.version).await?;
    match options.part.map(Part::from) {
        Some(part) => {
            let text = match part {
                Part::Subject => &preview.subject,
                Part::Html => &preview.html,
                Part::Text => &preview.text,
            };
            write_out(text.as_deref().with_context(|| format!("{} has no such part", options.name))?)
        }
        None => print(&preview, options.owner.target.json, render::preview),
    }
}

async fn lint(options: &LintTemplate) -> anyhow::Result<ExitCode> {
    let request = json!({ "data": read_json(options.data.as_deref())?, "stream": options.stream });
    let path = path(&options.owner, &options.name, "/lint", &[]);
    let report: LintReport = Admin::of(&options.owner.target)?.post(&path, &request).await?;
    print(&report, options.owner.target.json, |report| render::findings(&report.findings))?;
    let is_wrong = report.findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Sends it as any program would, by the API.
async fn test_send(options: &TestSend) -> anyhow::Result<()> {
    let owner = &options.owner;
    let data = match read_json(options.data.as_deref())? {
        Some(data) => Value::Object(data),
        None => get(owner, &options.name, None).await?.template.sample,
    };
    let message = json!({
        "tenant": owner.tenant, "stream": options.stream, "from": options.from, "to": [options.to],
        "template": options.name, "data": data, "tags": ["test"],
    });
    let sent: Sent = Admin::of(&owner.target)?.post("/v1/messages", &message).await?;
    print(&sent, owner.target.json, |sent| {
        format!("{} is in the queue; `baton explain {}` tells what becomes of it\n", sent.id, sent.id)
    })
}

async fn versions(one: &OneTemplate) -> anyhow::Result<()> {
    let path = path(&one.owner, &one.name, "/versions", &[]);
    let page: VersionPage = Admin::of(&one.owner.target)?.get(&path).await?;
    print(&page, one.owner.target.json, render::versions)
}

async fn remove(one: &OneTemplate) -> anyhow::Result<()> {
    let path = path(&one.owner, &one.name, "", &[]);
    let was: TemplateView = Admin::of(&one.owner.target)?.delete(&path).await?;
    print(&was, one.owner.target.json, |was| format!("{} is forgotten, with all its versions\n", was.name))
}

fn read(path: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    std::fs::read_to_string(path).map(Some).with_context(|| format!("read {}", path.display()))
}

fn read_json(path: Option<&Path>) -> anyhow::Result<Option<Map<String, Value>>> {
    let text = read(path)?;
    let parsed = text.map(|text| serde_json::from_str(&text)).transpose();
    parsed.with_context(|| format!("{} is no JSON object", path.unwrap_or(Path::new("")).display()))
}
