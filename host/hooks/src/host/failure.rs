//! `failure`: the attempt that a bounce hook is asked about.

use baton_mail::FailureClass;
use baton_mail::edit::Edit;

use crate::bindings::baton::relay::failure::{Host, Reply};
use crate::call::FailureFacts;
use crate::state::State;

impl State {
    fn failure(&mut self) -> wasmtime::Result<Option<&FailureFacts>> {
        self.charge()?;
        Ok(self.call.failure.as_ref())
    }

    fn stage_class(&mut self, name: &str) -> Result<(), String> {
        if self.call.failure.is_none() {
            return Err("there is no failure at this hook".to_owned());
        }
        let names = || FailureClass::ALL.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ");
        let class =
            FailureClass::from_name(name).ok_or_else(|| format!("not a class; there are {}", names()))?;
        self.staged.push(Edit::Class(class))
    }
}

impl Host for State {
    fn permanent(&mut self) -> wasmtime::Result<bool> {
        Ok(self.failure()?.is_some_and(|failure| failure.permanent))
    }

    fn remote_host(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.failure()?.and_then(|failure| failure.remote_host.clone()))
    }

    fn remote_reply(&mut self) -> wasmtime::Result<Option<Reply>> {
        Ok(self.failure()?.and_then(|failure| failure.reply.as_ref()).map(reply))
    }

    fn phase(&mut self) -> wasmtime::Result<String> {
        Ok(self.failure()?.map(|failure| failure.phase.to_string()).unwrap_or_default())
    }

    fn class(&mut self) -> wasmtime::Result<String> {
        Ok(self.failure()?.map(|failure| failure.class.to_string()).unwrap_or_default())
    }

    fn set_class(&mut self, name: String) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_class(&name);
        self.counted(result)
    }
}

/// A reply as plugins see it.
pub(super) fn reply(reply: &baton_mail::Reply) -> Reply {
    Reply {
        code: reply.code(),
        enhanced: reply.enhanced().map(|enhanced| (enhanced.0, enhanced.1, enhanced.2)),
        text: reply.text().to_owned(),
    }
}
