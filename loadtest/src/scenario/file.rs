//! A scenario file as it is written. Unknown keys are errors; what a key means stands here and in the README.

use super::{KeyPer, ServerKind};
use crate::order::Era;
use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Its name.
    pub(super) name: Spanned<String>,
    /// What it shows, in one sentence.
    pub(super) description: String,
    /// Eras it makes sense in, the default first.
    #[serde(default = "modern")]
    pub(super) eras: Spanned<Vec<Era>>,
    /// `http` or `stdio`.
    #[serde(default)]
    pub(super) server: ServerKind,
    /// Requests a second where the command line does not say.
    #[serde(default = "thousand")]
    pub(super) rate: Spanned<f64>,
    #[serde(default = "calls_only")]
    pub(super) mix: Spanned<MixTable>,
    #[serde(default)]
    pub(super) tools: ToolsTable,
    #[serde(default)]
    pub(super) request: RequestTable,
    #[serde(default)]
    pub(super) answer: AnswerTable,
    #[serde(default)]
    pub(super) keys: KeysTable,
    #[serde(default)]
    pub(super) connection: ConnectionTable,
    #[serde(default)]
    pub(super) session: SessionTable,
    #[serde(default)]
    pub(super) reader: ReaderTable,
    pub(super) progress: Option<Spanned<ProgressTable>>,
    #[serde(default)]
    pub(super) idle: IdleTable,
}

fn modern() -> Spanned<Vec<Era>> {
    Spanned::new(0..0, vec![Era::Modern])
}

fn thousand() -> Spanned<f64> {
    Spanned::new(0..0, 1000.0)
}

fn calls_only() -> Spanned<MixTable> {
    Spanned::new(0..0, MixTable { list: 0, call: 1 })
}

/// `[mix]`: weights of the methods.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MixTable {
    /// Weight of `tools/list`.
    #[serde(default)]
    pub(super) list: u32,
    /// Weight of `tools/call`.
    #[serde(default)]
    pub(super) call: u32,
}

/// `[tools]`: which are called.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolsTable {
    /// `one`, `round-robin` or `zipf`.
    #[serde(default)]
    pub(super) pick: Pick,
    /// The one tool, without the target's prefix.
    pub(super) name: Option<Spanned<String>>,
    /// Exponent of `zipf`.
    pub(super) exponent: Option<Spanned<f64>>,
    /// Tools the target must list.
    #[serde(default)]
    pub(super) at_least: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Pick {
    #[default]
    One,
    RoundRobin,
    Zipf,
}

/// `[request]`: what a call carries.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestTable {
    /// Bytes of the whole body, reached by padding an argument.
    pub(super) bytes: Option<Spanned<usize>>,
}

/// `[answer]`: what the fake upstream is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerTable {
    /// Bytes of text, of the tool `sized`.
    pub(super) bytes: Option<Spanned<usize>>,
    /// Milliseconds it takes, of the tool `slow`.
    pub(super) ms: Option<Spanned<u64>>,
}

/// `[keys]`: how many, and when the next is taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysTable {
    /// Keys the target must accept.
    #[serde(default = "one")]
    pub(super) count: usize,
    /// `connection` or `request`.
    #[serde(default = "connection")]
    pub(super) per: Spanned<KeyPer>,
}

impl Default for KeysTable {
    fn default() -> Self {
        Self { count: one(), per: connection() }
    }
}

fn connection() -> Spanned<KeyPer> {
    Spanned::new(0..0, KeyPer::Connection)
}

fn one() -> usize {
    1
}

/// `[connection]`: how connections behave.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectionTable {
    /// Requests after which it is closed and opened anew; 0: never.
    #[serde(default)]
    pub(super) requests: u64,
    /// Milliseconds between an answer and the connection's next request.
    #[serde(default)]
    pub(super) think_ms: u64,
}

/// `[session]`: how legacy sessions behave.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionTable {
    /// Requests after which it is ended and another begun; 0: never.
    #[serde(default)]
    pub(super) requests: u64,
}

/// `[reader]`: how answers are read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReaderTable {
    /// Bytes of one read; left out: as they come.
    pub(super) sip_bytes: Option<Spanned<usize>>,
    /// Milliseconds between two reads.
    #[serde(default)]
    pub(super) pause_ms: u64,
}

/// `[progress]`: what the tool `progress` is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgressTable {
    /// Notifications before the answer.
    pub(super) events: u32,
    /// Milliseconds between them.
    pub(super) every_ms: u64,
}

/// `[idle]`: what is held open beside the load.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdleTable {
    /// Streams: `subscriptions/listen`, or legacy sessions with a GET stream.
    #[serde(default)]
    pub(super) streams: usize,
}
