//! What an entry says: its kinds, their fields, and the flat rkyv body they are written as.
//!
//! Bodies hold integers, fixed arrays and strings only: nothing shared, nothing recursive, no hash tables. Writing
//! borrows from the caller and reading borrows from the checked bytes, so neither side allocates.

use super::acts::{Admin, Decided, Held};
use super::digest::Digest;
use super::priced::{Reserved, Settled};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::Seq;
use crate::base::limits;
use crate::base::phase::{Phase, Stamps};
use rkyv::rancor::{self, Strategy};
use rkyv::ser::writer::Buffer;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

/// The version of the bodies below; stands in every frame.
pub(crate) const SCHEMA: u16 = 1;
/// The version of intents and outcomes of calls that have a price.
pub(crate) const PRICED_SCHEMA: u16 = 2;

/// Whether this program knows what a body of that kind and schema says.
pub(crate) fn is_known(kind: u16, schema: u16) -> bool {
    match EntryKind::from_number(kind) {
        Some(EntryKind::Intent | EntryKind::Outcome) => [SCHEMA, PRICED_SCHEMA].contains(&schema),
        Some(_) => schema == SCHEMA,
        None => false,
    }
}

/// The kind of an entry, as its number in a frame. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum EntryKind {
    /// A writer began.
    Boot = 1,
    /// A call was admitted and is about to go upstream.
    Intent = 2,
    /// How an admitted call ended.
    Outcome = 3,
    /// A call was refused.
    Denied = 4,
    /// What an earlier crash left was found again.
    Recovered = 5,
    /// Somebody changed something through the admin API, or tried to.
    Admin = 6,
    /// A call was held for an approval.
    Held = 7,
    /// What became of an approval that was asked for.
    Decided = 8,
}

impl EntryKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Boot,
        Self::Intent,
        Self::Outcome,
        Self::Denied,
        Self::Recovered,
        Self::Admin,
        Self::Held,
        Self::Decided,
    ];

    /// The kind of a number in a frame.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == number)
    }

    /// The kind's name in listings and filters.
    pub fn name(self) -> &'static str {
        ["boot", "intent", "outcome", "denied", "recovered", "admin", "held", "decided"][self as usize - 1]
    }
}

/// The protocol era a client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Era {
    /// `initialize` and sessions (up to 2025-11-25).
    Legacy,
    /// Stateless (2026-07-28 on).
    Modern,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Status {
    /// A result without `isError`.
    Ok,
    /// A result with `isError`.
    ToolError,
    /// An error, the upstream's or ours.
    Error,
}

impl Status {
    /// The status in listings.
    pub fn name(self) -> &'static str {
        ["ok", "tool_error", "error"][self as usize]
    }
}

/// A writer began.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Boot<'a> {
    /// Version of the gate.
    #[rkyv(with = InlineAsBox)]
    pub version: &'a str,
    /// Process id.
    pub pid: u32,
    /// Shards of that process.
    pub shards: u16,
}

/// A call was admitted and is about to go upstream. Texts longer than the journal's bounds are cut when written.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Intent<'a> {
    /// Key id, or `anonymous`.
    #[rkyv(with = InlineAsBox)]
    pub key: &'a str,
    /// Client name from the handshake or `_meta`.
    #[rkyv(with = InlineAsBox)]
    pub client: &'a str,
    /// Client version from the same place.
    #[rkyv(with = InlineAsBox)]
    pub client_version: &'a str,
    /// Era the client spoke.
    pub era: Era,
    /// Protocol revision the client spoke.
    #[rkyv(with = InlineAsBox)]
    pub revision: &'a str,
    /// Server name; empty if no server has such a tool.
    #[rkyv(with = InlineAsBox)]
    pub server: &'a str,
    /// Exposed tool name, or the name asked for where it is not known.
    #[rkyv(with = InlineAsBox)]
    pub tool: &'a str,
    /// SHA-256 of the tool's canonical definition; zeros if it is not known.
    #[serde(serialize_with = "hex")]
    pub definition_hash: Digest,
    /// SHA-256 of the raw arguments as the client sent them; zeros if there were none.
    #[serde(serialize_with = "hex")]
    pub arguments_digest: Digest,
    /// Size of the raw arguments in bytes.
    pub arguments_bytes: u64,
    /// The verdict's name: `allow`, `deny`, `hold`.
    #[rkyv(with = InlineAsBox)]
    pub verdict: &'a str,
    /// W3C trace id; zeros if there is none.
    #[serde(serialize_with = "hex")]
    pub trace_id: [u8; 16],
    /// Epoch of the snapshot that decided.
    pub epoch: u64,
    /// Sequence of the entry this call came from: of the decision that approved it; 0 if none.
    pub parent: u64,
    /// Shard of `parent`.
    pub parent_shard: u16,
}

