//! Frames drawn from answers of a relay.

use baton_api::figures::Figures;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::draw::{View, draw};
use super::picture::{Look, Picture, SortBy};

/// A look, `step` of them after the first.
fn look(step: u64) -> Look {
    let (delivered, deferred) = (1_000 + 50 * step, 20 + 10 * step);
    let figures = format!(
        "# HELP baton_session_messages_accepted Messages accepted.\n\
         baton_session_messages_accepted_total {delivered}\n\
         baton_listener_sessions_open{{listener=\"smtp\"}} 3\n\
         baton_delivery_recipients_total{{outcome=\"delivered\",class=\"none\"}} {delivered}\n\
         baton_delivery_recipients_total{{outcome=\"deferred\",class=\"rate\"}} {deferred}\n\
         baton_delivery_sent_total{{provider=\"google\",source=\"a\",outcome=\"delivered\"}} {delivered}\n\
         baton_delivery_site_recipients_total{{site=\"mx.busy.example\",source=\"a\",outcome=\"delivered\"}} {delivered}\n\
         baton_delivery_site_recipients_total{{site=\"mx.busy.example\",source=\"a\",outcome=\"deferred\"}} {deferred}\n\
         baton_delivery_site_attempts_total{{site=\"mx.busy.example\",source=\"a\"}} {delivered}\n\
         baton_delivery_site_attempt_seconds_total{{site=\"mx.busy.example\",source=\"a\"}} {}\n\
         baton_delivery_site_attempts_total{{site=\"other\",source=\"other\"}} 7\n\
         baton_delivery_attempt_seconds_bucket{{le=\"0.064\"}} {delivered}\n\
         baton_delivery_attempt_seconds_bucket{{le=\"+Inf\"}} {delivered}\n# EOF\n",
        delivered / 4
    );
    let sites = json!({"sites": [
        {"site": "mx.slow.example", "provider": null, "source": "b", "ready": 12, "connections": 1,
         "allowed": 1, "bound": 20, "slower": 4.0, "waits": "waits for the message rate of mx.slow.example (1/m)"},
        {"site": "mx.busy.example", "provider": "google", "source": "a", "ready": 2, "connections": 5,
         "allowed": 20, "bound": 20, "slower": 1.0, "waits": null},
    ]});
    let queue = json!({"ready": 14, "waiting": 2, "held": 1, "claimed": 3, "octets": 4096,
        "queues": [{"queue": "slow.example", "jobs": 12, "octets": 2048}, {"queue": "", "jobs": 3, "octets": 9}],
        "truncated": false});
    let measures = json!({"now": 1_700_000_000_000_u64, "measures": [
        {"id": "4f2k9x", "action": "suspend", "scope": {"tenant": "acme"}, "rule": "operator ann",
         "reason": "did not pay", "since": 1_700_000_000_000_u64, "until": 1_700_003_600_000_u64},
    ]});
    Look {
        figures: Figures::read(&figures),
        sites: serde_json::from_value(sites).unwrap(),
        queue: serde_json::from_value(queue).unwrap(),
        measures: serde_json::from_value(measures).unwrap(),
    }
}

/// The lines of a screen of this size.
fn screen(view: View, columns: u16, lines: u16) -> Vec<String> {
    let picture = Picture::of(&look(0), &look(1), 1.0);
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal.draw(|frame| draw(&picture, view, frame.area(), frame.buffer_mut())).unwrap();
    let text = terminal.backend().to_string();
    text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
}

#[test]
fn a_frame_shows_what_happened_between_two_looks() {
    let lines = screen(View::default(), 140, 40);
    let text = lines.join("\n");
    for part in [
        "3 sessions, 50 accepted/s",
        "50 delivered/s, 10 deferred/s, 0 failed/s",
        "delivery 64 ms, 64 ms",
        "14 ready, 2 waiting, 1 held, 3 in delivery; 4.0 KiB",
        "tenant acme suspended (1 h left) by operator ann: did not pay",
        "sites (3)",
        "out   0 connections",
        "waits for the message rate of",
        "slow.example",
        "other ",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let busy = lines.iter().find(|line| line.starts_with("mx.busy.example")).unwrap();
    let words: Vec<&str> = busy.split_whitespace().collect();
    assert_eq!(
        words,
        ["mx.busy.example", "google", "a", "2", "5/20", "50", "10", "0", "240", "ms"],
        "{text}"
    );
}

#[test]
fn sites_are_sorted_as_chosen() {
    let first = |sort| {
        let lines = screen(View { sort, ..View::default() }, 140, 40);
        let header = lines.iter().position(|line| line.starts_with("site ")).unwrap();
        lines[header + 1].split(' ').next().unwrap().to_owned()
    };
    assert_eq!(first(SortBy::Ready), "mx.slow.example");
    assert_eq!(first(SortBy::Rate), "mx.busy.example");
    assert_eq!(first(SortBy::Name), "mx.busy.example");
}

#[test]
fn every_size_of_a_terminal_will_do() {
    for (columns, lines) in [(1, 1), (20, 5), (80, 24), (400, 100)] {
        assert_eq!(screen(View { scrolled: 9, ..View::default() }, columns, lines).len(), usize::from(lines));
    }
}
