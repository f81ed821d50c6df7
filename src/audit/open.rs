//! The files a journal starts with: its own ring and no other's, the segment under way, a spare.

use super::journal::{Files, JournalSpec};
use super::recover::{self, Resume};
use super::ring::Ring;
use super::segment;
use crate::base::error::Result;
use std::fs::File;
use std::path::Path;

/// The shard's ring, if it is this log's. Another log's is moved aside where it holds records, else removed.
pub(crate) fn own_ring(spec: &JournalSpec) -> Result<Option<Ring>> {
    let path = spec.store.ring_path(spec.shard);
    let Some(ring) = Ring::open(&path)? else { return Ok(None) };
    let (log, shard) = ring.owner();
    if (log, shard) == (spec.store.log_id(), spec.shard) {
        return Ok(Some(ring));
    }
    if ring.used() > 0 {
        let aside = path.with_extension(format!("of-{log}"));
        std::fs::rename(&path, &aside).map_err(|error| spec.failed(&error))?;
        tracing::warn!("{} holds records of another journal, {log}: moved to {}", path.display(), aside.display());
    }
    Ok(None)
}

/// The emptied ring, or a new one if it is missing or has another size.
pub(crate) fn fresh_ring(spec: &JournalSpec, left: Option<Ring>) -> Result<Ring> {
    if let Some(ring) = left.filter(|ring| ring.capacity() == spec.ring_bytes) {
        return Ok(ring);
    }
    remove_ring(spec)?;
    Ring::create(&spec.store.ring_path(spec.shard), spec.store.log_id(), spec.shard, spec.ring_bytes)
}

pub(crate) fn remove_ring(spec: &JournalSpec) -> Result<()> {
    match std::fs::remove_file(spec.store.ring_path(spec.shard)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(spec.failed(&error)),
        _ => Ok(()),
    }
}

pub(crate) fn open_files(spec: &JournalSpec, resume: &Resume) -> Result<Files> {
    let dir = spec.dir();
    let current = (resume.cursor.segment != 0).then(|| writable(&segment::path(&dir, resume.cursor.segment)));
    let current = current.transpose().map_err(|error| spec.failed(&error))?;
    let spare = recover::open_spare(&dir, spec.segment_bytes).map_err(|error| spec.failed(&error))?;
    Ok(Files { current, spare, offset: resume.cursor.offset })
}

fn writable(path: &Path) -> std::io::Result<File> {
    std::fs::OpenOptions::new().read(true).write(true).open(path)
}