/// How an admitted call ended.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Outcome<'a> {
    /// Result, tool error or error.
    pub status: Status,
    /// Error class ([`Kind::name`]); empty if there was none.
    #[rkyv(with = InlineAsBox)]
    pub error: &'a str,
    /// JSON-RPC error code answered; 0 if there was none.
    pub code: i32,
    /// SHA-256 of the raw result or error as it came from upstream; zeros if nothing came.
    #[serde(serialize_with = "hex")]
    pub result_digest: Digest,
    /// Size of the raw result or error in bytes.
    pub result_bytes: u64,
    /// Nanoseconds spent in each [`Phase`], in their order; zero for one that has not ended.
    #[serde(serialize_with = "by_phase")]
    pub phase_ns: [u64; Phase::ALL.len()],
    /// Nanoseconds from the first byte of the request to this record.
    pub total_ns: u64,
}

impl<'a> Outcome<'a> {
    /// An outcome with the latencies of `stamps`.
    pub fn new(status: Status, error: Option<Kind>, result: (Digest, u64), stamps: &Stamps) -> Self {
        Self {
            status,
            error: error.map_or("", Kind::name),
            code: error.map_or(0, Kind::rpc_code),
            result_digest: result.0,
            result_bytes: result.1,
            phase_ns: stamps.spent_ns(),
            total_ns: nanos(stamps.total()),
        }
    }
}

fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// An outcome together with the entry it ends.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Ended<'a> {
    /// Sequence of the intent on the same shard.
    pub intent: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome<'a>,
}

/// A call was refused; nothing went upstream.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Denied<'a> {
    /// The call, as far as it was understood.
    #[serde(flatten)]
    pub call: Intent<'a>,
    /// Why, in the words of policy: never shown to the client.
    #[rkyv(with = InlineAsBox)]
    pub reason: &'a str,
}

/// What an earlier crash left was found again.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, serde::Serialize)]
pub struct Recovered {
    /// First sequence taken over from the ring; 0 if the ring held nothing.
    pub from_seq: u64,
    /// Entries taken over from the ring.
    pub count: u64,
    /// Segment (its first sequence) that ends in a torn tail; 0 if none does.
    pub torn_segment: u64,
    /// Where in that segment the torn tail begins, in bytes.
    pub torn_offset: u64,
    /// SHA-256 of that segment from there to its end; zeros if none is torn.
    #[serde(serialize_with = "hex")]
    pub torn_digest: Digest,
}

