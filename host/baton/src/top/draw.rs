//! The picture as a screen of text.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, Widget};

use super::picture::{Picture, SortBy, Traffic};
use crate::render::words::{moment, octets};

/// What the person at the keys chose.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct View {
    pub(super) sort: SortBy,
    pub(super) paused: bool,
    /// Lines of the sites that are above the screen.
    pub(super) scrolled: usize,
    /// Nothing comes any more: why is in the picture's place.
    pub(super) lost: bool,
}

/// Draws it all.
pub(super) fn draw(picture: &Picture, view: View, area: Rect, buffer: &mut Buffer) {
    let measures = u16::try_from(picture.measures.len()).unwrap_or(u16::MAX).min(MEASURES_SHOWN_MAX);
    let parts = [
        Constraint::Length(1),
        Constraint::Length(4),
        Constraint::Length(if measures > 0 { measures + 1 } else { 0 }),
        Constraint::Fill(3),
        Constraint::Fill(2),
    ];
    let [title, traffic, suspended, sites, below] = Layout::vertical(parts).areas(area);
    draw_title(picture, view, title, buffer);
    draw_traffic(&picture.traffic, traffic, buffer);
    draw_measures(picture, suspended, buffer);
    draw_sites(picture, view, sites, buffer);
    let thirds = [Constraint::Fill(3), Constraint::Fill(3), Constraint::Fill(4)];
    let [sources, errors, queues] = Layout::horizontal(thirds).spacing(2).areas(below);
    draw_sources(picture, sources, buffer);
    draw_errors(picture, errors, buffer);
    draw_queues(picture, queues, buffer);
}

fn draw_title(picture: &Picture, view: View, area: Rect, buffer: &mut Buffer) {
    let state = match (view.lost, view.paused) {
        (true, _) => " — the relay does not answer",
        (_, true) => " — paused",
        _ => "",
    };
    let text = format!(
        " baton top  {}{state}   sorted by {}   q quit  s sort  p pause  ↑↓ scroll",
        moment(picture.at),
        view.sort.as_str()
    );
    let style = if view.lost { bad() } else { Style::new() };
    Line::styled(
        format!("{text:width$}", width = usize::from(area.width)),
        style.add_modifier(Modifier::REVERSED),
    )
    .render(area, buffer);
}

fn draw_traffic(traffic: &Traffic, area: Rect, buffer: &mut Buffer) {
    let Traffic { sessions, accepted, accepted_octets, connections, delivered, .. } = traffic;
    let volume = octets(*accepted_octets as u64);
    let oldest = if traffic.oldest_due_s > 0.0 {
        format!("; the oldest due for {:.0} s", traffic.oldest_due_s)
    } else {
        String::new()
    };
    let lines = vec![
        Line::from(vec![
            head("in"),
            Span::raw(format!(
                "{sessions:.0} sessions, {} accepted/s, {volume}/s, refused/s: ",
                figure(*accepted)
            )),
            amount(traffic.refused_for_now, "for now"),
            Span::raw(", "),
            amount(traffic.refused, "for good"),
        ]),
        Line::from(vec![
            head("out"),
            Span::raw(format!("{connections:.0} connections, {} delivered/s, ", figure(*delivered))),
            amount(traffic.deferred, "deferred/s"),
            Span::raw(", "),
            amount(traffic.failed, "failed/s"),
        ]),
        Line::from(vec![
            head("time"),
            Span::raw(format!(
                "p50, p99 below: delivery {}, taking a message {}, sync {}",
                both(traffic.attempt_s),
                both(traffic.accept_s),
                both(traffic.sync_s)
            )),
        ]),
        Line::from(vec![
            head("queue"),
            Span::raw(format!(
                "{} ready, {} waiting, {} held, {} in delivery; {}{oldest}",
                traffic.ready,
                traffic.waiting,
                traffic.held,
                traffic.claimed,
                octets(traffic.octets)
            )),
        ]),
    ];
    Paragraph::new(lines).render(area, buffer);
}

fn draw_measures(picture: &Picture, area: Rect, buffer: &mut Buffer) {
    let count = picture.measures.len();
    let shown = usize::from(MEASURES_SHOWN_MAX);
    let more =
        if count > shown { format!(" ({} more: baton shaping ls)", count - shown) } else { String::new() };
    let mut lines = vec![Line::styled(
        format!("held back or slowed down{more}"),
        Style::new().add_modifier(Modifier::BOLD),
    )];
    lines.extend(picture.measures.iter().take(shown).map(|text| Line::styled(format!("  {text}"), bad())));
    Paragraph::new(lines).render(area, buffer);
}

