//! `baton operator`: who may use the console.

use baton_api::v1::{OperatorChange, OperatorPage, OperatorRow};
use baton_mail::tenant::Label;

use super::print;
use super::user::read_password;
use crate::admin::{Admin, escape};
use crate::cli::operator::{
    AddOperator, ListOperators, NewOperatorPassword, OneOperator, OperatorCommand, OperatorRights,
    SetOperator,
};
use crate::render;

pub(crate) async fn run(command: OperatorCommand) -> anyhow::Result<()> {
    match command {
        OperatorCommand::Add(options) => add(options).await,
        OperatorCommand::List(options) => list(options).await,
        OperatorCommand::Passwd(NewOperatorPassword { one, password }) => {
            let password = Some(read_password(&password, one.name.as_str()).await?);
            change(&one, &OperatorChange { password, ..OperatorChange::default() }).await
        }
        OperatorCommand::Set(SetOperator { one, rights, disabled }) => {
            change(&one, &OperatorChange { disabled, ..rights.change() }).await
        }
        OperatorCommand::Remove(one) => {
            let row: OperatorRow = Admin::of(&one.target)?.delete(&path(&one.name)).await?;
            print(&row, one.target.json, |row| format!("{} is removed.\n", row.name))
        }
    }
}

async fn add(options: AddOperator) -> anyhow::Result<()> {
    let AddOperator { one, password, rights } = options;
    let password = Some(read_password(&password, one.name.as_str()).await?);
    let body = OperatorChange { name: Some(one.name.clone()), password, ..rights.change() };
    let admin = Admin::of(&one.target)?;
    let row: OperatorRow = admin.post("/v1/operators", &serde_json::to_value(&body)?).await?;
    print(&row, one.target.json, render::operator::shown)
}

async fn change(one: &OneOperator, body: &OperatorChange) -> anyhow::Result<()> {
    let row: OperatorRow =
        Admin::of(&one.target)?.patch(&path(&one.name), &serde_json::to_value(body)?).await?;
    print(&row, one.target.json, render::operator::shown)
}

async fn list(options: ListOperators) -> anyhow::Result<()> {
    let ListOperators { name, target } = options;
    let admin = Admin::of(&target)?;
    if let Some(name) = name {
        let row: OperatorRow = admin.get(&path(&name)).await?;
        return print(&row, target.json, render::operator::shown);
    }
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let page: OperatorPage = admin.get(&format!("/v1/operators?limit=1000{after}")).await?;
        rows.extend(page.operators);
        match page.next {
            Some(next) => after = format!("&after={}", escape(&next)),
            None => return print(&rows, target.json, |rows| render::operator::list(rows)),
        }
    }
}

impl OperatorRights {
    fn change(self) -> OperatorChange {
        OperatorChange { role: self.role, tenant: self.tenant, note: self.note, ..OperatorChange::default() }
    }
}

fn path(name: &Label) -> String {
    format!("/v1/operators/{name}")
}
