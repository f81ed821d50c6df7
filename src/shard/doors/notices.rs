//! What both eras make of a call: its words for the log and the record, its notifications, its answer.

use crate::base::error::Result;
use crate::catalog::Tool;
use crate::mcp::bridge::{self, Bridge, Bridged};
use crate::mcp::headers::{HeaderValue, check_params};
use crate::mcp::meta::{LogLevel, Meta};
use crate::mcp::progress::Notices;
use crate::mcp::revision::Era;
use crate::mcp::trace::TraceContext;
use crate::rt::random;
use crate::shard::relay::{retry_after, status_of};
use crate::upstream::answer::{Answer, CallMeta, Outcome};
use crate::upstream::said::{Event, EventKind, Said};
use crate::wire::http::RequestHead;
use crate::wire::rpc;

/// The trace a call is in: the client's, or one of our own.
pub(crate) fn trace_of(meta: &Meta<'_>) -> TraceContext {
    meta.trace().unwrap_or_else(|| TraceContext::fresh(random::label()))
}

/// What goes upstream in `_meta`: our own span under the client's trace, and whether anybody listens for progress.
pub(crate) fn call_meta<'a>(meta: &'a Meta<'_>, trace: TraceContext, logs: Option<LogLevel>) -> CallMeta<'a> {
    CallMeta {
        progress: meta.progress_token.is_some(),
        log_level: logs,
        trace: Some(trace.child(random::label())),
        tracestate: meta.tracestate.as_deref(),
    }
}

/// The client's message for what its call says, if it is to see it. A modern client is asked in answers alone.
pub(crate) fn hear(notices: &mut Notices, said: Said) -> Option<Vec<u8>> {
    match said {
        Said::Event(event) => tell(notices, &event),
        Said::Question(_) => None,
    }
}

/// The client's message for an event of its call, if it is to see it.
pub(crate) fn tell(notices: &mut Notices, event: &Event) -> Option<Vec<u8>> {
    match event.kind {
        EventKind::Progress => notices.progress(&event.params),
        EventKind::Log => notices.log(&event.params),
        EventKind::Visited => Some(visited(&event.params)),
    }
}

/// The word that a page was visited, for the legacy client that was asked to (2025-11-25 client/elicitation).
pub(crate) fn visited(params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.len() + 80);
    rpc::notification(&mut out, "notifications/elicitation/complete", Some(params));
    out
}

/// Whether the `Mcp-Param-*` headers say what the arguments say (2026-07-28 transports, custom headers).
pub(crate) fn check_mirrored(head: &RequestHead, tool: &Tool, arguments: Option<&[u8]>) -> Result<()> {
    check_params(tool.header_params(), arguments, |name| head_value(head, name))
}

/// A header by a name that does not outlive the question.
fn head_value<'h>(head: &'h RequestHead, name: &str) -> HeaderValue<'h> {
    HeaderValue::collect(head.all_headers().filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// The answer of a call as its client reads it, with the HTTP status it has where none was sent yet.
pub(crate) fn finish(bridge: &Bridge<'_>, id: &[u8], answer: &Result<Answer>) -> Bridged {
    match answer {
        Ok(answer) => {
            let raw = match &answer.outcome {
                Outcome::Result(result) => bridge::Answer::Result(result, result.gist()),
                Outcome::Error(raw) => bridge::Answer::Error(raw),
            };
            bridge::call_answer(bridge, id, raw)
        }
        Err(error) => Bridged {
            body: rpc::error_body(Some(id), error),
            status: status_of(error.kind),
            retry_after: retry_after(error),
            outcome: bridge::Outcome::Unusable,
        },
    }
}

/// The era an answer came in; our own errors belong to the client's.
pub(crate) fn era_of(answer: &Result<Answer>, client: Era) -> Era {
    match answer {
        Ok(answer) => answer.era,
        Err(_) => client,
    }
}
