//! Approvals: asked for by a call, decided by somebody, used once.
//!
//! Every step is one statement that names the state it goes from, so that of two at once one is taken: whichever
//! process, shard or person comes second finds the first one's state.

use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{ApprovalId, KeyId, Place, Seq, ShardId};
use crate::base::limits::{APPROVAL_KEPT_MS, APPROVALS_PENDING_MAX, APPROVALS_PENDING_PER_KEY_MAX};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use std::fmt::Write as _;

/// How far an approval has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has decided.
    Pending,
    /// The call may be made, once.
    Approved,
    /// It may not.
    Denied,
    /// The call was made.
    Used,
    /// Its time is over.
    Expired,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Denied, Self::Used, Self::Expired];

    /// The state's name.
    pub fn name(self) -> &'static str {
        ["pending", "approved", "denied", "used", "expired"][self as usize]
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What a call asks an approval for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// One digest of everything that the approval is bound to.
    pub binding: [u8; 32],
    /// Who calls.
    pub key: KeyId,
    /// The server's name.
    pub server: Box<str>,
    /// The tool by its exposed name.
    pub tool: Box<str>,
    /// The digest of the tool's definition.
    pub definition: [u8; 32],
    /// The version of the rules.
    pub policy: [u8; 32],
    /// The raw arguments.
    pub arguments: Box<str>,
    /// Their digest, to which the approval is bound.
    pub arguments_digest: [u8; 32],
}

/// An approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its name.
    pub id: ApprovalId,
    /// What it is for. The arguments are empty once nothing can be decided any more.
    pub of: Suggestion,
    /// When it was asked for.
    pub created: WallTime,
    /// When it ends.
    pub expires: WallTime,
    /// How far it has come.
    pub state: State,
    /// How often a call was made with it: more than once where its server asked the client something.
    pub rounds: u32,
    /// When it was decided.
    pub decided: Option<WallTime>,
    /// Who decided; empty where nobody did.
    pub decided_by: String,
    /// Why.
    pub reason: String,
    /// When the call was made.
    pub used: Option<WallTime>,
    /// The entry of the call that asked for it.
    pub held: Option<Place>,
    /// The entry of the decision.
    pub recorded: Option<Place>,
}

/// Why a call that asked for an approval is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody said no, for this reason.
    Denied(String),
    /// Nobody decided, or nobody called again, in time.
    Expired,
    /// The approval was used.
    Used,
    /// What the approval is bound to has changed.
    Changed,
}

impl Refusal {
    /// The reason's name in records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Denied(_) => "approval_denied",
            Self::Expired => "approval_expired",
            Self::Used => "approval_used",
            Self::Changed => "approval_changed",
        }
    }
}

const COLUMNS: &str = "id, binding, key_id, server, tool, definition, policy, arguments, arguments_digest, created, \
                       expires, state, rounds, decided, decided_by, reason, used, held_shard, held_seq, decided_shard, \
                       decided_seq";

impl Approval {
    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let text = |at: usize| row.get::<_, String>(at);
        let digest = |at: usize| Ok::<_, rusqlite::Error>(unhex(&row.get::<_, String>(at)?));
        let time = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(wall));
        let place = |at: usize| {
            let (shard, seq): (u16, i64) = (row.get(at)?, row.get(at + 1)?);
            let seq = Seq(u64::try_from(seq).unwrap_or_default());
            Ok::<_, rusqlite::Error>((seq.0 != 0).then_some(Place { shard: ShardId(shard), seq }))
        };
        let names = (ApprovalId::parse(&text(0)?), KeyId::parse(&text(2)?), State::parse(&text(11)?));
        let digests = (digest(1)?, digest(5)?, digest(6)?, digest(8)?);
        let (Some(id), Some(key), Some(state)) = names else { return Ok(None) };
        let (Some(binding), Some(definition), Some(policy), Some(arguments_digest)) = digests else { return Ok(None) };
        let arguments = row.get::<_, Option<String>>(7)?.unwrap_or_default().into();
        let (server, tool) = (text(3)?.into(), text(4)?.into());
        Ok(Some(Self {
            id,
            of: Suggestion { binding, key, server, tool, definition, policy, arguments, arguments_digest },
            created: time(9)?.unwrap_or_default(),
            expires: time(10)?.unwrap_or_default(),
            state,
            rounds: row.get(12)?,
            decided: time(13)?,
            decided_by: text(14)?,
            reason: text(15)?,
            used: time(16)?,
            held: place(17)?,
            recorded: place(19)?,
        }))
    }
}

