//! Rank 3: a run while it runs: a live view on a terminal, else one plain line a second.
//!
//! Watching must not disturb what is watched: a tick costs this thread one small redraw, and the target is asked
//! nothing. The view is on standard output where that is a terminal; lines go to standard error, so that standard
//! output has the result and nothing else.

mod draw;
mod picture;
mod stop;
mod terminal;

pub use picture::Heading;
pub use stop::Stop;

use crate::failure::Failure;
use crate::measure::Tick;
use picture::Picture;
use std::io::IsTerminal as _;
use terminal::Screen;

/// How a run is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Watch {
    /// The live view where standard output is a terminal, else lines
    #[default]
    Auto,
    /// The live view
    Screen,
    /// One line a second on standard error
    Lines,
    /// Nothing until the end
    Nothing,
}

/// A run while it runs.
pub struct Live {
    picture: Picture,
    screen: Option<Screen>,
    lines: bool,
    stop: Stop,
}

impl Live {
    /// Begins to watch. `stop` is asked to end the run when the person who watches does.
    ///
    /// # Errors
    /// The terminal cannot be used as a screen.
    pub fn start(watch: Watch, heading: Heading, stop: Stop) -> Result<Self, Failure> {
        let is_screen = match watch {
            Watch::Auto => std::io::stdout().is_terminal(),
            Watch::Screen => true,
            Watch::Lines | Watch::Nothing => false,
        };
        let lines = !is_screen && watch != Watch::Nothing;
        let screen = is_screen.then(Screen::open).transpose();
        let screen = screen.map_err(|error| Failure::new(format!("the live view: {error}; try --watch lines")))?;
        Ok(Self { picture: Picture::new(heading), screen, lines, stop })
    }

    /// Shows a tick, and looks whether somebody pressed `q`.
    pub fn show(&mut self, tick: &Tick) {
        let second = self.picture.take(tick);
        if let Some(screen) = &mut self.screen {
            if screen.is_left() {
                self.stop.ask();
            }
            screen.draw(&self.picture, self.stop.is_asked());
        }
        if self.lines && second {
            eprintln!("{}", self.picture.line());
        }
    }
}

#[cfg(test)]
mod tests;
