//! `baton person`: what is kept of somebody, told and forgotten.

use baton_api::persons::{PersonErased, PersonRow};

use super::print;
use crate::admin::{Admin, escape};
use crate::cli::person::{OnePerson, PersonCommand};
use crate::render;

pub(crate) async fn run(command: PersonCommand) -> anyhow::Result<()> {
    match command {
        PersonCommand::Export(one) => {
            let row: PersonRow = Admin::of(&one.target)?.get(&path(&one)).await?;
            // It is for programs and for the person itself: whole, whatever was asked for.
            print(&row, true, |_| String::new())
        }
        PersonCommand::Erase(one) => {
            let done: PersonErased = Admin::of(&one.target)?.delete(&path(&one)).await?;
            print(&done, one.target.json, render::person::erased)
        }
    }
}

fn path(one: &OnePerson) -> String {
    let tenant = one.tenant.as_ref().map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
    format!("/v1/persons/{}{tenant}", escape(&one.address.to_string()))
}
