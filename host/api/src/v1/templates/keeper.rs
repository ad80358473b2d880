//! Templates in the catalog, each with its last versions, and compiled ones in memory.
//!
//! Invariant: a template is compiled before it is kept, so what is kept can be rendered, and a layout that others extend is
//! only ever replaced by one that compiles.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use baton_content::{Library, Template, TemplateError, TemplateName, ready};
use baton_mail::UnixMs;
use baton_store::Store;
use baton_store::catalog::{Catalog, CatalogError, Edit, Expect, Key, Kind, Query, Record};
use parking_lot::Mutex;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use serde::{Deserialize, Serialize};

use super::super::audit::catalog_problem;
use super::super::deps::{ApiSettings, TemplateSettings};
use super::pages::Pages;
use super::wire::{TemplatePage, TemplateRow, TemplateView, VersionPage, VersionRow};
use crate::{FieldError, Problem};

/// What a tenant's compiled templates weigh at least: those that ship are among them.
const LIBRARY_OCTETS_LEAST: u64 = 64 << 10;

/// The newest version of each template, by its name. How many a tenant may have is asked where one is made.
pub(in super::super) const TEMPLATE: Kind = Kind::new("template", usize::MAX);
/// Every version that is kept, by name and number: so many of each template as the settings say.
const VERSION: Kind = Kind::new("template-version", usize::MAX);

/// Keeps templates, and renders them.
pub(in super::super) struct Templates {
    catalog: Catalog,
    settings: Arc<ArcSwap<ApiSettings>>,
    /// Those that ship, compiled.
    ready: ArcSwap<Library>,
    compiled: Cache<Box<str>, Arc<Compiled>, BySources>,
    /// How often each tenant's templates were changed by us, who are the only ones to change them.
    changes: Mutex<HashMap<Box<str>, u64>>,
    /// What was rendered to be looked at.
    pub(super) pages: Pages,
}

/// A template that can be rendered.
pub(in super::super) struct Found {
    /// The compiled templates among which it is.
    pub(in super::super) library: Arc<Library>,
    /// Its version; 0 for those that ship.
    pub(in super::super) version: u32,
}

/// All templates of a tenant.
struct Compiled {
    library: Arc<Library>,
    /// The newest version of each.
    versions: HashMap<Box<str>, u32>,
    /// How often they had been changed before they were read.
    changes: u64,
    octets: u64,
}

#[derive(Clone)]
struct BySources;

impl Weighter<Box<str>, Arc<Compiled>> for BySources {
    fn weight(&self, _: &Box<str>, compiled: &Arc<Compiled>) -> u64 {
        compiled.octets.max(LIBRARY_OCTETS_LEAST)
    }
}

/// A template as the catalog has it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    template: Template,
}

