//! What a template must have for the streams that it is sent in: the same that is asked of their mail.

use baton_content::Template;
use baton_content::template::lint::{Rules, Severity, StreamAddress};
use baton_mail::tenant::{Label, Requirements, Stream, StreamKind};
use baton_store::catalog::{Query, STREAM};

use super::super::Face;
use super::super::audit::catalog_problem;
use super::super::caller::Caller;
use crate::Problem;

/// By the stream that is named or that the caller is bound to. Without one, a template for many is held against what each
/// bulk stream of the tenant asks for, as a warning: it may be for another one.
pub(super) async fn rules_of(
    face: &Face,
    caller: &Caller,
    tenant: Option<&Label>,
    named: Option<&Label>,
    template: &Template,
) -> Result<Rules, Problem> {
    let stream = caller.stream_of(named)?;
    let Some(stream) = stream else {
        let addresses = if template.bulk { of_bulk_streams(face, tenant).await? } else { Vec::new() };
        return Ok(Rules { bulk: template.bulk, addresses });
    };
    let row = face.store.tenants().stream(tenant.map(Label::as_str), stream.as_str());
    if row.is_none() && !face.settings().streams.contains_key(stream.as_str()) {
        return Err(Problem::unfit("stream", format!("there is no stream `{stream}`")));
    }
    let is_bulk = row.as_ref().is_some_and(|row| row.value.kind == StreamKind::Bulk);
    let own = row.as_ref().map(|row| &row.value.require);
    let addresses = addresses(face, stream.as_str(), own, Severity::Error);
    Ok(Rules { bulk: template.bulk || is_bulk, addresses })
}

/// What the tenant's bulk streams ask for, those of the first page: more findings than a person reads.
async fn of_bulk_streams(face: &Face, tenant: Option<&Label>) -> Result<Vec<StreamAddress>, Problem> {
    let query = Query::of(STREAM).tenant(tenant.map(Label::as_str));
    let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
    let mut found = Vec::new();
    for record in &page.records {
        let stream: Stream = record.json().map_err(catalog_problem)?;
        if stream.kind == StreamKind::Bulk {
            found.extend(addresses(face, record.key.name(), Some(&stream.require), Severity::Warning));
        }
    }
    Ok(found)
}

/// The addresses that a stream asks for, by the settings and by its own record; one that both name, once.
fn addresses(
    face: &Face,
    stream: &str,
    own: Option<&Requirements>,
    severity: Severity,
) -> Vec<StreamAddress> {
    let settings = face.settings();
    let mut addresses: Vec<&str> =
        settings.streams.get(stream).into_iter().chain(own).filter_map(Requirements::address).collect();
    addresses.dedup();
    let told =
        |address: &str| StreamAddress { stream: stream.to_owned(), address: address.to_owned(), severity };
    addresses.into_iter().map(told).collect()
}
