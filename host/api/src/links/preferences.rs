//! Unsubscribing: the page for people, and the POST that mail programs send (RFC 8058 3.1).

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use baton_content::link::{Action, BadLink, Claim};
use baton_content::page::{Page, masked};
use baton_content::unsubscribe::ONE_CLICK;
use baton_store::StoreError;
use baton_store::suppression::{Change, Leaving, Reason, Scope, Suppress};
use bytes::Bytes;

use super::{Links, guarded, outcome, refused, shown};

/// What somebody chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// A mail program, for its user: at once, and no page.
    OneClick,
    /// No more of this stream.
    Stream,
    /// No more of the tenant.
    All,
    /// This mail again.
    Undo,
}

impl Choice {
    /// From the body of the form, or of a mail program's POST: `application/x-www-form-urlencoded`, or `multipart/form-data`, which
    /// RFC 8058 3.2 allows too.
    fn read(body: &[u8]) -> Option<Choice> {
        let text = std::str::from_utf8(body).ok()?;
        let (name, value) = ONE_CLICK.split_once('=')?;
        let is_part = text.contains(&format!("name=\"{name}\"")) && text.contains(value);
        let mut pairs = url::form_urlencoded::parse(body);
        pairs
            .find_map(|(given, chosen)| match (given.as_ref(), chosen.as_ref()) {
                (field, chosen) if field == name && chosen == value => Some(Choice::OneClick),
                ("do", "stream") => Some(Choice::Stream),
                ("do", "all") => Some(Choice::All),
                ("do", "undo") => Some(Choice::Undo),
                _ => None,
            })
            .or_else(|| is_part.then_some(Choice::OneClick))
    }
}

/// `GET /u/{token}`: asks, and changes nothing.
pub(super) async fn ask(State(links): State<Links>, Path(token): Path<String>) -> Response {
    let claim = match links.unsubscribe_claim(&token) {
        Ok(claim) => claim,
        Err(error) => return refused(error),
    };
    let Ok(off) = links.scopes_off(&claim).await else {
        return shown(StatusCode::SERVICE_UNAVAILABLE, &Page::Failed);
    };
    links.deps.metrics.count("unsubscribe", "asked");
    let recipient = masked(&claim.recipient.to_string());
    let page = Page::Ask {
        recipient: &recipient,
        stream: &claim.stream,
        sender: &claim.tenant,
        is_off: !off.is_empty(),
    };
    shown(StatusCode::OK, &page)
}

/// `POST /u/{token}`: does it.
pub(super) async fn act(
    State(links): State<Links>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let claim = match links.unsubscribe_claim(&token) {
        Ok(claim) => claim,
        Err(error) => return refused(error),
    };
    let Some(choice) = Choice::read(&body) else {
        return (StatusCode::BAD_REQUEST, "post List-Unsubscribe=One-Click\n").into_response();
    };
    let done = match choice {
        Choice::Undo => links.take_back(&claim).await,
        Choice::OneClick | Choice::Stream | Choice::All => {
            links.unsubscribe(&claim, choice, &method, &headers).await
        }
    };
    let Ok(()) = done else { return shown(StatusCode::SERVICE_UNAVAILABLE, &Page::Failed) };
    let recipient = masked(&claim.recipient.to_string());
    let from = in_words(&claim, choice);
    match choice {
        Choice::OneClick => {
            let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            guarded((plain, "You are unsubscribed.\n").into_response())
        }
        Choice::Undo => shown(StatusCode::OK, &Page::Undone { recipient: &recipient, from: &from }),
        Choice::Stream | Choice::All => {
            shown(StatusCode::OK, &Page::Done { recipient: &recipient, from: &from })
        }
    }
}

impl Links {
    fn unsubscribe_claim(&self, token: &str) -> Result<Claim, BadLink> {
        let claim = self.claim(token).and_then(|claim| match claim.action {
            Action::Unsubscribe => Ok(claim),
            _ => Err(BadLink::Forged),
        });
        claim.inspect_err(|error| self.deps.metrics.count("unsubscribe", outcome(*error)))
    }

    /// The scopes in which the recipient unsubscribed before.
    async fn scopes_off(&self, claim: &Claim) -> Result<Vec<Scope>, StoreError> {
        let mut off = Vec::new();
        for scope in [scope(claim, Choice::Stream), scope(claim, Choice::All)] {
            let found = self.deps.store.suppression().get(&scope, &claim.recipient).await?;
            let is_off = found.is_some_and(|listed| listed.entry.reason == Reason::Unsubscribe);
            if is_off && !off.contains(&scope) {
                off.push(scope);
            }
        }
        Ok(off)
    }

    /// The entry and the event, in one step.
    async fn unsubscribe(
        &self,
        claim: &Claim,
        choice: Choice,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), StoreError> {
        let how = if choice == Choice::OneClick { "one-click" } else { "page" };
        let leaving = Leaving {
            recipient: claim.recipient.clone(),
            scope: scope(claim, choice),
            message: claim.message,
            how,
            visitor: Some(self.visitor(method, headers)),
            at: self.deps.clock.now(),
        };
        self.deps.store.unsubscribe(leaving).await?;
        self.deps.metrics.count("unsubscribe", how);
        Ok(())
    }

    /// Only what the recipient did itself: a complaint or a bad mailbox stays on the list.
    async fn take_back(&self, claim: &Claim) -> Result<(), StoreError> {
        let off = self.scopes_off(claim).await?;
        let remove = |scope| Suppress { scope, address: claim.recipient.clone(), change: Change::Remove };
        self.deps.store.suppression().change(off.into_iter().map(remove).collect(), Vec::new()).await?;
        self.deps.metrics.count("unsubscribe", "undone");
        Ok(())
    }
}

/// Whose mail is stopped. A message without a stream stops all of its tenant; one without a tenant, all of the relay.
fn scope(claim: &Claim, choice: Choice) -> Scope {
    let (tenant, stream) = (claim.tenant(), claim.stream());
    // Without a tenant, all would be everybody's mail: nobody is asked that.
    Scope::narrowest(tenant, stream.filter(|_| choice != Choice::All || tenant.is_none()))
}

/// What is stopped, for the page.
fn in_words(claim: &Claim, choice: Choice) -> String {
    let sender = if claim.tenant.is_empty() { String::new() } else { format!(" from {}", claim.tenant) };
    match (choice, claim.stream.as_str()) {
        (Choice::All, _) | (_, "") => format!("mail{sender}"),
        (_, stream) => format!("mail of “{stream}”{sender}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_one_click_are_understood() {
        let multipart =
            b"--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
        for (body, choice) in [
            (&b"List-Unsubscribe=One-Click"[..], Some(Choice::OneClick)),
            (multipart, Some(Choice::OneClick)),
            (b"do=stream", Some(Choice::Stream)),
            (b"do=all&x=y", Some(Choice::All)),
            (b"do=undo", Some(Choice::Undo)),
            (b"", None),
            (b"do=everything", None),
            (b"List-Unsubscribe=Two-Clicks", None),
            (b"\xff\xfe", None),
        ] {
            assert_eq!(Choice::read(body), choice, "{:?}", String::from_utf8_lossy(body));
        }
    }
}