impl Templates {
    /// Over the catalog of `store`, within the bounds of `settings`.
    pub(in super::super) fn new(store: &Store, settings: Arc<ArcSwap<ApiSettings>>) -> Templates {
        let TemplateSettings { limits, compiled_octets_max, .. } = settings.load().templates;
        let capacity = usize::try_from(compiled_octets_max / LIBRARY_OCTETS_LEAST).unwrap_or(usize::MAX);
        // Of one piece: in a part of it, the templates of a large tenant would find no room.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(capacity)
            .weight_capacity(compiled_octets_max)
            .build()
            .expect("both capacities are given");
        let compiled = Cache::with_options(
            options,
            BySources,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        Templates {
            catalog: store.catalog(),
            settings,
            ready: ArcSwap::from_pointee(Library::new(limits)),
            compiled,
            changes: Mutex::default(),
            pages: Pages::default(),
        }
    }

    fn settings(&self) -> TemplateSettings {
        self.settings.load().templates
    }

    /// Those that ship, within the limits of now.
    fn ready(&self) -> Arc<Library> {
        let (ready, limits) = (self.ready.load_full(), self.settings().limits);
        if ready.limits() == limits {
            return ready;
        }
        let ready = Arc::new(Library::clone(&ready).with_limits(limits));
        self.ready.store(Arc::clone(&ready));
        ready
    }

    /// The template `name`: one of the tenant's, in that version or the newest, or `ready/…`.
    pub(in super::super) async fn find(
        &self,
        tenant: Option<&str>,
        name: &str,
        version: Option<u32>,
    ) -> Result<Found, Problem> {
        if name.starts_with(ready::PREFIX) {
            let library = self.ready();
            let is_there = library.contains(name) && version.is_none_or(|version| version == 0);
            let found = Found { library, version: 0 };
            return if is_there { Ok(found) } else { Err(missing(name, version)) };
        }
        let compiled = self.compiled(tenant).await?;
        let Some(newest) = compiled.versions.get(name).copied() else { return Err(missing(name, None)) };
        let Some(version) = version.filter(|version| *version != newest) else {
            return Ok(Found { library: Arc::clone(&compiled.library), version: newest });
        };
        let kept = self.get(tenant, name, Some(version)).await?;
        let mut library = Library::clone(&compiled.library);
        library.put_kept(&read_name(name)?, &kept.template).map_err(|error| template_problem(&error))?;
        Ok(Found { library: Arc::new(library), version })
    }

    /// All templates of the tenant and those that ship, compiled, for a template that is not kept.
    pub(super) async fn all_compiled(&self, tenant: Option<&str>) -> Result<Library, Problem> {
        Ok(Library::clone(&self.compiled(tenant).await?.library))
    }

    async fn compiled(&self, tenant: Option<&str>) -> Result<Arc<Compiled>, Problem> {
        let own: Box<str> = tenant.unwrap_or_default().into();
        let (changes, ready) = (self.changes(&own), self.ready());
        let serves =
            |found: &Arc<Compiled>| found.changes == changes && found.library.limits() == ready.limits();
        if let Some(found) = self.compiled.get(&own).filter(serves) {
            return Ok(found);
        }
        let records = self.all(Query::of(TEMPLATE).tenant(tenant)).await?;
        let compiled = tokio::task::spawn_blocking(move || compile(&ready, records, changes)).await;
        let failed = |_| Problem::unavailable("the templates could not be compiled");
        let compiled = Arc::new(compiled.map_err(failed)??);
        self.compiled.set_capacity(self.settings().compiled_octets_max);
        self.compiled.insert(own, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn changes(&self, tenant: &str) -> u64 {
        self.changes.lock().get(tenant).copied().unwrap_or_default()
    }

    /// What is compiled of the tenant is out of date.
    fn note_change(&self, tenant: Option<&str>) {
        *self.changes.lock().entry(tenant.unwrap_or_default().into()).or_default() += 1;
    }

    /// All records that the query means, whatever their number.
    async fn all(&self, query: Query) -> Result<Vec<Record>, Problem> {
        let (mut records, mut query) = (Vec::new(), query);
        loop {
            let page = self.catalog.list(&query).await.map_err(catalog_problem)?;
            records.extend(page.records);
            match page.next {
                Some(last) => query = query.after(Some(last)),
                None => return Ok(records),
            }
        }
    }

    /// A page of the tenant's templates.
    pub(super) async fn list(
        &self,
        tenant: Option<&str>,
        after: Option<TemplateName>,
        limit: usize,
    ) -> Result<TemplatePage, Problem> {
        let after = after.map(|name| key(tenant, &name)).transpose()?;
        let query = Query::of(TEMPLATE).tenant(tenant).after(after).limit(limit);
        let page = self.catalog.list(&query).await.map_err(catalog_problem)?;
        let row = |record: &Record| {
            let kept: Kept = record.json().map_err(catalog_problem)?;
            Ok(TemplateRow::of(record.key.name(), kept.version, Some(record.changed_at), &kept.template))
        };
        let templates = page.records.iter().map(row).collect::<Result<_, Problem>>()?;
        Ok(TemplatePage { templates, next: page.next.map(|key| key.name().to_owned()) })
    }

    /// One template, in that version or the newest.
    pub(super) async fn get(
        &self,
        tenant: Option<&str>,
        name: &str,
        version: Option<u32>,
    ) -> Result<TemplateView, Problem> {
        if name.starts_with(ready::PREFIX) {
            let found = ready::get(name).filter(|_| version.is_none_or(|version| version == 0));
            let template = found.ok_or_else(|| missing(name, version))?;
            return Ok(TemplateView::of(name, 0, None, template.clone()));
        }
        let known = read_name(name)?;
        let key = match version {
            Some(version) => version_key(tenant, &known, version)?,
            None => key(tenant, &known)?,
        };
        let found = self.catalog.get(&key).await.map_err(catalog_problem)?;
        let record = found.ok_or_else(|| missing(name, version))?;
        let Kept { version, template } = record.json().map_err(catalog_problem)?;
        Ok(TemplateView::of(name, version, Some(record.changed_at), template))
    }

    /// Keeps a new version, and `beside` in the same batch. With `expected`, only when that is the newest (0: when there is
    /// none). The version comes back with the templates among which the new one is.
    pub(super) async fn put(
        &self,
        tenant: Option<&str>,
        name: &TemplateName,
        template: Template,
        expected: Option<u32>,
        beside: Vec<Edit>,
    ) -> Result<(u32, Arc<Library>), Problem> {
        let compiled = self.compiled(tenant).await?;
        let mut library = Library::clone(&compiled.library);
        library.put(name, &template).map_err(|error| template_problem(&error))?;
        let settings = self.settings();
        let kind = Kind::new(TEMPLATE.name(), settings.templates_max);
        let key = Key::new(kind, tenant, name.as_str()).map_err(catalog_problem)?;
        let found = self.catalog.get(&key).await.map_err(catalog_problem)?;
        let before = found.as_ref().map(Record::json::<Kept>).transpose().map_err(catalog_problem)?;
        check_room(&settings, &compiled, before.as_ref().map(|kept| &kept.template), &template)?;
        let newest = before.map_or(0, |kept| kept.version);
        if expected.is_some_and(|expected| expected != newest) {
            return Err(Problem::busy(format!("the newest version of template `{name}` is {newest}")));
        }
        let version = newest.saturating_add(1);
        let kept = Kept { version, template };
        let expect = found.map_or(Expect::Nothing, |record| Expect::Version(record.version));
        let put = |key| Edit::put_json(key, &kept).map_err(catalog_problem);
        let mut edits = beside;
        edits.push(put(key)?.expecting(expect));
        edits.push(put(version_key(tenant, name, version)?)?);
        edits.extend(self.outlived(tenant, name, version.saturating_sub(settings.versions_kept)).await?);
        let written = self.catalog.apply(edits).await.map_err(|error| match error {
            CatalogError::Conflict { .. } => Problem::busy("somebody else changed the template just now"),
            CatalogError::TooMany { most, .. } => Problem::unfit(
                "body",
                format!("there are {most} templates already (templates.templates_max)"),
            ),
            error => catalog_problem(error),
        });
        // Whatever became of it, what is in memory may be older than what is kept.
        self.note_change(tenant);
        written.map(|_| (version, Arc::new(library)))
    }

    /// Takes out the versions up to `last`; more than one when the settings keep fewer than before.
    async fn outlived(
        &self,
        tenant: Option<&str>,
        name: &TemplateName,
        last: u32,
    ) -> Result<Vec<Edit>, Problem> {
        if last == 0 {
            return Ok(Vec::new());
        }
        let last = version_key(tenant, name, last)?;
        let versions = self.all(versions_of(tenant, name)).await?;
        let outlived = versions.into_iter().map(|record| record.key);
        Ok(outlived.take_while(|key| key.name() <= last.name()).map(Edit::remove).collect())
    }

    /// Forgets a template with all its versions. Who extends or includes it can not be rendered any more.
    pub(super) async fn remove(
        &self,
        tenant: Option<&str>,
        name: &TemplateName,
        beside: Vec<Edit>,
    ) -> Result<(), Problem> {
        let mut edits = beside;
        edits.push(Edit::remove(key(tenant, name)?));
        let versions = self.all(versions_of(tenant, name)).await?;
        edits.extend(versions.into_iter().map(|record| Edit::remove(record.key)));
        let removed = self.catalog.apply(edits).await.map_err(catalog_problem);
        self.note_change(tenant);
        removed.map(|_| ())
    }

    /// The versions that are kept, the oldest first.
    pub(super) async fn versions(
        &self,
        tenant: Option<&str>,
        name: &TemplateName,
    ) -> Result<VersionPage, Problem> {
        let row = |record: Record| {
            let kept: Kept = record.json().map_err(catalog_problem)?;
            let octets = kept.template.source_octets() as u64;
            Ok(VersionRow { version: kept.version, changed_at: record.changed_at, octets })
        };
        let records = self.all(versions_of(tenant, name)).await?;
        let versions = records.into_iter().map(row).collect::<Result<Vec<_>, Problem>>()?;
        if versions.is_empty() { Err(missing(name.as_str(), None)) } else { Ok(VersionPage { versions }) }
    }
}

/// A tenant's templates are as large as the settings say; where they are larger already, one may become smaller.
fn check_room(
    settings: &TemplateSettings,
    compiled: &Compiled,
    before: Option<&Template>,
    template: &Template,
) -> Result<(), Problem> {
    let octets_max = settings.tenant_octets_max;
    let (old, new) = (before.map_or(0, Template::source_octets) as u64, template.source_octets() as u64);
    let after = (compiled.octets + new).saturating_sub(old);
    if new > old && after > octets_max {
        let message = format!(
            "all templates together would have {after} octets, at most {octets_max} (templates.tenant_octets_max)"
        );
        return Err(Problem::unfit("body", message));
    }
    Ok(())
}

fn compile(ready: &Library, records: Vec<Record>, changes: u64) -> Result<Compiled, Problem> {
    let (mut library, mut versions, mut octets) = (ready.clone(), HashMap::new(), 0);
    for record in records {
        let kept: Kept = record.json().map_err(catalog_problem)?;
        octets += kept.template.source_octets() as u64;
        let name = read_name(record.key.name())?;
        library.put_kept(&name, &kept.template).map_err(|error| template_problem(&error))?;
        versions.insert(name.as_str().into(), kept.version);
    }
    Ok(Compiled { library: Arc::new(library), versions, changes, octets })
}

fn key(tenant: Option<&str>, name: &TemplateName) -> Result<Key, Problem> {
    Key::new(TEMPLATE, tenant, name.as_str()).map_err(catalog_problem)
}

fn version_key(tenant: Option<&str>, name: &TemplateName, version: u32) -> Result<Key, Problem> {
    // Of one width, so that names sort as versions do.
    Key::new(VERSION, tenant, &format!("{name}@{version:010}")).map_err(catalog_problem)
}

fn versions_of(tenant: Option<&str>, name: &TemplateName) -> Query {
    Query::of(VERSION).tenant(tenant).starting(&format!("{name}@"))
}

/// The name in a path or a record.
pub(super) fn read_name(text: &str) -> Result<TemplateName, Problem> {
    let shown = || baton_mail::text::sanitize(text, 100);
    text.parse().map_err(|error| Problem::field("template", format!("`{}`: {error}", shown())))
}

/// What is wrong with a template, with the place.
pub(in super::super) fn template_problem(error: &TemplateError) -> Problem {
    let field = error.part.map_or("template", |part| part.as_str());
    Problem {
        detail: error.to_string(),
        errors: vec![FieldError { field: field.to_owned(), message: error.to_string() }],
        ..Problem::unfit(field, "")
    }
}

fn missing(name: &str, version: Option<u32>) -> Problem {
    let name = baton_mail::text::sanitize(name, 100);
    match version {
        Some(version) => Problem::not_found(format!("there is no version {version} of template `{name}`")),
        None => Problem::not_found(format!("there is no template `{name}`")),
    }
}

/// Those that ship.
pub(super) fn ready_rows() -> Vec<TemplateRow> {
    ready::all().map(|(name, template)| TemplateRow::of(name, 0, None::<UnixMs>, template)).collect()
}
