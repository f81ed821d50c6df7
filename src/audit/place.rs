//! Where a journal is, and which of its entries to read.

use super::frame::LogId;
use super::read::{Record, ShardLog};
use super::{ring, segment, store};
use crate::base::error::Result;
use crate::base::ids::ShardId;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Where a journal is, for readers.
#[derive(Clone, Debug)]
pub struct LogPlace {
    dir: PathBuf,
    ring_dir: Option<PathBuf>,
    log: LogId,
}

impl LogPlace {
    /// Finds the journal in `dir`. Its rings are where its last writer said, unless `ring_dir` names another place.
    ///
    /// # Errors
    /// There is no journal.
    pub fn find(dir: &Path, ring_dir: Option<&Path>) -> Result<Self> {
        let log = store::read_log_id(dir)?;
        let ring_dir = ring_dir.map(Path::to_owned).or_else(|| store::read_ring_dir(dir));
        Ok(Self { dir: dir.to_owned(), ring_dir, log })
    }

    /// The log's identity.
    pub fn log_id(&self) -> LogId {
        self.log
    }

    /// The shards that have a log here.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn shards(&self) -> Result<Vec<ShardId>> {
        store::shards(&self.dir)
    }

    /// Reads a shard's log from its first entry.
    ///
    /// # Errors
    /// The ring cannot be read.
    pub fn read(&self, shard: ShardId) -> Result<ShardLog> {
        let ring_path = self.ring_dir.as_ref().map(|dir| ring::path(dir, shard));
        ShardLog::new(store::shard_dir(&self.dir, shard), ring_path, self.log, shard)
    }

    /// The last `count` records of a shard that `keep` takes, and a reader that goes on behind them.
    ///
    /// # Errors
    /// The log is damaged in the segments read.
    pub fn read_last(
        &self,
        shard: ShardId,
        count: usize,
        keep: &dyn Fn(&Record) -> bool,
    ) -> Result<(Vec<Record>, ShardLog)> {
        let firsts = segment::list(&store::shard_dir(&self.dir, shard))?;
        let mut back = 1;
        loop {
            let start = firsts.len().checked_sub(back).and_then(|at| firsts.get(at)).copied();
            let (records, log) = self.last_from(shard, start, count, keep)?;
            if records.len() >= count || start.is_none() {
                return Ok((records, log));
            }
            back *= 2;
        }
    }

    fn last_from(
        &self,
        shard: ShardId,
        first: Option<u64>,
        count: usize,
        keep: &dyn Fn(&Record) -> bool,
    ) -> Result<(Vec<Record>, ShardLog)> {
        let mut log = self.read(shard)?;
        if let Some(first) = first {
            log.start_at(first)?;
        }
        let mut last = VecDeque::new();
        while let Some(record) = log.next()? {
            if keep(&record) {
                last.push_back(record);
            }
            if last.len() > count {
                last.pop_front();
            }
        }
        Ok((last.into(), log))
    }
}
