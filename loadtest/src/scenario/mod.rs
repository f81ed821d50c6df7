//! Scenarios: what the clients of a run do, read from a TOML file or from those built in.

mod builtin;
mod compile;
mod file;

pub use builtin::{Builtin, builtins};

use crate::failure::Failure;
use crate::order::Era;
use std::path::Path;
use std::time::Duration;

/// What the clients of a run do, checked and complete. The keys of a scenario file are those of `file.rs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name; a report carries it.
    pub name: String,
    /// What it shows, in one sentence.
    pub description: String,
    /// The eras it makes sense in; the first is the one it runs in unless told. Never empty.
    pub eras: Vec<Era>,
    /// What kind of server stands behind the gate: for commands that start the gate themselves.
    pub server: ServerKind,
    /// Requests a second where the command line does not say.
    pub rate: f64,
    /// Share of `tools/list` and `tools/call` among the requests; not both 0.
    pub mix: Mix,
    /// Which tools are called.
    pub tools: Tools,
    /// Tools the target must list; fewer is an error before the run.
    pub tools_min: usize,
    /// Bytes a `tools/call` body is padded to; nothing: no padding.
    pub request_bytes: Option<usize>,
    /// Bytes of text asked of the tool `sized`.
    pub answer_bytes: usize,
    /// Milliseconds the tool `slow` is asked to take.
    pub answer_ms: u64,
    /// Which keys are used when.
    pub keys: Keys,
    /// Pause of a connection between an answer and its next request.
    pub think: Duration,
    /// Requests after which a connection is closed and opened anew; nothing: never.
    pub reconnect_after: Option<u64>,
    /// Requests after which a legacy session is ended and another begun; nothing: never.
    pub session_requests: Option<u64>,
    /// How fast answers are read.
    pub reader: Reading,
    /// Progress asked of the tool `progress`.
    pub progress: Option<Progress>,
    /// Streams held open and idle beside the load: `subscriptions/listen`, or sessions with a GET stream.
    pub idle_streams: usize,
}

/// What kind of server stands behind the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// A server that listens.
    #[default]
    Http,
    /// A server that the gate starts as its child and talks to over pipes.
    Stdio,
}

/// Weights of the methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Weight of `tools/list`.
    pub list: u32,
    /// Weight of `tools/call`.
    pub call: u32,
}

/// Which tools are called.
#[derive(Clone, Debug, PartialEq)]
pub enum Tools {
    /// This one, by its name without the target's prefix.
    One(String),
    /// All that are listed, in turn.
    RoundRobin,
    /// All that are listed, the n-th with a weight of `1 / n^exponent`.
    Zipf(f64),
}

/// Which keys are used when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Keys the scenario needs of a target that has any.
    pub count: usize,
    /// When the next one is taken.
    pub per: KeyPer,
}

/// When the next key is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPer {
    /// Each connection keeps one.
    #[default]
    Connection,
    /// Each request of a connection carries the next.
    Request,
}

/// How fast answers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As fast as they come.
    Eager,
    /// A few bytes at a time.
    Sips {
        /// Bytes of one read.
        bytes: usize,
        /// Pause after it.
        pause: Duration,
    },
}

/// Progress asked of the tool `progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Notifications before the answer.
    pub events: u32,
    /// Milliseconds between them.
    pub every_ms: u64,
}

impl Scenario {
    /// The scenario of a built-in's name, or of a file.
    ///
    /// # Errors
    /// Neither is there, or the file is wrong: the words name file, line and what is wrong.
    pub fn load(place: &Path) -> Result<Self, Failure> {
        if let Some(builtin) = place.to_str().and_then(builtin::find) {
            return compile::compile(&format!("built-in scenario {}", builtin.name), builtin.text);
        }
        let text = std::fs::read_to_string(place).map_err(|error| unreadable(place, &error))?;
        compile::compile(&place.display().to_string(), &text)
    }

    /// The era a run speaks: the one asked for, else the scenario's first.
    ///
    /// # Errors
    /// The scenario makes no sense in the one asked for.
    pub fn era(&self, asked: Option<Era>) -> Result<Era, Failure> {
        match asked {
            Some(era) if !self.eras.contains(&era) => {
                let words = format!("scenario {} makes no sense in the {} era; leave --era out", self.name, name(era));
                Err(Failure::usage(words))
            }
            Some(era) => Ok(era),
            None => Ok(self.eras.first().copied().unwrap_or(Era::Modern)),
        }
    }
}

fn name(era: Era) -> &'static str {
    match era {
        Era::Modern => "modern",
        Era::Legacy => "legacy",
    }
}

fn unreadable(place: &Path, error: &std::io::Error) -> Failure {
    let names: Vec<_> = builtins().iter().map(|builtin| builtin.name).collect();
    let words =
        format!("scenario {}: {error}; give a file, or one of the built-in {}", place.display(), names.join(", "));
    Failure::usage(words)
}
