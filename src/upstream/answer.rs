//! One request of a client as it is handed to a server, and what its server answers.

use crate::base::buf::Piece;
use crate::base::ids::KeyId;
use crate::mcp::caps::ClientCaps;
use crate::mcp::meta::LogLevel;
use crate::mcp::result::{RawResult, ResultKind};
use crate::mcp::revision::Era;
use crate::mcp::trace::TraceContext;
use crate::mcp::vendor::Carried;
use crate::upstream::operation::{Input, Operation, OwnedInput, OwnedOperation};

/// Whose session or process of a server a call runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScopeKey {
    /// The one that all keys share.
    #[default]
    Shared,
    /// That of one key.
    Key(KeyId),
    /// That of one downstream session of a key.
    Session(KeyId, [u8; 16]),
    /// The gate's own, for listing, where callers do not share one.
    Gate,
}

/// One request, ready for any transport. All of it is borrowed: from the client's request and the snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpstreamCall<'a> {
    /// What the server is asked for.
    pub operation: Operation<'a>,
    /// What the client answers to what the server asked in an earlier round.
    pub input: Input<'a>,
    /// What goes into `params._meta` beside what the gate itself puts there.
    pub meta: CallMeta<'a>,
    /// What the client can do and policy lets this server ask of it: just this is declared to the server.
    pub caps: ClientCaps,
    /// What goes to a modern server of extensions that the gate does not know.
    pub vendor: Carried<'a>,
    /// The client's era: a server that speaks both is spoken to in it.
    pub client: Era,
    /// Whose session or process it runs in, already reduced by [`Scope`](crate::upstream::spec::Scope).
    pub scope: ScopeKey,
}

/// The members of `params._meta` that a caller decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallMeta<'a> {
    /// Whether progress is wanted. The token is our own id.
    pub progress: bool,
    /// The least log level wanted, for servers of the modern era.
    pub log_level: Option<LogLevel>,
    /// The gate's own span, the parent of the server's.
    pub trace: Option<TraceContext>,
    /// The trace's vendor state, passed on.
    pub tracestate: Option<&'a str>,
}

/// The owned form of [`CallMeta`].
#[derive(Clone, Debug)]
pub struct OwnedMeta {
    progress: bool,
    log_level: Option<LogLevel>,
    trace: Option<TraceContext>,
    tracestate: Option<Box<str>>,
}

impl From<CallMeta<'_>> for OwnedMeta {
    fn from(CallMeta { progress, log_level, trace, tracestate }: CallMeta<'_>) -> Self {
        Self { progress, log_level, trace, tracestate: tracestate.map(Into::into) }
    }
}

impl OwnedMeta {
    /// What it says.
    pub fn borrowed(&self) -> CallMeta<'_> {
        let Self { progress, log_level, trace, tracestate } = self;
        CallMeta { progress: *progress, log_level: *log_level, trace: *trace, tracestate: tracestate.as_deref() }
    }
}

/// A call that owns what it says, to cross to the server's home shard.
#[derive(Debug)]
pub struct OwnedCall {
    operation: OwnedOperation,
    input: OwnedInput,
    meta: OwnedMeta,
    caps: ClientCaps,
    extensions: Box<[u8]>,
    vendor_meta: Box<[u8]>,
    client: Era,
    scope: ScopeKey,
}

impl From<&UpstreamCall<'_>> for OwnedCall {
    fn from(call: &UpstreamCall<'_>) -> Self {
        Self {
            operation: call.operation.into(),
            input: call.input.into(),
            meta: call.meta.into(),
            caps: call.caps,
            extensions: call.vendor.extensions.into(),
            vendor_meta: call.vendor.meta.into(),
            client: call.client,
            scope: call.scope,
        }
    }
}

impl OwnedCall {
    /// The call it is.
    pub fn as_call(&self) -> UpstreamCall<'_> {
        UpstreamCall {
            operation: self.operation.borrowed(),
            input: self.input.borrowed(),
            meta: self.meta.borrowed(),
            caps: self.caps,
            vendor: Carried { extensions: &self.extensions, meta: &self.vendor_meta },
            client: self.client,
            scope: self.scope,
        }
    }
}

/// What a server answered: the raw JSON of one member of its response, which the bridge brings into the client's era.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The result, or the error object.
    pub outcome: Outcome,
    /// The era it is written in.
    pub era: Era,
}

impl Answer {
    /// The raw value of the member it is.
    pub fn raw(&self) -> &[u8] {
        match &self.outcome {
            Outcome::Result(raw) => raw,
            Outcome::Error(raw) => raw,
        }
    }

    /// Whether a modern server wants input from the client before it answers (`resultType: "input_required"`).
    pub fn asks_for_input(&self) -> bool {
        let Outcome::Result(result) = &self.outcome else { return false };
        self.era == Era::Modern && result.gist().kind == ResultKind::InputRequired
    }
}

/// The two ways a JSON-RPC response can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The raw value of `result`.
    Result(RawResult),
    /// The raw value of `error`: an object with `code` and `message`.
    Error(Piece),
}