/// One approval.
///
/// # Errors
/// As the store says.
pub fn get(store: &Connection, id: ApprovalId) -> Result<Option<Approval>> {
    one(store, "id = ?1", params![id.as_str()])
}

/// The newest approval of a call that can still be decided or used, or was denied and has not ended.
///
/// # Errors
/// As the store says.
pub fn find(store: &Connection, binding: &[u8; 32], now: WallTime) -> Result<Option<Approval>> {
    let live = "binding = ?1 AND state IN ('pending', 'approved', 'denied') AND expires > ?2 \
                ORDER BY created DESC LIMIT 1";
    one(store, live, params![hex(binding), ms(now)])
}

/// The newest approval of a call that was used, as long as that is kept.
///
/// # Errors
/// As the store says.
pub fn find_used(store: &Connection, binding: &[u8; 32]) -> Result<Option<Approval>> {
    one(store, "binding = ?1 AND state = 'used' ORDER BY created DESC LIMIT 1", params![hex(binding)])
}

/// Up to `max` approvals, the newest first; of one state, where it is said.
///
/// # Errors
/// As the store says.
pub fn list(store: &Connection, state: Option<State>, max: usize) -> Result<Vec<Approval>> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    match state {
        Some(state) => all(store, "state = ?1 ORDER BY created DESC, id LIMIT ?2", params![state.name(), max]),
        None => all(store, "TRUE ORDER BY created DESC, id LIMIT ?1", params![max]),
    }
}

/// Decisions that the journal does not have yet.
///
/// # Errors
/// As the store says.
pub fn unrecorded(store: &Connection) -> Result<Vec<Approval>> {
    let which = "state IN ('approved', 'denied', 'expired') AND decided_seq = 0 AND held_seq <> 0 LIMIT 256";
    all(store, which, params![])
}

