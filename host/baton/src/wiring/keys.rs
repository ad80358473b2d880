//! The keys of token issuers, fetched by the HTTP client that plugins have too.

use std::sync::Arc;

use baton_accounts::{Fetch, KEYS_OCTETS_MAX};
use baton_hooks::HttpUrl;
use baton_hooks::host::{HttpBackend, HttpRequest};
use baton_mail::Body;
use bytes::Bytes;

use super::PluginHttp;

/// Stands for a plugin's name; none has a space in it.
const NAME: &str = "token issuers";

/// Fetches over this client. The operator names the address in the settings, so it may be one that is not public.
pub(crate) fn fetch_by(http: &Arc<PluginHttp>) -> Fetch {
    let http = Arc::clone(http);
    Fetch(Arc::new(move |url| {
        let http = Arc::clone(&http);
        Box::pin(async move { fetch(&http, &url).await })
    }))
}

async fn fetch(http: &PluginHttp, url: &str) -> Result<Bytes, String> {
    let request = HttpRequest {
        method: "GET".to_owned(),
        url: HttpUrl::parse(url)?,
        host_is_granted: true,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: Body::default(),
        response_octets_max: KEYS_OCTETS_MAX,
    };
    let response = HttpBackend::fetch(http, NAME, request).await.map_err(|error| error.to_string())?;
    if response.status == 200 { Ok(response.body) } else { Err(format!("status {}", response.status)) }
}
