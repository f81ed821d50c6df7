//! What one server listed: its tool definitions as they came, and when. Also the form in which the last good list is
//! kept on disk: `{"server","era","fetched_at_ms","tools":[…]}`.

use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::SERVER_TOOLS_MAX;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The protocol era spoken to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    /// 2026-07-28 and later: no handshake.
    Modern,
    /// 2025-11-25 and earlier: `initialize`.
    Legacy,
}

/// The tools of one server as it listed them, all pages in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerList {
    /// The server's name in the configuration.
    pub server: Box<str>,
    /// The era the list was fetched over.
    pub leg: Leg,
    /// When the last page came.
    pub fetched_at: WallTime,
    /// Whether this is a last good list of a server that does not answer now.
    pub stale: bool,
    /// The definitions, each one JSON object exactly as the server wrote it.
    pub tools: Vec<Bytes>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    server: Box<str>,
    era: Leg,
    fetched_at_ms: u64,
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
}

impl ServerList {
    /// The list of a server that has not answered yet and left none on disk.
    pub fn empty(server: &str) -> Self {
        Self { server: server.into(), leg: Leg::Modern, fetched_at: WallTime(0), stale: true, tools: Vec::new() }
    }

    /// The form kept on disk. Definitions stay byte for byte; whether it is stale is not kept.
    ///
    /// # Errors
    /// `Kind::BadAnswer` if a definition is not JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let raw = |tool| serde_json::from_slice::<&RawValue>(tool);
        let tools = self.tools.iter().map(|tool| raw(tool.as_ref())).collect::<std::result::Result<_, _>>();
        let stored = tools.map(|tools| Stored {
            server: self.server.clone(),
            era: self.leg,
            fetched_at_ms: self.fetched_at.0,
            tools,
        });
        let json = stored.and_then(|stored| serde_json::to_vec(&stored));
        json.map_err(|error| Error::new(Kind::BadAnswer, format!("list of server {:?}: {error}", self.server)))
    }

    /// Reads the form kept on disk; such a list is stale until the server answers again.
    ///
    /// # Errors
    /// `Kind::Io` if it is not what [`Self::to_json`] writes, or holds more than `SERVER_TOOLS_MAX` tools.
    pub fn from_json(json: &Bytes) -> Result<Self> {
        let stored: Stored<'_> = serde_json::from_slice(json)
            .map_err(|error| Error::new(Kind::Io, format!("stored tool list: {error}; delete the file to refetch")))?;
        if stored.tools.len() > SERVER_TOOLS_MAX {
            let context = format!("stored tool list: more than {SERVER_TOOLS_MAX} tools; delete the file to refetch");
            return Err(Error::new(Kind::Io, context));
        }
        let tools = stored.tools.iter().map(|raw| json.slice_ref(raw.get().as_bytes())).collect();
        let fetched_at = WallTime(stored.fetched_at_ms);
        Ok(Self { server: stored.server, leg: stored.era, fetched_at, stale: true, tools })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back_byte_for_byte_and_stale() {
        let odd =
            Bytes::from_static(b"{ \"name\" : \"a\\u0062\",\n\"inputSchema\":{\"type\":\"object\",\"x\":1.50e2}}");
        let list = ServerList {
            server: "git\"hub".into(),
            leg: Leg::Legacy,
            fetched_at: WallTime(1_790_000_000_000),
            stale: false,
            tools: vec![odd.clone(), Bytes::from_static(b"{}")],
        };
        let json = list.to_json().unwrap();
        assert!(json.starts_with(br#"{"server":"git\"hub","era":"legacy","fetched_at_ms":1790000000000,"tools":[{ "#));
        let back = ServerList::from_json(&json.into()).unwrap();
        assert_eq!(back, ServerList { stale: true, ..list });
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let broken = ServerList { tools: vec![Bytes::from_static(b"{")], ..ServerList::empty("s") };
        assert_eq!(broken.to_json().unwrap_err().kind, Kind::BadAnswer);
        for bad in ["", "{}", "[]", r#"{"server":"s","era":"ancient","fetched_at_ms":0,"tools":[]}"#, "\0"] {
            assert!(ServerList::from_json(&Bytes::copy_from_slice(bad.as_bytes())).is_err(), "{bad}");
        }
        let many =
            format!("{{\"server\":\"s\",\"era\":\"modern\",\"fetched_at_ms\":0,\"tools\":[{}0]}}", "0,".repeat(8192));
        assert!(ServerList::from_json(&many.into()).is_err());
    }
}
