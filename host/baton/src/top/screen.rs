//! The terminal: taken for a while, and given back as it was, whatever happens.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Frame};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// How long the thread that reads keys waits before it looks whether anybody still wants them.
const LOOK: Duration = Duration::from_millis(100);

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort,
    Pause,
    Up,
    Down,
    /// Nothing, or the terminal has another size: it is drawn anew.
    Other,
}

/// The whole terminal. Dropping it gives it back; a panic does too.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    keys: mpsc::Receiver<io::Result<Key>>,
    ended: [Signal; 2],
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn open() -> Result<Screen> {
        let ended = [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
        let terminal = ratatui::try_init().context("there is no terminal; --once prints a single frame")?;
        let (sender, keys) = mpsc::channel(16);
        std::thread::spawn(move || {
            while !sender.is_closed() {
                let key = match event::poll(LOOK) {
                    Ok(false) => continue,
                    Ok(true) => event::read().map(meaning),
                    Err(error) => Err(error),
                };
                let is_over = key.is_err();
                if sender.blocking_send(key).is_err() || is_over {
                    return;
                }
            }
        });
        Ok(Screen { terminal, keys, ended })
    }

    /// Draws a frame.
    pub(super) fn show(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.terminal.draw(draw)?;
        Ok(())
    }

    /// The next key. A signal to end is one too.
    pub(super) async fn key(&mut self) -> Result<Key> {
        let [term, hangup] = &mut self.ended;
        tokio::select! {
            key = self.keys.recv() => Ok(key.unwrap_or(Ok(Key::Quit))?),
            _ = term.recv() => Ok(Key::Quit),
            _ = hangup.recv() => Ok(Key::Quit),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn meaning(event: Event) -> Key {
    let Event::Key(key) = event else { return Key::Other };
    if key.kind == KeyEventKind::Release {
        return Key::Other;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('s') => Key::Sort,
        KeyCode::Char('p' | ' ') => Key::Pause,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_have_their_meanings() {
        let key = |code, modifiers| meaning(Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Key::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Key::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Key::Other);
        assert_eq!(meaning(Event::Resize(80, 24)), Key::Other);
    }
}