fn draw_sites(picture: &Picture, view: View, area: Rect, buffer: &mut Buffer) {
    let mut lines = picture.sites.clone();
    view.sort.sort(&mut lines);
    let room = usize::from(area.height.saturating_sub(2)).max(1);
    let from = view.scrolled.min(lines.len().saturating_sub(room));
    let rows = lines.iter().skip(from).map(|line| {
        let latency = line.latency_s.map_or_else(|| "-".to_owned(), span);
        Row::new(vec![
            Cell::from(line.site.clone()),
            Cell::from(line.provider.clone()),
            Cell::from(line.source.clone()),
            number(line.ready),
            right(format!("{}/{}", line.connections, line.allowed)),
            right(figure(line.delivered)),
            troubled(line.deferred),
            troubled(line.failed),
            right(latency),
            Cell::from(line.waits.clone()),
        ])
    });
    let widths = [
        Constraint::Fill(4),
        Constraint::Max(10),
        Constraint::Max(8),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Fill(3),
    ];
    let header = [
        "site",
        "provider",
        "source",
        " ready",
        "   conn",
        "   out/s",
        "defer/s",
        " fail/s",
        "    time",
        "waits for",
    ];
    let block = frame(format!("sites ({})", lines.len()));
    Table::new(rows, widths).header(bold(&header)).block(block).render(area, buffer);
}

fn draw_sources(picture: &Picture, area: Rect, buffer: &mut Buffer) {
    let rows = picture.sources.iter().map(|line| {
        let name = if line.source.is_empty() { "(default)" } else { &line.source };
        Row::new(vec![
            Cell::from(name.to_owned()),
            right(figure(line.delivered)),
            troubled(line.deferred),
            troubled(line.failed),
        ])
    });
    let widths = [Constraint::Fill(1), Constraint::Length(8), Constraint::Length(7), Constraint::Length(7)];
    let header = ["source", "   out/s", "defer/s", " fail/s"];
    Table::new(rows, widths).header(bold(&header)).block(frame("sources".to_owned())).render(area, buffer);
}

fn draw_errors(picture: &Picture, area: Rect, buffer: &mut Buffer) {
    let rows = picture.errors.iter().map(|(class, rate, count)| {
        Row::new(vec![Cell::from(class.clone()), troubled(*rate), right(format!("{count:.0}"))])
    });
    let widths = [Constraint::Fill(1), Constraint::Length(8), Constraint::Length(9)];
    let header = ["failure", "      /s", "      all"];
    Table::new(rows, widths).header(bold(&header)).block(frame("errors".to_owned())).render(area, buffer);
}

fn draw_queues(picture: &Picture, area: Rect, buffer: &mut Buffer) {
    let rows = picture.queues.iter().map(|(name, jobs, size)| {
        Row::new(vec![Cell::from(name.clone()), right(jobs.to_string()), right(octets(*size))])
    });
    let widths = [Constraint::Fill(1), Constraint::Length(8), Constraint::Length(11)];
    let header = ["queue", "    jobs", "       size"];
    Table::new(rows, widths)
        .header(bold(&header))
        .block(frame("longest queues".to_owned()))
        .render(area, buffer);
}

fn frame(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(title)
}

fn bold(names: &[&'static str]) -> Row<'static> {
    Row::new(names.iter().map(|name| Cell::from(*name))).style(Style::new().add_modifier(Modifier::BOLD))
}

fn head(name: &str) -> Span<'static> {
    Span::styled(format!(" {name:6}"), Style::new().add_modifier(Modifier::BOLD))
}

fn bad() -> Style {
    Style::new().fg(Color::Red)
}

fn amount(value: f64, what: &str) -> Span<'static> {
    let style = if value > 0.0 { bad() } else { Style::new() };
    Span::styled(format!("{} {what}", figure(value)), style)
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

fn number(count: usize) -> Cell<'static> {
    right(count.to_string())
}

fn troubled(rate: f64) -> Cell<'static> {
    let cell = right(figure(rate));
    if rate > 0.0 { cell.style(bad()) } else { cell }
}

/// A rate with three digits or so.
fn figure(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        small if small < 10.0 => format!("{small:.1}"),
        other => format!("{other:.0}"),
    }
}

/// A time in its own unit.
fn span(seconds: f64) -> String {
    match seconds {
        under if under < 0.01 => format!("{:.1} ms", under * 1e3),
        under if under < 1.0 => format!("{:.0} ms", under * 1e3),
        other => format!("{other:.1} s"),
    }
}

fn both(times: [Option<f64>; 2]) -> String {
    match times {
        [Some(half), Some(most)] => format!("{}, {}", span(half), span(most)),
        _ => "-".to_owned(),
    }
}

/// Measures that are shown at most.
const MEASURES_SHOWN_MAX: u16 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_fit_their_columns() {
        assert_eq!([0.0, 0.04, 9.96, 12_345.6].map(figure), ["0", "0.0", "10.0", "12346"]);
        assert_eq!([0.0012, 0.25, 3.0].map(span), ["1.2 ms", "250 ms", "3.0 s"]);
        assert_eq!(both([Some(0.1), None]), "-");
    }
}
