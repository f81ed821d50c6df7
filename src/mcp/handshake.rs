//! What a legacy client's `initialize` asks, and the session it gets.

use super::caps::ClientCaps;
use super::meta::{ClientInfo, cut, wrong};
use super::revision::Revision;
use super::session::Session;
use crate::base::clock::WallTime;
use crate::base::error::Result;
use crate::base::ids::KeyId;
use crate::rt::random;
use crate::wire::rpc;

/// An `initialize` request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialize<'a> {
    /// The raw id.
    pub id: &'a [u8],
    /// The revision the session will have.
    pub revision: Revision,
    /// Who the client says it is.
    pub client: ClientInfo<'a>,
    /// What the client can do.
    pub caps: ClientCaps,
}

impl<'a> Initialize<'a> {
    /// Reads the raw `params`.
    ///
    /// # Errors
    /// `Kind::InvalidParams` where `protocolVersion`, `capabilities` or `clientInfo` is missing or of the wrong type.
    pub(super) fn read(id: &'a [u8], params: Option<&'a [u8]>) -> Result<Self> {
        let part = |key| params.and_then(|params| rpc::field(params, key));
        let asked =
            part("protocolVersion").and_then(rpc::string).ok_or_else(|| wrong("protocolVersion must be a string"))?;
        let caps = part("capabilities").filter(|raw| rpc::is_object(raw));
        let caps = caps.ok_or_else(|| wrong("capabilities must be an object"))?;
        let client = ClientInfo::read(part("clientInfo").unwrap_or_default())?;
        let revision = Revision::negotiate(&asked);
        Ok(Self { id, revision, client, caps: ClientCaps::read(caps, revision) })
    }

    /// The session it opens for a key, with a fresh random id.
    pub fn session(&self, key: KeyId, now: WallTime) -> Session {
        let mut id = [0; 16];
        random::fill(&mut id);
        Session {
            key,
            revision: self.revision,
            client_name: cut(&self.client.name).into(),
            client_version: cut(&self.client.version).into(),
            caps: self.caps,
            created: now,
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;
    use serde_json::{Value, json};

    fn good() -> Value {
        let client = json!({"name": "codex", "version": "0.169"});
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})
    }

    #[test]
    fn a_session_carries_what_the_client_said() {
        let mut params = good();
        params["clientInfo"]["name"] = json!("n".repeat(500));
        let params = params.to_string();
        let initialize = Initialize::read(b"1", Some(params.as_bytes())).unwrap();
        let key = KeyId::parse("k1").unwrap();
        let session = initialize.session(key, WallTime(5));
        assert_eq!((session.key, session.revision, session.created), (key, Revision::V2025_06_18, WallTime(5)));
        assert_eq!((session.client_name.len(), &*session.client_version), (64, "0.169"));
        assert_ne!(session.id, initialize.session(key, WallTime(5)).id);
    }

    /// 2025-11-25 basic/lifecycle: all three members are required.
    #[test]
    fn what_is_missing_or_wrong_is_invalid_params() {
        assert_eq!(Initialize::read(b"1", None).unwrap_err().kind, Kind::InvalidParams);
        let wrong = json!({"protocolVersion": 1, "capabilities": [], "clientInfo": {"name": "n"}});
        for key in ["protocolVersion", "capabilities", "clientInfo"] {
            let mut params = good();
            params[key] = wrong[key].clone();
            assert!(Initialize::read(b"1", Some(params.to_string().as_bytes())).is_err(), "{key}");
            params.as_object_mut().unwrap().remove(key);
            assert!(Initialize::read(b"1", Some(params.to_string().as_bytes())).is_err(), "{key}");
        }
    }
}
