//! A shard's journal on memory, and the two records of a call in it.

use std::sync::Arc;
use tempfile::TempDir;
use tollgate::audit::{Era, Intent, Journal, JournalSpec, Outcome, Status, Store, digest};
use tollgate::base::ids::ShardId;
use tollgate::base::limits::JOURNAL_RING_BYTES;
use tollgate::base::phase::Stamps;

/// Where the files are: appending is a copy into memory, so no disk is measured either.
const MEMORY: &str = "/dev/shm";

/// A fresh journal. Nothing drains it: it takes some thousand calls and is then done with.
pub(crate) struct Recorder {
    journal: Journal,
    _folder: TempDir,
}

impl Recorder {
    /// Opens a journal and records one call, as the first of a journal begins its segment.
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir_in(MEMORY).expect("a folder on memory");
        let store = Store::open(&folder.path().join("journal"), &folder.path().join("ring")).expect("a store");
        let spec = JournalSpec::new(Arc::new(store), ShardId(0), 1);
        let segment_bytes = 2 * JOURNAL_RING_BYTES as u64;
        let journal = Journal::open(JournalSpec { segment_bytes, ..spec }).expect("a journal");
        let recorder = Self { journal, _folder: folder };
        recorder.call();
        recorder
    }

    /// Records that a call goes out and how it ended.
    pub(crate) fn call(&self) {
        let intent = Intent {
            key: "abcdefghijkl",
            client: "claude-code",
            client_version: "2.1.0",
            era: Era::Modern,
            revision: "2026-07-28",
            server: "github",
            tool: "github__push_files",
            definition_hash: [7; 32],
            arguments_digest: digest(b"{}"),
            arguments_bytes: 2,
            verdict: "allow",
            trace_id: [9; 16],
            epoch: 1,
            parent: 0,
            parent_shard: 0,
        };
        let seq = self.journal.intent(&intent).expect("there is room");
        let outcome = Outcome::new(Status::Ok, None, (digest(b"[]"), 2), &Stamps::start());
        self.journal.outcome(seq, &outcome).expect("there is room");
    }
}
