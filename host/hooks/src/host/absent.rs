//! Services that are not there, for who only loads plugins: nothing is asked before a message comes.

use baton_mail::Mailbox;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{HttpBackend, HttpError, HttpRequest, HttpResponse, VerifyAnswer, VerifyBackend, VerifyError};

/// Neither HTTP nor questions: every request is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Absent;

impl HttpBackend for Absent {
    fn fetch<'a>(&'a self, _: &'a str, _: HttpRequest) -> BoxFuture<'a, Result<HttpResponse, HttpError>> {
        async { Err(HttpError::Denied) }.boxed()
    }
}

impl VerifyBackend for Absent {
    fn recipient<'a>(&'a self, _: &'a Mailbox) -> BoxFuture<'a, Result<VerifyAnswer, VerifyError>> {
        async { Err(VerifyError::Failed("next hops are not asked here".to_owned())) }.boxed()
    }
}
