//! The terminal as a screen, and back: whatever happens, the shell gets it as it was.

use super::draw;
use super::picture::Picture;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};
use std::io::{self, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether the terminal is a screen now.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// The terminal while it is a screen.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Makes the terminal a screen. A panic of any thread makes it a terminal again before it is reported.
    pub(super) fn open() -> io::Result<Self> {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            put_back();
            report(panic);
        }));
        enable_raw_mode()?;
        IS_OPEN.store(true, Ordering::SeqCst);
        let opened = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide);
        let terminal = opened.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        terminal.map(|terminal| Self { terminal }).inspect_err(|_| put_back())
    }

    /// Draws, unless the terminal was put back meanwhile. A terminal that went away is no reason to end a measurement.
    pub(super) fn draw(&mut self, picture: &Picture, ends: bool) {
        if IS_OPEN.load(Ordering::SeqCst) {
            let _ = self.terminal.draw(|frame| draw::all(frame, picture, ends));
        }
    }

    /// Whether `q`, Escape or Ctrl-C was pressed since the last look.
    pub(super) fn is_left(&self) -> bool {
        let mut left = false;
        while IS_OPEN.load(Ordering::SeqCst) && event::poll(Duration::ZERO).unwrap_or(false) {
            match event::read() {
                Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => {
                    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                    left |= is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        left
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        put_back();
    }
}

/// Makes the screen a terminal again; does nothing where it is one.
pub(super) fn put_back() {
    if IS_OPEN.swap(false, Ordering::SeqCst) {
        // Nothing is left to be done about a terminal that does not take this.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}
