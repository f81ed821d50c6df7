//! Checks a whole log: every checksum, the chain, the numbers, and that every outcome belongs to one intent.

use super::entry::Entry;
use super::place::LogPlace;
use super::priced::Settled;
use super::read::{Damage, Record, ShardLog};
use crate::base::error::Result;
use crate::base::ids::ShardId;
use std::collections::HashSet;

/// What the check of one shard's log found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ShardReport {
    /// The shard.
    pub shard: u16,
    /// Records that are intact.
    pub entries: u64,
    /// Segments looked at, the one that only the ring holds yet included.
    pub segments: u64,
    /// Calls admitted.
    pub intents: u64,
    /// Calls ended.
    pub outcomes: u64,
    /// Calls refused.
    pub denied: u64,
    /// Times a writer began.
    pub boots: u64,
    /// Admitted calls whose outcome is not recorded: under way, or cut off by a crash.
    pub unfinished: u64,
    /// Records of a newer program: chained, but not understood.
    pub unknown: u64,
    /// Where in the last segment a write begins that a crash cut or that is under way.
    pub torn_tail: Option<u64>,
    /// The first bad place.
    pub damage: Option<Damage>,
}

/// Checks a shard's log up to its end or the first bad place.
///
/// # Errors
/// The journal cannot be read at all; damage is no error but part of the report.
pub fn verify(place: &LogPlace, shard: ShardId) -> Result<ShardReport> {
    let mut log = place.read(shard)?;
    let mut check = Check { report: ShardReport { shard: shard.0, ..ShardReport::default() }, open: HashSet::new() };
    let damage = check.run(&mut log).err();
    let mut report = check.report;
    report.unfinished += check.open.len() as u64;
    report.segments = log.segments();
    report.torn_tail = log.unfinished();
    report.damage = damage;
    Ok(report)
}

struct Check {
    report: ShardReport,
    /// Intents of the running writer without an outcome.
    open: HashSet<u64>,
}

impl Check {
    fn run(&mut self, log: &mut ShardLog) -> std::result::Result<(), Damage> {
        while let Some(record) = log.next()? {
            self.take(&record).map_err(|what| log.behind(what))?;
            self.report.entries += 1;
        }
        Ok(())
    }

    fn take(&mut self, record: &Record) -> std::result::Result<(), String> {
        if !record.is_known() {
            self.report.unknown += 1;
            return Ok(());
        }
        match record.entry().map_err(|error| error.to_string())? {
            Entry::Boot(_) => {
                self.report.boots += 1;
                // No call outlives its writer.
                self.report.unfinished += self.open.len() as u64;
                self.open.clear();
            }
            Entry::Intent(_) | Entry::Reserved(_) => {
                self.report.intents += 1;
                self.open.insert(record.seq);
            }
            Entry::Outcome(ended) | Entry::Settled(Settled { ended, .. }) => {
                self.report.outcomes += 1;
                if !self.open.remove(&ended.intent) {
                    return Err(format!("the outcome's intent {} is missing or has ended before", ended.intent));
                }
            }
            Entry::Denied(_) => self.report.denied += 1,
            Entry::Recovered(_) | Entry::Admin(_) | Entry::Held(_) | Entry::Decided(_) => {}
        }
        Ok(())
    }
}
