//! `baton top`: the relay at work, in a terminal.

mod draw;
mod picture;
mod screen;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::Result;
use baton_api::delivery::{MeasuresView, SitesView};
use baton_api::figures::Figures;
use baton_api::wire::SummaryView;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::time::Instant;

use crate::admin::Admin;
use crate::cli::top::TopOptions;
use crate::commands::write_out;
use draw::{View, draw};
use picture::{Look, Picture};

pub(crate) use picture::SortBy;

/// How often the relay is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Shows the relay until somebody has enough; or once.
pub(crate) async fn run(options: TopOptions) -> Result<()> {
    let admin = Admin::by(options.socket, &options.file)?;
    let mut view = View { sort: options.sort, ..View::default() };
    let first = (look(&admin).await?, Instant::now());
    if options.once {
        tokio::time::sleep(PERIOD).await;
        let picture = Picture::of(&first.0, &look(&admin).await?, first.1.elapsed().as_secs_f64());
        return write_out(&as_text(&picture, view));
    }
    let mut screen = screen::Screen::open()?;
    let mut last = first;
    let mut picture = Picture::of(&last.0, &last.0, PERIOD.as_secs_f64());
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        screen.show(|frame| draw(&picture, view, frame.area(), frame.buffer_mut()))?;
        let key = tokio::select! {
            key = screen.key() => key?,
            _ = ticks.tick() => {
                if !view.paused {
                    (view.lost, last, picture) = next(&admin, last, picture).await;
                }
                continue;
            }
        };
        match key {
            screen::Key::Quit => return Ok(()),
            screen::Key::Sort => view.sort = view.sort.next(),
            screen::Key::Pause => view.paused = !view.paused,
            screen::Key::Up => view.scrolled = view.scrolled.saturating_sub(1),
            screen::Key::Down => view.scrolled = (view.scrolled + 1).min(picture.sites.len()),
            screen::Key::Other => {}
        }
    }
}

/// Looks again. When the relay does not answer, the last picture stays.
async fn next(admin: &Admin, last: (Look, Instant), picture: Picture) -> (bool, (Look, Instant), Picture) {
    match tokio::time::timeout(PERIOD * 5, look(admin)).await {
        Ok(Ok(look)) => {
            let picture = Picture::of(&last.0, &look, last.1.elapsed().as_secs_f64());
            (false, (look, Instant::now()), picture)
        }
        _ => (true, last, picture),
    }
}

async fn look(admin: &Admin) -> Result<Look> {
    let metrics = admin.text("/metrics").await?;
    Ok(Look {
        figures: Figures::read(&metrics),
        sites: admin.get::<SitesView>("/v1/sites").await?,
        queue: admin.get::<SummaryView>("/v1/queue/summary").await?,
        measures: admin.get::<MeasuresView>("/v1/shaping").await?,
    })
}

/// A frame as lines of text.
fn as_text(picture: &Picture, view: View) -> String {
    let mut buffer = Buffer::empty(Rect::new(0, 0, ONCE_COLUMNS, ONCE_LINES));
    draw(picture, view, buffer.area, &mut buffer);
    let line = |y: u16| {
        let cells = (0..ONCE_COLUMNS).filter_map(|x| buffer.cell((x, y))).map(|cell| cell.symbol());
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    (0..ONCE_LINES).map(line).collect()
}

/// The size of a frame that is printed.
const ONCE_COLUMNS: u16 = 140;
const ONCE_LINES: u16 = 40;