/// How many calls wait for a decision.
///
/// # Errors
/// As the store says.
pub fn count_pending(store: &Connection, key: Option<KeyId>) -> Result<usize> {
    let query = "SELECT COUNT(*) FROM approvals WHERE state = 'pending' AND (?1 IS NULL OR key_id = ?1)";
    let count: i64 = store.query_row(query, params![key.as_ref().map(KeyId::as_str)], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// Keeps what a call asks for.
///
/// # Errors
/// [`Kind::Overloaded`] where too many wait already; else as the store says.
pub fn suggest(
    change: &Transaction<'_>,
    id: ApprovalId,
    of: &Suggestion,
    (created, expires): (WallTime, WallTime),
) -> Result<()> {
    if count_pending(change, Some(of.key))? >= APPROVALS_PENDING_PER_KEY_MAX {
        let words = "too many calls of this key wait for an approval: have some decided, then try again";
        return Err(Error::new(Kind::Overloaded, words));
    }
    if count_pending(change, None)? >= APPROVALS_PENDING_MAX {
        let words = "too many calls wait for an approval: have some decided, then try again";
        return Err(Error::new(Kind::Overloaded, words));
    }
    let query = format!(
        "INSERT INTO approvals ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'pending', 0, NULL, \
         '', '', NULL, 0, 0, 0, 0)"
    );
    let (id, key) = (id.as_str(), of.key.as_str());
    let [binding, definition, policy, digest] =
        [&of.binding, &of.definition, &of.policy, &of.arguments_digest].map(hex);
    let (server, tool, arguments) = (&*of.server, &*of.tool, &*of.arguments);
    let (created, expires) = (ms(created), ms(expires));
    let values = params![id, binding, key, server, tool, definition, policy, arguments, digest, created, expires];
    change.execute(&query, values)?;
    Ok(())
}

/// Forgets what a call asked for that could not be recorded.
///
/// # Errors
/// As the store says.
pub fn withdraw(change: &Transaction<'_>, id: ApprovalId) -> Result<()> {
    change.execute("DELETE FROM approvals WHERE id = ?1 AND held_seq = 0", params![id.as_str()])?;
    Ok(())
}

/// Notes the entry of the call that asked for an approval: from now on somebody may decide.
///
/// # Errors
/// As the store says.
pub fn note_held(change: &Transaction<'_>, id: ApprovalId, place: Place) -> Result<()> {
    let query = "UPDATE approvals SET held_shard = ?2, held_seq = ?3 WHERE id = ?1 AND held_seq = 0";
    change.execute(query, params![id.as_str(), place.shard.0, seq(place)])?;
    Ok(())
}

/// Notes the entry of a decision: from now on the call may be made.
///
/// # Errors
/// As the store says.
pub fn note_recorded(change: &Transaction<'_>, id: ApprovalId, place: Place) -> Result<()> {
    let query = "UPDATE approvals SET decided_shard = ?2, decided_seq = ?3 WHERE id = ?1 AND decided_seq = 0";
    change.execute(query, params![id.as_str(), place.shard.0, seq(place)])?;
    Ok(())
}

/// Decides: says whether there was something to decide.
///
/// # Errors
/// As the store says.
pub fn decide(
    change: &Transaction<'_>,
    id: ApprovalId,
    approves: bool,
    (by, reason): (&str, &str),
    now: WallTime,
) -> Result<bool> {
    let state = if approves { State::Approved } else { State::Denied };
    let query = "UPDATE approvals SET state = ?2, decided = ?3, decided_by = ?4, reason = ?5, \
                 arguments = CASE WHEN ?2 = 'denied' THEN NULL ELSE arguments END \
                 WHERE id = ?1 AND state = 'pending' AND held_seq <> 0 AND expires > ?3";
    Ok(change.execute(query, params![id.as_str(), state.name(), ms(now), by, reason])? == 1)
}

/// Uses an approval for the call that it is bound to, once for each round: says whether that was still to be had. A
/// first round needs an approved one that has not ended; a later one is the same call going on.
///
/// # Errors
/// As the store says.
pub fn claim(change: &Transaction<'_>, id: ApprovalId, binding: &[u8; 32], round: u32, now: WallTime) -> Result<bool> {
    let query = "UPDATE approvals SET state = 'used', rounds = rounds + 1, used = ?4, arguments = NULL \
                 WHERE id = ?1 AND binding = ?2 AND rounds = ?3 AND decided_seq <> 0 \
                 AND ((?3 = 0 AND state = 'approved' AND expires > ?4) OR (?3 > 0 AND state = 'used'))";
    Ok(change.execute(query, params![id.as_str(), hex(binding), round, ms(now)])? == 1)
}

/// Ends what nobody decided or used in time, and forgets what ended long ago.
///
/// # Errors
/// As the store says.
pub fn expire(change: &Transaction<'_>, now: WallTime) -> Result<()> {
    let query = "UPDATE approvals SET state = 'expired', arguments = NULL \
                 WHERE state IN ('pending', 'approved') AND expires <= ?1";
    change.execute(query, params![ms(now)])?;
    let query = "DELETE FROM approvals WHERE state IN ('denied', 'used', 'expired') AND expires <= ?1";
    change.execute(query, params![ms(WallTime(now.0.saturating_sub(APPROVAL_KEPT_MS)))])?;
    Ok(())
}

/// Whether anything is to be ended or forgotten.
///
/// # Errors
/// As the store says.
pub fn has_expired(store: &Connection, now: WallTime) -> Result<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM approvals WHERE state IN ('pending', 'approved') AND expires <= ?1) \
                 OR EXISTS (SELECT 1 FROM approvals WHERE state IN ('denied', 'used', 'expired') AND expires <= ?2)";
    let long_ago = WallTime(now.0.saturating_sub(APPROVAL_KEPT_MS));
    Ok(store.query_row(query, params![ms(now), ms(long_ago)], |row| row.get(0))?)
}