/// One entry, borrowed from the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Entry<'a> {
    /// See [`Boot`].
    Boot(Boot<'a>),
    /// See [`Intent`].
    Intent(Intent<'a>),
    /// See [`Reserved`].
    Reserved(Reserved<'a>),
    /// See [`Outcome`].
    Outcome(Ended<'a>),
    /// See [`Settled`].
    Settled(Settled<'a>),
    /// See [`Denied`].
    Denied(Denied<'a>),
    /// See [`Recovered`].
    Recovered(Recovered),
    /// See [`Admin`].
    Admin(Admin<'a>),
    /// See [`Held`].
    Held(Held<'a>),
    /// See [`Decided`].
    Decided(Decided<'a>),
}

impl Entry<'_> {
    /// The entry's kind.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Boot(_) => EntryKind::Boot,
            Self::Intent(_) | Self::Reserved(_) => EntryKind::Intent,
            Self::Outcome(_) | Self::Settled(_) => EntryKind::Outcome,
            Self::Denied(_) => EntryKind::Denied,
            Self::Recovered(_) => EntryKind::Recovered,
            Self::Admin(_) => EntryKind::Admin,
            Self::Held(_) => EntryKind::Held,
            Self::Decided(_) => EntryKind::Decided,
        }
    }

    /// The version of its body.
    pub(crate) fn schema(&self) -> u16 {
        match self {
            Self::Reserved(_) | Self::Settled(_) => PRICED_SCHEMA,
            _ => SCHEMA,
        }
    }

    /// Writes the body into `out` and tells its length. Texts are cut to their bounds first.
    pub(crate) fn encode(&self, out: &mut [u8]) -> Result<usize> {
        match self {
            Self::Boot(boot) => encode(boot, out),
            Self::Intent(intent) => encode(&cut_intent(intent), out),
            Self::Reserved(Reserved { call, reserved, budgets }) => {
                // Never cut: what is charged must be told whole.
                encode(&Reserved { call: cut_intent(call), reserved: *reserved, budgets }, out)
            }
            Self::Outcome(ended) => encode(ended, out),
            Self::Settled(settled) => encode(settled, out),
            Self::Denied(denied) => {
                let reason = cut(denied.reason, limits::JOURNAL_TEXT_MAX);
                encode(&Denied { call: cut_intent(&denied.call), reason }, out)
            }
            Self::Recovered(recovered) => encode(recovered, out),
            Self::Admin(admin) => encode(&cut_admin(admin), out),
            Self::Held(held) => encode(&Held { call: cut_intent(&held.call), ..*held }, out),
            Self::Decided(decided) => {
                let [by, reason] = [decided.by, decided.reason].map(|text| cut(text, limits::JOURNAL_TEXT_MAX));
                encode(&Decided { by, reason, ..*decided }, out)
            }
        }
    }
}

type Flat<'a> = Strategy<Buffer<'a>, rancor::Error>;

fn encode<'a>(body: &impl Serialize<Flat<'a>>, out: &'a mut [u8]) -> Result<usize> {
    let mut buffer = Buffer::from(out);
    rkyv::api::serialize_using(body, Strategy::<_, rancor::Error>::wrap(&mut buffer))
        .map_err(|_| Error::new(Kind::Journal, "the entry is longer than a journal record may be"))?;
    Ok(buffer.len())
}

fn cut_intent<'a>(intent: &Intent<'a>) -> Intent<'a> {
    let info = limits::CLIENT_INFO_MAX;
    Intent {
        key: cut(intent.key, info),
        client: cut(intent.client, info),
        client_version: cut(intent.client_version, info),
        revision: cut(intent.revision, info),
        server: cut(intent.server, info),
        tool: cut(intent.tool, limits::JOURNAL_TEXT_MAX),
        verdict: cut(intent.verdict, info),
        ..*intent
    }
}

fn cut_admin<'a>(admin: &Admin<'a>) -> Admin<'a> {
    let (info, text) = (limits::CLIENT_INFO_MAX, limits::JOURNAL_TEXT_MAX);
    Admin {
        who: cut(admin.who, info),
        role: cut(admin.role, info),
        action: cut(admin.action, info),
        object: cut(admin.object, text),
        status: admin.status,
    }
}

/// The longest prefix of at most `max` bytes that ends at a character.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or("")
}

/// Bytes as lower-case hexadecimal; empty if they are all zero, which stands for "none".
pub(crate) fn hex_text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    if bytes.iter().all(|b| *b == 0) {
        return text;
    }
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex_text(bytes))
}

fn by_phase<S: serde::Serializer>(ns: &[u64], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(Phase::ALL.iter().map(|phase| phase.name()).zip(ns))
}

