//! What the journal says of money, record by record, for the ledger of budgets.

use crate::audit::{Entry, LogPlace, Record, Reserved, Settled, ShardLog};
use crate::base::clock::WallTime;
use crate::base::error::Result;
use crate::base::ids::ShardId;
use crate::policy::{Event, Ledger, Money};
use crate::store::ledger::{Held, Place, Writer};
use std::collections::BTreeMap;
use std::path::Path;

/// Where records that charge something come from.
pub(super) trait Books {
    /// The next record of any shard; nothing at the end of what is written.
    ///
    /// # Errors
    /// The journal is damaged or cannot be read.
    fn next(&mut self) -> Result<Option<(ShardId, Place, Event)>>;

    /// Sees what was written since.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn refresh(&mut self) -> Result<()>;
}

/// Where to begin to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// With the records of this time.
    Time(WallTime),
    /// Behind the last one there is.
    End,
}

/// The journal of a gate.
#[derive(Debug)]
pub(super) struct JournalBooks {
    place: LogPlace,
    logs: BTreeMap<ShardId, ShardLog>,
    /// Shards of which there was nothing to read yet begin with their first record.
    at: Option<ShardId>,
}

impl JournalBooks {
    /// Finds the journal in a directory; nothing is read yet.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(directory: &Path) -> Result<Self> {
        Ok(Self { place: LogPlace::find(directory, None)?, logs: BTreeMap::new(), at: None })
    }

    /// Goes on where the ledger ends. False where that place is gone: the journal lost its last records, or is another
    /// one.
    ///
    /// # Errors
    /// The journal cannot be listed.
    pub(super) fn resume(&mut self, ledger: &Ledger) -> Result<bool> {
        for (shard, place) in ledger.places() {
            match self.place.read_from(shard, place.next) {
                Ok(log) if log.place() == (place.next, place.hlc) => drop(self.logs.insert(shard, log.skimming())),
                _ => return Ok(false),
            }
        }
        self.refresh()?;
        Ok(true)
    }

    /// Begins there, on every shard.
    ///
    /// # Errors
    /// The journal is damaged or cannot be read.
    pub(super) fn begin(&mut self, from: Begin) -> Result<()> {
        self.logs.clear();
        for shard in self.place.shards()? {
            let log = match from {
                Begin::Time(time) => self.place.read_since(shard, time)?,
                Begin::End => self.place.read_last(shard, 0, &|_| false)?.1,
            };
            self.logs.insert(shard, log.skimming());
        }
        Ok(())
    }

    /// The journal's identity.
    pub(super) fn log(&self) -> String {
        self.place.log_id().to_string()
    }

    /// Whether no record is lost of what this writer left: it ended in order, or its rings are still there, in memory
    /// that no loss of power has taken.
    pub(super) fn is_whole(&self, writer: &Writer, boot: &str) -> bool {
        let has_rings = (0..writer.shards).all(|shard| self.place.has_ring(ShardId(shard)));
        writer.log == self.log() && (writer.ended || (writer.boot == boot && has_rings))
    }
}

impl Books for JournalBooks {
    fn next(&mut self) -> Result<Option<(ShardId, Place, Event)>> {
        let shards: Vec<_> = self.logs.keys().copied().filter(|shard| self.at.is_none_or(|at| *shard >= at)).collect();
        for shard in shards {
            self.at = Some(shard);
            let Some(log) = self.logs.get_mut(&shard) else { continue };
            if let Some(record) = log.next()? {
                let (next, hlc) = log.place();
                return Ok(Some((shard, Place { next, hlc }, event(&record)?)));
            }
        }
        Ok(None)
    }

    fn refresh(&mut self) -> Result<()> {
        self.at = None;
        for shard in self.place.shards()? {
            match self.logs.get_mut(&shard) {
                Some(log) => log.refresh()?,
                None => drop(self.logs.insert(shard, self.place.read(shard)?.skimming())),
            }
        }
        Ok(())
    }
}

/// What a record means to the ledger. One of a newer program that says something of money is not passed over: it is an
/// error.
fn event(record: &Record) -> Result<Event> {
    Ok(match record.entry()? {
        Entry::Boot(_) => Event::Began,
        Entry::Reserved(Reserved { reserved, budgets, .. }) => {
            Event::Reserved(Held { amount: reserved, labels: budgets.into() })
        }
        Entry::Settled(Settled { ended, cost, .. }) => Event::Settled(ended.intent, Money(cost)),
        _ => Event::Other,
    })
}