/// Forgets what a gate that was killed had begun to ask for.
///
/// # Errors
/// As the store says.
pub fn forget_unheld(change: &Transaction<'_>) -> Result<()> {
    change.execute("DELETE FROM approvals WHERE held_seq = 0", [])?;
    Ok(())
}

fn one(store: &Connection, which: &str, values: impl rusqlite::Params) -> Result<Option<Approval>> {
    let query = format!("SELECT {COLUMNS} FROM approvals WHERE {which}");
    Ok(store.query_row(&query, values, Approval::read).optional()?.flatten())
}

fn all(store: &Connection, which: &str, values: impl rusqlite::Params) -> Result<Vec<Approval>> {
    let mut statement = store.prepare(&format!("SELECT {COLUMNS} FROM approvals WHERE {which}"))?;
    let rows = statement.query_map(values, Approval::read)?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().fold(String::with_capacity(64), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let bytes = text.as_bytes();
    if bytes.len() != 64 || !bytes.is_ascii() {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(digest)
}

fn ms(time: WallTime) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn seq(place: Place) -> i64 {
    i64::try_from(place.seq.0).unwrap_or(i64::MAX)
}

fn wall(ms: i64) -> WallTime {
    WallTime(u64::try_from(ms).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    const MADE: WallTime = WallTime(1_000);
    const ENDS: WallTime = WallTime(2_000);
    const PLACE: Place = Place { shard: ShardId(1), seq: Seq(7) };

    fn id(at: u8) -> ApprovalId {
        ApprovalId::from_entropy([at; 16])
    }

    fn suggestion(key: &str) -> Suggestion {
        Suggestion {
            binding: [0xab; 32],
            key: KeyId::parse(key).expect("a key's id"),
            server: "git".into(),
            tool: "git__delete".into(),
            definition: [1; 32],
            policy: [2; 32],
            arguments: "{\"repo\":\"x\"}".into(),
            arguments_digest: [3; 32],
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("dir");
        let store = Store::open(dir.path()).expect("store");
        (dir, store)
    }

    fn pending(store: &mut Store, at: u8) {
        let made = store.change(|tx| {
            suggest(tx, id(at), &suggestion("k1"), (MADE, ENDS))?;
            note_held(tx, id(at), PLACE)
        });
        made.expect("suggested");
    }

    fn state(store: &Store, at: u8) -> Approval {
        store.read(|tx| get(tx, id(at))).expect("read").expect("there")
    }

    #[test]
    fn an_approval_is_asked_for_decided_and_used_once() {
        let (_dir, mut store) = store();
        pending(&mut store, 1);
        let asked = state(&store, 1);
        assert_eq!((asked.state, &asked.of, asked.held), (State::Pending, &suggestion("k1"), Some(PLACE)));
        let by = ("cli:ann", "fine");
        let claim = |store: &mut Store, round, now| {
            store.change(|tx| claim(tx, id(1), &[0xab; 32], round, now)).expect("claimed")
        };
        assert!(!claim(&mut store, 0, MADE), "nobody has decided");
        assert_eq!(store.change(|tx| decide(tx, id(1), true, by, MADE)), Ok(true));
        assert_eq!(store.change(|tx| decide(tx, id(1), false, by, MADE)), Ok(false), "decided already");
        assert!(!claim(&mut store, 0, MADE), "the decision is not recorded");
        assert_eq!(store.read(unrecorded).expect("read").len(), 1);
        store.change(|tx| note_recorded(tx, id(1), PLACE)).expect("noted");
        assert!(store.read(unrecorded).expect("read").is_empty());
        assert_eq!(store.read(|tx| find(tx, &[0xab; 32], MADE)).expect("read").map(|found| found.id), Some(id(1)));
        assert_eq!(store.change(|tx| super::claim(tx, id(1), &[0; 32], 0, MADE)), Ok(false), "another call");
        assert!(!claim(&mut store, 0, ENDS), "too late");
        assert!(claim(&mut store, 0, MADE));
        assert!(!claim(&mut store, 0, MADE), "used");
        assert!(claim(&mut store, 1, ENDS), "the call goes on");
        assert!(!claim(&mut store, 1, ENDS));
        let used = state(&store, 1);
        assert_eq!((used.state, used.rounds, &*used.of.arguments), (State::Used, 2, ""));
        assert_eq!((used.decided_by.as_str(), used.reason.as_str(), used.recorded), ("cli:ann", "fine", Some(PLACE)));
        assert_eq!(store.read(|tx| find(tx, &[0xab; 32], MADE)), Ok(None));
        assert_eq!(store.read(|tx| find_used(tx, &[0xab; 32])).expect("read").map(|found| found.id), Some(id(1)));
    }

    #[test]
    fn nothing_is_decided_before_the_call_is_recorded_or_after_its_time() {
        let (_dir, mut store) = store();
        store.change(|tx| suggest(tx, id(1), &suggestion("k1"), (MADE, ENDS))).expect("suggested");
        assert_eq!(store.change(|tx| decide(tx, id(1), true, ("", ""), MADE)), Ok(false));
        store.change(forget_unheld).expect("forgotten");
        assert_eq!(store.read(|tx| get(tx, id(1))), Ok(None));
        pending(&mut store, 2);
        assert_eq!(store.change(|tx| decide(tx, id(2), true, ("", ""), ENDS)), Ok(false));
        assert_eq!(
            (store.read(|tx| has_expired(tx, MADE)), store.read(|tx| has_expired(tx, ENDS))),
            (Ok(false), Ok(true))
        );
        store.change(|tx| expire(tx, ENDS)).expect("expired");
        assert_eq!((state(&store, 2).state, state(&store, 2).of.arguments.is_empty()), (State::Expired, true));
        assert_eq!(store.read(|tx| has_expired(tx, ENDS)), Ok(false));
        store.change(|tx| expire(tx, WallTime(ENDS.0 + APPROVAL_KEPT_MS))).expect("forgotten");
        assert_eq!(store.read(|tx| get(tx, id(2))), Ok(None));
    }

    #[test]
    fn a_denied_call_stays_denied_until_its_time_is_over_and_its_arguments_go() {
        let (_dir, mut store) = store();
        pending(&mut store, 1);
        store.change(|tx| decide(tx, id(1), false, ("cli:ann", "no"), MADE)).expect("decided");
        let found = store.read(|tx| find(tx, &[0xab; 32], MADE)).expect("read").expect("found");
        assert_eq!((found.state, found.of.arguments.is_empty()), (State::Denied, true));
        assert_eq!(store.read(|tx| find(tx, &[0xab; 32], ENDS)), Ok(None));
        let listed = |state| store.read(|tx| list(tx, state, 9)).expect("listed").len();
        assert_eq!((listed(None), listed(Some(State::Denied)), listed(Some(State::Pending))), (1, 1, 0));
    }

    #[test]
    fn pending_approvals_are_bounded_for_each_key() {
        let (_dir, mut store) = store();
        let mut ask = |at: u8, key: &str| {
            let mut entropy = [0; 16];
            entropy[..2].copy_from_slice(&[at & 31, at >> 5]);
            let id = ApprovalId::from_entropy(entropy);
            store.change(|tx| suggest(tx, id, &suggestion(key), (MADE, ENDS))).map_err(|error| error.kind)
        };
        let most = u8::try_from(APPROVALS_PENDING_PER_KEY_MAX).expect("a few");
        assert!((0..most).all(|at| ask(at, "k1").is_ok()));
        assert_eq!(ask(200, "k1"), Err(Kind::Overloaded));
        assert_eq!(ask(200, "k2"), Ok(()));
    }
}
