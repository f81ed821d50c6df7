//! Reads entry bodies: checked access to the rkyv bytes, then plain borrowed values.

use super::acts::{Admin, ArchivedAdmin, ArchivedDecided, ArchivedHeld, Decided, Held};
use super::entry::{
    ArchivedBoot, ArchivedDenied, ArchivedEnded, ArchivedEra, ArchivedIntent, ArchivedRecovered, ArchivedStatus, Boot,
    Denied, Ended, Entry, EntryKind, Era, Intent, Outcome, PRICED_SCHEMA, Recovered, Status, is_known,
};
use super::priced::{ArchivedReserved, ArchivedSettled, Reserved, Settled};
use crate::base::error::{Error, Kind, Result};
use rkyv::rancor;

/// Reads a body of the given kind and schema; the bytes must be aligned to 16.
pub(crate) fn decode(kind: u16, schema: u16, body: &[u8]) -> Result<Entry<'_>> {
    let named = EntryKind::from_number(kind);
    if named.is_some() && !is_known(kind, schema) {
        return Err(Error::new(Kind::Journal, format!("schema {schema} is newer than this program")));
    }
    match named {
        Some(EntryKind::Intent) if schema == PRICED_SCHEMA => {
            access::<ArchivedReserved<'_>>(body).map(|b| Entry::Reserved(reserved(b)))
        }
        Some(EntryKind::Outcome) if schema == PRICED_SCHEMA => {
            access::<ArchivedSettled<'_>>(body).map(|b| Entry::Settled(settled(b)))
        }
        Some(EntryKind::Boot) => access::<ArchivedBoot<'_>>(body).map(|b| Entry::Boot(boot(b))),
        Some(EntryKind::Intent) => access::<ArchivedIntent<'_>>(body).map(|b| Entry::Intent(intent(b))),
        Some(EntryKind::Outcome) => access::<ArchivedEnded<'_>>(body).map(|b| Entry::Outcome(ended(b))),
        Some(EntryKind::Denied) => access::<ArchivedDenied<'_>>(body)
            .map(|b| Entry::Denied(Denied { call: intent(&b.call), reason: &b.reason })),
        Some(EntryKind::Recovered) => access::<ArchivedRecovered>(body).map(|b| Entry::Recovered(recovered(b))),
        Some(EntryKind::Admin) => access::<ArchivedAdmin<'_>>(body).map(|b| Entry::Admin(admin(b))),
        Some(EntryKind::Held) => access::<ArchivedHeld<'_>>(body).map(|b| {
            let (approval, expires_ms) = (&*b.approval, b.expires_ms.to_native());
            Entry::Held(Held { call: intent(&b.call), approval, expires_ms })
        }),
        Some(EntryKind::Decided) => access::<ArchivedDecided<'_>>(body).map(|b| Entry::Decided(decided(b))),
        None => Err(Error::new(Kind::Journal, format!("kind {kind} is not known to this program"))),
    }
}

fn access<A>(body: &[u8]) -> Result<&A>
where
    A: rkyv::Portable + for<'b> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'b, rancor::Error>>,
{
    rkyv::access::<A, rancor::Error>(body).map_err(|e| Error::new(Kind::Journal, format!("body is malformed: {e}")))
}

fn boot<'a>(from: &'a ArchivedBoot<'_>) -> Boot<'a> {
    Boot { version: &from.version, pid: from.pid.to_native(), shards: from.shards.to_native() }
}

fn intent<'a>(from: &'a ArchivedIntent<'_>) -> Intent<'a> {
    Intent {
        key: &from.key,
        client: &from.client,
        client_version: &from.client_version,
        era: match from.era {
            ArchivedEra::Legacy => Era::Legacy,
            ArchivedEra::Modern => Era::Modern,
        },
        revision: &from.revision,
        server: &from.server,
        tool: &from.tool,
        definition_hash: from.definition_hash,
        arguments_digest: from.arguments_digest,
        arguments_bytes: from.arguments_bytes.to_native(),
        verdict: &from.verdict,
        trace_id: from.trace_id,
        epoch: from.epoch.to_native(),
        parent: from.parent.to_native(),
        parent_shard: from.parent_shard.to_native(),
    }
}

fn reserved<'a>(from: &'a ArchivedReserved<'_>) -> Reserved<'a> {
    Reserved { call: intent(&from.call), reserved: from.reserved.to_native(), budgets: &from.budgets }
}

fn settled<'a>(from: &'a ArchivedSettled<'_>) -> Settled<'a> {
    Settled { ended: ended(&from.ended), cost: from.cost.to_native(), basis: from.basis }
}

fn ended<'a>(from: &'a ArchivedEnded<'_>) -> Ended<'a> {
    let outcome = &from.outcome;
    let outcome = Outcome {
        status: match outcome.status {
            ArchivedStatus::Ok => Status::Ok,
            ArchivedStatus::ToolError => Status::ToolError,
            ArchivedStatus::Error => Status::Error,
        },
        error: &outcome.error,
        code: outcome.code.to_native(),
        result_digest: outcome.result_digest,
        result_bytes: outcome.result_bytes.to_native(),
        phase_ns: outcome.phase_ns.map(|ns| ns.to_native()),
        total_ns: outcome.total_ns.to_native(),
    };
    Ended { intent: from.intent.to_native(), outcome }
}

fn admin<'a>(from: &'a ArchivedAdmin<'_>) -> Admin<'a> {
    let status = from.status.to_native();
    Admin { who: &from.who, role: &from.role, action: &from.action, object: &from.object, status }
}

fn decided<'a>(from: &'a ArchivedDecided<'_>) -> Decided<'a> {
    Decided {
        approval: &from.approval,
        held: from.held.to_native(),
        held_shard: from.held_shard.to_native(),
        decision: &from.decision,
        by: &from.by,
        reason: &from.reason,
    }
}

fn recovered(from: &ArchivedRecovered) -> Recovered {
    Recovered {
        from_seq: from.from_seq.to_native(),
        count: from.count.to_native(),
        torn_segment: from.torn_segment.to_native(),
        torn_offset: from.torn_offset.to_native(),
        torn_digest: from.torn_digest,
    }
}
