//! Rank 4: what MCP messages mean, per era. Pure: spans and values in, values and bytes out; no socket, no clock.
//!
//! | file | the question it answers |
//! |---|---|
//! | `revision.rs` | which revisions there are, and of which era |
//! | `inbound.rs` | what a POST is: modern, `initialize`, or a message of a session |
//! | `question.rs` | what servers ask of clients, and the answers, in both eras |
//! | `input.rs` | calls that need input: what is asked, and the request that comes again |
//! | `approval.rs` | what a client is told of a call that waits for an approval |
//! | `state.rs` | the sealed state of a call that waits for input |
//! | `legacy.rs` | what a message of a legacy session asks for |
//! | `refusal.rs` | what a refused message is answered: status, code, id |
//! | `meta.rs` | what `params` and `_meta` say: tokens, client, level, trace |
//! | `headers.rs` | whether mirrored headers agree with the body; the headers we send |
//! | `caps.rs` | what a client can do for a server, declared and held against what is asked |
//! | `handshake.rs` | what `initialize` asks and which revision it gets |
//! | `seal.rs` | what the gate gives a client to keep, and takes back only unaltered |
//! | `session.rs` | the sealed state that a legacy session id is |
//! | `event_id.rs` | which stream the id of an event names, and where in it |
//! | `model.rs` | what the gate says of itself |
//! | `list.rs` | the answer to a list's request around the rendered page, and its cursor |
//! | `call.rs` | what a `tools/call` asks |
//! | `result.rs` | a server's raw result, and what of it decides how it is carried on |
//! | `bridge.rs` | a server's answer in the client's era |
//! | `task.rs` | results that come later, under an id |
//! | `subscribe.rs` | listen streams and `list_changed` |
//! | `progress.rs` | which notifications of a call reach its client, under which token |
//! | `trace.rs` | W3C trace context |

pub mod approval;
pub mod bridge;
pub mod call;
pub mod caps;
pub mod event_id;
pub mod handshake;
pub mod headers;
pub mod inbound;
pub mod input;
pub mod legacy;
pub mod list;
pub mod meta;
pub mod model;
pub mod progress;
pub mod question;
pub mod refusal;
pub mod result;
pub mod revision;
pub mod seal;
pub mod session;
pub mod skill;
pub mod state;
pub mod subscribe;
pub mod task;
pub mod trace;
pub mod vendor;
