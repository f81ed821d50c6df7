//! Where a journal is, and which of its entries to read.

use super::frame::{LogId, wall_ms};
use super::read::{Record, ShardLog};
use super::segment::SegmentFile;
use super::{ring, segment, store};
use crate::base::clock::WallTime;
use crate::base::error::{Error, Kind, Result};
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

    /// Reads a shard's log from the entry `seq` on.
    ///
    /// # Errors
    /// The log is damaged in the segments read, or has no such entry yet.
    pub fn read_from(&self, shard: ShardId, seq: u64) -> Result<ShardLog> {
        let firsts = segment::list(&store::shard_dir(&self.dir, shard))?;
        let mut log = self.read(shard)?;
        if let Some(first) = firsts.into_iter().rfind(|first| *first <= seq) {
            log.start_at(first)?;
        }
        while log.place().0 < seq {
            if log.next()?.is_none() {
                let what = format!("shard {} has no entry {seq}: it ends before {}", shard.0, log.place().0);
                return Err(Error::new(Kind::Journal, what));
            }
        }
        Ok(log)
    }

    /// Reads a shard's log from the segment on that holds the first entry of a time.
    ///
    /// # Errors
    /// The log is damaged in the heads of its segments.
    pub fn read_since(&self, shard: ShardId, time: WallTime) -> Result<ShardLog> {
        let dir = store::shard_dir(&self.dir, shard);
        let mut from = None;
        for first in segment::list(&dir)?.into_iter().rev() {
            from = Some(first);
            let head = SegmentFile::open(segment::path(&dir, first))?.map(|file| file.head);
            if head.is_none_or(|head| wall_ms(head.hlc) < time.0) {
                break;
            }
        }
        let mut log = self.read(shard)?;
        if let Some(first) = from {
            log.start_at(first)?;
        }
        Ok(log)
    }

    /// Whether a shard has a ring of this log: whoever wrote it last did not end in order.
    pub fn has_ring(&self, shard: ShardId) -> bool {
        let path = self.ring_dir.as_ref().map(|dir| ring::path(dir, shard));
        let found = path.and_then(|path| ring::snapshot(&path).ok().flatten());
        found.is_some_and(|(log, owner, _)| (log, owner) == (self.log, shard))
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
