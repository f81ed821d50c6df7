//! The pins of one server's tools: the definitions that were approved, or seen first. Also the form in which they are
//! kept on disk: `{"server","pins":[{"name","by","at_ms","hash","definition"}…]}`, with `refused` where something was.

use super::super::canonical::Node;
use crate::base::clock::WallTime;
use crate::base::hex::{hex, unhex};
use crate::base::limits::{PINS_BYTES_MAX, PINS_MAX, PINS_REFUSED_MAX};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// How a definition came to be pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was the first one seen.
    FirstSight,
    /// Somebody approved it.
    Approved,
}

/// A pinned definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// SHA-256 of its canonical form (RFC 8785).
    pub hash: [u8; 32],
    /// The definition as its server wrote it.
    pub definition: Bytes,
    /// How it came to be pinned.
    pub by: Origin,
    /// When.
    pub at: WallTime,
}

/// What is known of one tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pin: Option<Pin>,
    /// Hashes of definitions that somebody rejected, the last ones.
    pub(super) refused: Vec<[u8; 32]>,
    /// What was kept and cannot be used, with the reason.
    pub(super) bad: Option<(Box<str>, Bytes)>,
}

/// The pins of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    entries: BTreeMap<Box<str>, Entry>,
    bytes: usize,
    /// Why all of it cannot be read.
    unreadable: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    server: &'a str,
    #[serde(borrow)]
    pins: Vec<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPin<'a> {
    name: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Origin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<Box<str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    definition: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Box<str>>,
}

#[derive(Deserialize)]
struct Named {
    name: Box<str>,
}

impl Pins {
    /// Pins of which nothing can be read: every tool of the server waits.
    pub fn unreadable(why: impl Into<Box<str>>) -> Self {
        Self { unreadable: Some(why.into()), ..Self::default() }
    }

    /// Why nothing can be read, where that is so.
    pub fn fault(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// The pin of a tool.
    pub fn pin(&self, tool: &str) -> Option<&Pin> {
        self.entries.get(tool)?.pin.as_ref()
    }

    pub(super) fn entry(&self, tool: &str) -> Option<&Entry> {
        self.entries.get(tool)
    }

    /// The names of the tools that have a pin.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, entry)| entry.pin.is_some()).map(|(name, _)| &**name)
    }

    /// How many tools have something that cannot be used.
    pub fn faults(&self) -> usize {
        self.entries.values().filter(|entry| entry.bad.is_some()).count()
    }

    /// Whether another tool can be pinned.
    pub fn has_room(&self) -> bool {
        self.unreadable.is_none() && self.entries.len() < PINS_MAX && self.bytes < PINS_BYTES_MAX
    }

    /// Pins a definition; one that was refused before is not any more. What could not be used gives way.
    pub fn set(&mut self, tool: &str, pin: Pin) {
        self.bytes += pin.definition.len();
        let entry = self.entries.entry(tool.into()).or_default();
        entry.refused.retain(|hash| *hash != pin.hash);
        entry.bad = None;
        let old = entry.pin.replace(pin);
        self.bytes -= old.map_or(0, |old| old.definition.len());
    }

    /// Notes that a definition was rejected.
    pub fn refuse(&mut self, tool: &str, hash: [u8; 32]) {
        let entry = self.entries.entry(tool.into()).or_default();
        if !entry.refused.contains(&hash) {
            entry.refused.push(hash);
        }
        let more = entry.refused.len().saturating_sub(PINS_REFUSED_MAX);
        entry.refused.drain(..more);
    }

    /// The form kept on disk.
    ///
    /// # Errors
    /// Why a definition cannot be written; there is none where each came from a list.
    pub fn to_json(&self, server: &str) -> Result<Vec<u8>, String> {
        let write = |name: &str, entry: &Entry| -> serde_json::Result<Box<RawValue>> {
            if let Some((_, raw)) = &entry.bad {
                return serde_json::from_slice(raw);
            }
            let pin = entry.pin.as_ref();
            let definition = pin.map(|pin| serde_json::from_slice(&pin.definition)).transpose()?;
            serde_json::value::to_raw_value(&StoredPin {
                name: name.into(),
                by: pin.map(|pin| pin.by),
                at_ms: pin.map(|pin| pin.at.0),
                hash: pin.map(|pin| hex(&pin.hash).into()),
                definition,
                refused: entry.refused.iter().map(|hash| hex(hash).into()).collect(),
            })
        };
        let pins: serde_json::Result<Vec<Box<RawValue>>> =
            self.entries.iter().map(|(name, entry)| write(name, entry)).collect();
        let pins = pins.map_err(|error| error.to_string())?;
        let stored = Stored { server, pins: pins.iter().map(|pin| &**pin).collect() };
        serde_json::to_vec(&stored).map_err(|error| error.to_string())
    }

