//! Questions about recipients for plugins: asked as delivery would deliver.

use baton_hooks::host::{VerifyAnswer, VerifyBackend, VerifyError};
use baton_mail::Mailbox;
use baton_outbound::Verifier;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// Delivery's verifier as plugins see it.
pub(crate) struct PluginVerify(pub(crate) Verifier);

impl VerifyBackend for PluginVerify {
    fn recipient<'a>(&'a self, rcpt: &'a Mailbox) -> BoxFuture<'a, Result<VerifyAnswer, VerifyError>> {
        async move {
            match self.0.ask(rcpt).await {
                Ok(answer) => Ok(VerifyAnswer { host: answer.host, reply: answer.reply }),
                Err(unasked) => Err(VerifyError::Failed(unasked.to_string())),
            }
        }
        .boxed()
    }
}