/// An outcome of `intent`, ready to write: with what the call cost and what that rests on, where it has a price.
pub(crate) fn ending<'a>(intent: Seq, outcome: &Outcome<'a>, cost: Option<(u64, u8)>) -> Entry<'a> {
    let ended = Ended { intent: intent.0, outcome: outcome.clone() };
    match cost {
        None => Entry::Outcome(ended),
        Some((cost, basis)) => Entry::Settled(Settled { ended, cost, basis }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::decode::decode;
    use super::super::digest::digest;
    use super::*;
    use rkyv::util::AlignedVec;

    pub(crate) fn some_intent() -> Intent<'static> {
        Intent {
            key: "anonymous",
            client: "claude-code",
            client_version: "2.1.0",
            era: Era::Modern,
            revision: "2026-07-28",
            server: "github",
            tool: "github__get_issue",
            definition_hash: [7; 32],
            arguments_digest: digest(b"{}"),
            arguments_bytes: 2,
            verdict: "allow",
            trace_id: [9; 16],
            epoch: 1,
            parent: 0,
            parent_shard: 0,
        }
    }

    pub(crate) fn some_outcome() -> Outcome<'static> {
        Outcome {
            status: Status::Ok,
            error: "",
            code: 0,
            result_digest: digest(b"[]"),
            result_bytes: 2,
            phase_ns: [1, 2, 3, 4, 5, 6, 7],
            total_ns: 28,
        }
    }

    fn through(entry: &Entry<'_>) -> AlignedVec<16> {
        let mut out = [0xa5; limits::JOURNAL_RECORD_MAX];
        let len = entry.encode(&mut out).unwrap();
        let mut body = AlignedVec::new();
        body.extend_from_slice(&out[..len]);
        body
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let recovered = Recovered { from_seq: 1, count: 2, torn_segment: 3, torn_offset: 4, torn_digest: [5; 32] };
        let entries = [
            Entry::Boot(Boot { version: "0.1.0", pid: 1, shards: 2 }),
            Entry::Intent(some_intent()),
            Entry::Reserved(Reserved { call: some_intent(), reserved: u64::MAX, budgets: "key:k/day@0000000000000" }),
            ending(Seq(4), &some_outcome(), None),
            ending(Seq(4), &some_outcome(), Some((7, 1))),
            Entry::Denied(Denied { call: some_intent(), reason: "no grant" }),
            Entry::Recovered(recovered),
            Entry::Admin(Admin { who: "user:0", role: "admin", action: "POST /v1/x", object: "/v1/x", status: 200 }),
        ];
        for entry in &entries {
            let body = through(entry);
            assert_eq!(&decode(entry.kind() as u16, entry.schema(), &body).unwrap(), entry);
            assert_eq!(body[..], through(entry)[..], "equal entries must give equal bytes");
        }
    }

    /// Other programs read these: a change of the form needs a new schema number.
    #[test]
    fn the_written_form_does_not_change_unnoticed() {
        assert_eq!((size_of::<ArchivedEnded<'_>>(), size_of::<ArchivedRecovered>()), (128, 64));
        assert_eq!(size_of::<super::super::priced::ArchivedSettled<'_>>(), 144);
        let entries = [Entry::Intent(some_intent()), ending(Seq(4), &some_outcome(), None)];
        let forms = entries.map(|entry| hex_text(&digest(&through(&entry))[..8]));
        assert_eq!(forms, ["161bc5f386e13b4d", "6cde9ac0e52664f1"]);
        assert_eq!(through(&ending(Seq(0x0102), &some_outcome(), None))[..2], [2, 1]);
    }

    #[test]
    fn long_texts_are_cut_at_a_character_and_still_fit() {
        let long = "é".repeat(100_000);
        let call = Intent { key: &long, client: &long, tool: &long, server: &long, ..some_intent() };
        let body = through(&Entry::Denied(Denied { call, reason: &long }));
        assert!(body.len() < limits::JOURNAL_RECORD_MAX / 2);
        let Entry::Denied(back) = decode(4, SCHEMA, &body).unwrap() else { panic!("another kind") };
        assert_eq!(back.call.client, "é".repeat(limits::CLIENT_INFO_MAX / 2));
    }

    #[test]
    fn no_cut_or_flipped_body_panics() {
        let body = through(&Entry::Intent(some_intent()));
        for len in 0..body.len() {
            let mut short = AlignedVec::<16>::new();
            short.extend_from_slice(&body[..len]);
            let _ = decode(2, SCHEMA, &short);
        }
        for at in 0..body.len() {
            let mut bent = body.clone();
            bent[at] ^= 0xff;
            let _ = decode(2, SCHEMA, &bent);
        }
        assert!(decode(99, SCHEMA, &body).is_err());
        assert!(decode(2, PRICED_SCHEMA + 1, &body).is_err());
        assert!(decode(1, PRICED_SCHEMA, &body).is_err());
    }
}
