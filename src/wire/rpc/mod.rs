//! The JSON-RPC envelope as borrowed slices, validated in one pass; splicing without re-encoding.
//!
//! | file | what it holds |
//! |---|---|
//! | `scan.rs` | the one strict pass over a text: RFC 8259, depth, duplicate keys, surrogates |
//! | `text.rs` | runs of plain string bytes, escapes, quoting |
//! | `keys.rs` | the keys of the objects that are open, and whether one came twice |
//! | `members.rs` | the members of one object, noted as the pass comes by them |
//! | `envelope.rs` | a body → requests, notifications, responses |
//! | `walk.rs` | fields, items and values of a text the pass has accepted |
//! | `splice.rs` | messages around raw spans; members set or removed, the rest copied verbatim |
//!
//! Nothing here knows MCP. What is decided on is what is forwarded: spans point into the body that was read.

mod envelope;
mod keys;
mod members;
mod scan;
mod splice;
mod text;
mod walk;

pub use envelope::{Envelope, Message, MessageKind, RpcFault, parse};
pub use keys::Name;
pub use members::Members;
pub use scan::validate;
pub use splice::{
    Edit, append, edit, error, error_body, error_object, notification, number, one_line, quote, quoted, request,
    result, result_of,
};
pub use walk::{
    Field, Fields, Items, array_items, boolean, field, integer, is_array, is_null, is_object, is_string, object_fields,
    string,
};
