//! How a message is refused: the error, the HTTP status, the id to echo and the data a code demands.

use super::caps::ClientCaps;
use super::revision::Revision;
use crate::base::error::{Error, Kind};
use crate::wire::rpc::{self, RpcFault};

/// A refused message, ready to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What went wrong; its kind gives the JSON-RPC code.
    pub error: Error,
    /// The HTTP status: the kind's own, or 200 where the answer travels in band.
    pub status: u16,
    /// The raw id of the request, where it has one.
    pub id: Option<Box<[u8]>>,
    /// The raw `error.data`, where the code demands it.
    pub data: Option<Box<[u8]>>,
}

impl Refusal {
    /// A refusal with the error's own HTTP status.
    pub fn new(error: Error, id: Option<&[u8]>) -> Self {
        Self { status: error.kind.http_status(), error, id: id.map(Box::from), data: None }
    }

    /// A refusal that travels as a JSON-RPC error on a 200: what handlers answer (docs/protocol.md 2), and everything
    /// that a legacy session's message gets, where 404 would mean that the session is gone.
    pub fn in_band(error: Error, id: Option<&[u8]>) -> Self {
        Self { status: 200, ..Self::new(error, id) }
    }

    /// `-32022` with the revisions we serve (docs/protocol.md 1, step 5).
    pub(super) fn unsupported(asked: &str, id: Option<&[u8]>) -> Self {
        let error = Error::new(Kind::UnsupportedVersion, "protocol version is not served here; see data.supported");
        let mut data = format!(r#"{{"supported":{},"requested":"#, Revision::SUPPORTED_MODERN).into_bytes();
        rpc::quote(&mut data, asked);
        data.push(b'}');
        Self { data: Some(data.into()), ..Self::new(error, id) }
    }

    /// `-32021` with the capabilities that the request needs of its client (2026-07-28 schema,
    /// `MissingRequiredClientCapabilityError`).
    pub fn missing(needed: ClientCaps, id: Option<&[u8]>) -> Self {
        let error = Error::new(Kind::MissingCapability, "client lacks a capability; see data.requiredCapabilities");
        let needed = needed.declared(Revision::NEWEST_MODERN);
        let data = [br#"{"requiredCapabilities":"#, &*needed, b"}"].concat();
        Self { data: Some(data.into()), ..Self::new(error, id) }
    }

    /// The body to answer with.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let code = self.error.kind.rpc_code();
        rpc::error(&mut out, self.id.as_deref(), code, &self.error.context, self.data.as_deref());
        out
    }
}

impl From<RpcFault> for Refusal {
    fn from(fault: RpcFault) -> Self {
        Self::new(fault.error, fault.id.as_deref())
    }
}
