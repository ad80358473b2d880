//! `baton explain`: the story of a message.

use baton_api::wire::{Recent, Story};

use super::print;
use crate::admin::{Admin, escape};
use crate::cli::ExplainOptions;
use crate::render;

pub(crate) async fn run(options: ExplainOptions) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    match options.message {
        Some(message) => {
            let story: Story = admin.get(&format!("/v1/messages/{}", escape(&message))).await?;
            print(&story, options.target.json, render::story::story)
        }
        None => {
            let limit = options.recent.unwrap_or_default();
            let recent: Recent = admin.get(&format!("/v1/messages/recent?limit={limit}")).await?;
            print(&recent, options.target.json, render::story::recent)
        }
    }
}
