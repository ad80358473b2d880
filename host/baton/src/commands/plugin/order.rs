//! `baton plugin order`: who is asked at which hook, and in which order.

use anyhow::anyhow;
use baton_api::wire::PluginsView;

use crate::admin::Admin;
use crate::cli::plugin::OrderOptions;
use crate::commands::{check, print};
use crate::{render, settings};

pub(crate) async fn run(options: OrderOptions) -> anyhow::Result<()> {
    let target = options.target;
    let order: Vec<(String, Vec<String>)> = if options.running || target.socket.is_some() {
        let view: PluginsView = Admin::of(&target)?.get("/v1/plugins").await?;
        view.order
    } else {
        let checked = settings::load(target.file.settings.as_deref());
        let checked = checked.map_err(|problems| anyhow!("{}:\n{problems}", problems.count()))?;
        let order = check::load(&checked).await?.0.order();
        order.into_iter().map(|(hook, names)| (hook.as_str().to_owned(), names)).collect()
    };
    print(&order, target.json, |order| render::queue::order(order))
}
