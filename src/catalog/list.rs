//! What one server listed: its definitions as they came, and when. Also the form in which the last good lists are kept
//! on disk: `{"server","era","fetched_at_ms","tools":[…]}`, then `offers`, `prompts`, `resources`, `templates` and
//! `skills` where there are any.

use super::drift::Withheld;
use super::{ListKind, Offers};
use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The protocol era spoken to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    /// 2026-07-28 and later: no handshake.
    Modern,
    /// 2025-11-25 and earlier: `initialize`.
    Legacy,
}

/// The lists of one server as it gave them, all pages in order. Each definition is one JSON object exactly as the
/// server wrote it.
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
    /// What it offers beside tools.
    pub offers: Offers,
    /// The raw object of the extensions unknown to the gate that it has and may have.
    pub extensions: Option<Bytes>,
    /// Its tools.
    pub tools: Vec<Bytes>,
    /// Its prompts.
    pub prompts: Vec<Bytes>,
    /// Its resources.
    pub resources: Vec<Bytes>,
    /// Its templates of resources.
    pub templates: Vec<Bytes>,
    /// Its skills.
    pub skills: Vec<Bytes>,
    /// The tools kept from clients, by their place in `tools`. Not kept on disk: it is judged anew.
    pub withheld: BTreeMap<usize, Withheld>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    server: Box<str>,
    era: Leg,
    fetched_at_ms: u64,
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Offers::is_nothing")]
    offers: Offers,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    prompts: Vec<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    resources: Vec<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    templates: Vec<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    skills: Vec<&'a RawValue>,
}

impl ServerList {
    /// The lists of a server that has not answered yet and left none on disk.
    pub fn empty(server: &str) -> Self {
        Self {
            server: server.into(),
            leg: Leg::Modern,
            fetched_at: WallTime(0),
            stale: true,
            offers: Offers::default(),
            extensions: None,
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            skills: Vec::new(),
            withheld: BTreeMap::new(),
        }
    }

    /// The definitions of one kind.
    pub fn of(&self, kind: ListKind) -> &[Bytes] {
        match kind {
            ListKind::Tools => &self.tools,
            ListKind::Prompts => &self.prompts,
            ListKind::Resources => &self.resources,
            ListKind::Templates => &self.templates,
            ListKind::Skills => &self.skills,
        }
    }

    /// The place of the definitions of one kind.
    pub fn of_mut(&mut self, kind: ListKind) -> &mut Vec<Bytes> {
        match kind {
            ListKind::Tools => &mut self.tools,
            ListKind::Prompts => &mut self.prompts,
            ListKind::Resources => &mut self.resources,
            ListKind::Templates => &mut self.templates,
            ListKind::Skills => &mut self.skills,
        }
    }

    /// Whether both list the same, whenever that was.
    pub fn lists_same(&self, other: &Self) -> bool {
        let same = |kind| self.of(kind) == other.of(kind);
        let same_words = self.offers == other.offers && self.extensions == other.extensions;
        self.leg == other.leg && same_words && ListKind::ALL.into_iter().all(same)
    }

    /// The form kept on disk. Definitions stay byte for byte; whether it is stale is not kept.
    ///
    /// # Errors
    /// `Kind::BadAnswer` if a definition is not JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let raw = |kind| -> serde_json::Result<Vec<&RawValue>> {
            self.of(kind).iter().map(|definition| serde_json::from_slice(definition)).collect()
        };
        let write = || {
            let stored = Stored {
                server: self.server.clone(),
                era: self.leg,
                fetched_at_ms: self.fetched_at.0,
                tools: raw(ListKind::Tools)?,
                offers: self.offers,
                extensions: self.extensions.as_deref().map(serde_json::from_slice).transpose()?,
                prompts: raw(ListKind::Prompts)?,
                resources: raw(ListKind::Resources)?,
                templates: raw(ListKind::Templates)?,
                skills: raw(ListKind::Skills)?,
            };
            serde_json::to_vec(&stored)
        };
        write().map_err(|error| Error::new(Kind::BadAnswer, format!("list of server {:?}: {error}", self.server)))
    }

    /// Reads the form kept on disk; such a list is stale until the server answers again.
    ///
    /// # Errors
    /// `Kind::Io` if it is not what [`Self::to_json`] writes, or holds more entries than are taken from a server.
    pub fn from_json(json: &Bytes) -> Result<Self> {
        let wrong = |why: String| Error::new(Kind::Io, format!("stored list: {why}; delete the file to refetch"));
        let stored: Stored<'_> = serde_json::from_slice(json).map_err(|error| wrong(error.to_string()))?;
        let mut list = Self { leg: stored.era, offers: stored.offers, ..Self::empty(&stored.server) };
        list.fetched_at = WallTime(stored.fetched_at_ms);
        list.extensions = stored.extensions.map(|raw| json.slice_ref(raw.get().as_bytes()));
        let raw = [stored.tools, stored.prompts, stored.resources, stored.templates, stored.skills];
        for (kind, raw) in ListKind::ALL.into_iter().zip(raw) {
            if raw.len() > kind.most() {
                return Err(wrong(format!("more than {} {}", kind.most(), kind.plural())));
            }
            *list.of_mut(kind) = raw.iter().map(|raw| json.slice_ref(raw.get().as_bytes())).collect();
        }
        Ok(list)
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
            ..ServerList::empty("")
        };
        let json = list.to_json().unwrap();
        assert!(json.starts_with(br#"{"server":"git\"hub","era":"legacy","fetched_at_ms":1790000000000,"tools":[{ "#));
        assert!(json.ends_with(b"]}"), "nothing is written of what there is none of: earlier releases read it");
        let back = ServerList::from_json(&json.into()).unwrap();
        assert_eq!(back, ServerList { stale: true, ..list.clone() });
        let offers = Offers { prompts: true, ..Offers::default() };
        let extensions = Some(Bytes::from_static(br#"{"a/b":{ "c":1.0 }}"#));
        let fuller =
            ServerList { extensions, offers, prompts: vec![odd.clone()], templates: vec![odd.clone()], ..list };
        let back = ServerList::from_json(&fuller.to_json().unwrap().into()).unwrap();
        assert!(back.lists_same(&fuller) && back.stale);
        assert_eq!((back.prompts.len(), back.resources.len(), &back.templates[0]), (1, 0, &odd));
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