    /// Reads the form kept on disk. What is wrong with one pin costs that tool alone; what is wrong with all of it
    /// costs every tool of the server.
    pub fn from_json(server: &str, json: &Bytes) -> Self {
        let stored: Stored<'_> = match serde_json::from_slice(json) {
            Ok(stored) => stored,
            Err(error) => return Self::unreadable(error.to_string()),
        };
        if stored.server != server {
            return Self::unreadable("it is another server's");
        }
        let mut pins = Self::default();
        for raw in stored.pins {
            let Ok(Named { name }) = serde_json::from_str(raw.get()) else {
                return Self::unreadable("it has a pin without a name");
            };
            let kept = json.slice_ref(raw.get().as_bytes());
            let read = match pins.entries.contains_key(&name) {
                true => Err("there are two of it".to_owned()),
                false => read(json, raw.get()),
            };
            let entry = read.unwrap_or_else(|why| Entry { bad: Some((why.into(), kept)), ..Entry::default() });
            pins.bytes += entry.pin.as_ref().map_or(0, |pin| pin.definition.len());
            pins.entries.insert(name, entry);
        }
        pins
    }
}

fn read(json: &Bytes, raw: &str) -> Result<Entry, String> {
    let stored: StoredPin<'_> = serde_json::from_str(raw).map_err(|error| error.to_string())?;
    let unhexed = |text: &str| unhex(text).ok_or_else(|| "a hash is not 64 hex digits".to_owned());
    let refused = stored.refused.iter().map(|text| unhexed(text)).collect::<Result<Vec<_>, _>>()?;
    let pin = match (stored.by, stored.at_ms, stored.hash, stored.definition) {
        (None, None, None, None) => None,
        (Some(by), Some(at), Some(hash), Some(definition)) => {
            let hash = unhexed(&hash)?;
            if Node::parse(definition.get().as_bytes())?.hash() != hash {
                return Err("its hash is not that of its definition".into());
            }
            Some(Pin { hash, definition: json.slice_ref(definition.get().as_bytes()), by, at: WallTime(at) })
        }
        _ => return Err("a part of it is missing".into()),
    };
    Ok(Entry { pin, refused, bad: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(text: &'static str, by: Origin) -> Pin {
        let hash = Node::parse(text.as_bytes()).unwrap().hash();
        Pin { hash, definition: Bytes::from_static(text.as_bytes()), by, at: WallTime(7) }
    }

    fn sample() -> Pins {
        let mut pins = Pins::default();
        pins.set("a", pin(r#"{"name":"a", "x":1.0}"#, Origin::FirstSight));
        pins.set("b\"", pin(r#"{"name":"b\""}"#, Origin::Approved));
        pins.refuse("a", [1; 32]);
        pins.refuse("c", [2; 32]);
        pins
    }

    #[test]
    fn pins_come_back_byte_for_byte() {
        let pins = sample();
        let json: Bytes = pins.to_json("s").unwrap().into();
        let back = Pins::from_json("s", &json);
        assert_eq!(back, pins);
        assert_eq!(back.names().collect::<Vec<_>>(), ["a", "b\""]);
        assert_eq!(&back.pin("a").unwrap().definition[..], br#"{"name":"a", "x":1.0}"#);
        assert!(Pins::from_json("t", &json).fault().is_some(), "another server's");
    }

    #[test]
    fn what_is_wrong_with_a_pin_costs_that_tool_alone_and_is_kept() {
        let json = String::from_utf8(sample().to_json("s").unwrap()).unwrap();
        let hash = hex(&sample().pin("a").unwrap().hash);
        for (from, to) in [(&*hash, "00"), (r#""x":1.0"#, r#""x":2.0"#), (r#""at_ms":7,"#, ""), ("first_sight", "me")] {
            let broken: Bytes = json.replacen(from, to, 1).into();
            let pins = Pins::from_json("s", &broken);
            assert_eq!((pins.fault(), pins.faults()), (None, 1), "{from}");
            assert!(pins.pin("a").is_none() && pins.pin("b\"").is_some(), "{from}");
            assert_eq!(pins.to_json("s").unwrap(), broken, "{from}");
        }
        let twice: Bytes = json.replacen(r#"b\""#, "a", 1).into();
        assert_eq!(Pins::from_json("s", &twice).faults(), 1);
    }

    #[test]
    fn what_cannot_be_read_at_all_has_a_fault() {
        for bad in ["", "{}", "[]", "\0", r#"{"server":"s","pins":[{}]}"#, r#"{"server":"s","pins":[],"x":1}"#] {
            let pins = Pins::from_json("s", &Bytes::copy_from_slice(bad.as_bytes()));
            assert!(pins.fault().is_some() && !pins.has_room(), "{bad}");
        }
        bolero::check!().for_each(|bytes| drop(Pins::from_json("s", &Bytes::copy_from_slice(bytes))));
    }

    #[test]
    fn what_is_refused_is_bounded_and_approval_takes_it_back() {
        let mut pins = Pins::default();
        (0..40).for_each(|at| pins.refuse("a", [at; 32]));
        assert_eq!(pins.entry("a").unwrap().refused.len(), PINS_REFUSED_MAX);
        let approved = pin("{}", Origin::Approved);
        pins.refuse("a", approved.hash);
        pins.set("a", approved.clone());
        assert!(!pins.entry("a").unwrap().refused.contains(&approved.hash));
    }
}
