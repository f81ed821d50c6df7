//! The drain task of a shard: writes the ring into preallocated segments, a group at a time, and syncs each group once.

use super::journal::{Files, Journal};
use super::recover;
use super::segment::{self, SEGMENT_HEAD};
use super::writer::Rotation;
use crate::base::clock::Clock;
use crate::base::error::Result;
use crate::rt::{file, offload, time};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Bytes copied out of the ring for one write.
const CHUNK: usize = 1024 * 1024;
/// Pause before another try at a spare segment that could not be made.
const SPARE_PAUSE: Duration = Duration::from_secs(1);
/// Pause before work that found all helper threads busy is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// One group that became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its size in bytes.
    pub bytes: u64,
    /// From the start of its first write to the end of its last sync.
    pub took: Duration,
}

/// Where segments are written; another stands in for it in tests.
pub(crate) trait Disk {
    type File;
    /// Takes over a file that was opened before the runtime ran.
    fn adopt(&self, file: std::fs::File) -> io::Result<Self::File>;
    async fn write_at(&self, file: &Self::File, buf: Vec<u8>, at: u64) -> (io::Result<()>, Vec<u8>);
    async fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Makes the spare segment of a shard's directory.
    async fn make_spare(&self, dir: PathBuf, bytes: u64) -> io::Result<Self::File>;
    /// Gives a spare its name, durably.
    async fn publish(&self, dir: &Path, to: PathBuf) -> io::Result<()>;
}

/// The machine's disk, through `rt`.
pub(crate) struct Machine;

impl Disk for Machine {
    type File = file::File;

    fn adopt(&self, file: std::fs::File) -> io::Result<Self::File> {
        file::File::from_std(file)
    }

    async fn write_at(&self, file: &Self::File, buf: Vec<u8>, at: u64) -> (io::Result<()>, Vec<u8>) {
        file.write_at(buf, at).await
    }

    async fn sync(&self, file: &Self::File) -> io::Result<()> {
        patiently(|| file.sync_data()).await
    }

    async fn make_spare(&self, dir: PathBuf, bytes: u64) -> io::Result<Self::File> {
        let made = patiently(|| {
            let dir = dir.clone();
            async move { offload::run(move || recover::make_spare(&dir, bytes)).await? }
        });
        file::File::from_std(made.await?)
    }

    async fn publish(&self, dir: &Path, to: PathBuf) -> io::Result<()> {
        patiently(|| file::rename(dir.join(segment::SPARE), to.clone())).await?;
        patiently(|| file::sync_dir(dir)).await
    }
}

/// Tries again while all helper threads are busy; nothing was done then, so this is no second sync.
async fn patiently<T, F: Future<Output = io::Result<T>>>(mut work: impl FnMut() -> F) -> io::Result<T> {
    loop {
        match work().await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => time::sleep(BUSY_PAUSE).await,
            done => return done,
        }
    }
}

impl Journal {
    /// Makes appended records durable until [`Journal::close`], each within the commit time. Run it once, on the
    /// shard's runtime. `observe` sees every group.
    ///
    /// # Errors
    /// Writing or syncing failed, which is never tried again: the journal is poisoned and every append fails. What is
    /// in the ring stays there for the next start.
    pub async fn drain(self: Rc<Self>, observe: impl FnMut(Commit)) -> Result<()> {
        drain_to(self, Machine, observe).await
    }
}

/// As [`Journal::drain`], to any disk.
pub(crate) async fn drain_to<D: Disk>(journal: Rc<Journal>, disk: D, mut observe: impl FnMut(Commit)) -> Result<()> {
    let poison = |error: io::Error| journal.poison(&error);
    let files = crate::invariant!(journal.files.take(), "a journal is drained by one task");
    let mut drainer = Drainer::new(&journal, disk, files).map_err(poison)?;
    loop {
        drainer.wait().await;
        if let Some(commit) = drainer.commit().await.map_err(poison)? {
            observe(commit);
        }
        drainer.ready_spare().await;
        if journal.is_closing() && journal.ring.used() == 0 {
            return Ok(());
        }
    }
}

struct Drainer<'a, D: Disk> {
    journal: &'a Journal,
    disk: D,
    current: Option<D::File>,
    spare: Option<D::File>,
    /// Where the next byte goes in `current`.
    offset: u64,
    buf: Vec<u8>,
}

impl<'a, D: Disk> Drainer<'a, D> {
    fn new(journal: &'a Journal, disk: D, files: Files) -> io::Result<Self> {
        let current = files.current.map(|file| disk.adopt(file)).transpose()?;
        let spare = Some(disk.adopt(files.spare)?);
        Ok(Self { journal, disk, current, spare, offset: files.offset, buf: Vec::new() })
    }

    /// Waits for a group to be due.
    async fn wait(&self) {
        if self.spare.is_none() && time::timeout(SPARE_PAUSE, self.journal.wake.notified()).await.is_err() {
            return;
        }
        if self.spare.is_some() {
            self.journal.wake.notified().await;
        }
        if !self.journal.is_closing() {
            let _ = time::timeout(self.journal.spec.commit, self.journal.urgent.notified()).await;
        }
    }

    async fn commit(&mut self) -> io::Result<Option<Commit>> {
        let began = Clock::now();
        let (tail, head, rotation) = self.journal.take_group();
        if head == tail {
            return Ok(None);
        }
        if let Some(rotation) = rotation {
            self.write(tail, rotation.at).await?;
            self.begin_segment(&rotation, head).await?;
        } else {
            self.write(tail, head).await?;
        }
        self.journal.group_is_durable(head, began);
        Ok(Some(Commit { bytes: head - tail, took: Clock::now().since(began) }))
    }

    /// Writes the ring's bytes from one count to another behind what the segment holds, and syncs it.
    async fn write(&mut self, mut from: u64, to: u64) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        while from < to {
            let len = usize::try_from(to - from).unwrap_or(CHUNK).min(CHUNK);
            let mut buf = std::mem::take(&mut self.buf);
            buf.clear();
            self.journal.ring.copy_out(from, len, &mut buf);
            self.write_bytes(buf).await?;
            from += len as u64;
        }
        self.disk.sync(self.file()?).await
    }

    async fn write_bytes(&mut self, buf: Vec<u8>) -> io::Result<()> {
        let len = buf.len() as u64;
        let (written, buf) = self.disk.write_at(self.file()?, buf, self.offset).await;
        self.buf = buf;
        self.offset += len;
        written
    }

    fn file(&self) -> io::Result<&D::File> {
        self.current.as_ref().ok_or_else(|| io::Error::other("no segment is open"))
    }

    /// Turns the spare into the next segment: head and records first, then its name.
    async fn begin_segment(&mut self, rotation: &Rotation, head: u64) -> io::Result<()> {
        self.current = self.spare.take();
        self.offset = 0;
        self.write_bytes(rotation.head.encode().to_vec()).await?;
        debug_assert_eq!(self.offset, SEGMENT_HEAD as u64);
        self.write(rotation.at, head).await?;
        let dir = self.journal.spec.dir();
        self.disk.publish(&dir, segment::path(&dir, rotation.head.first)).await
    }

    /// Makes a spare if there is none. Failing is not fatal: appends are refused once it would be needed.
    async fn ready_spare(&mut self) {
        if self.spare.is_some() || self.journal.is_closing() {
            return;
        }
        let spec = &self.journal.spec;
        match self.disk.make_spare(spec.dir(), spec.segment_bytes).await {
            Ok(file) => {
                self.spare = Some(file);
                self.journal.spare_made(Ok(()));
            }
            Err(error) => {
                tracing::error!("no room for the next journal segment: {}", spec.failed(&error));
                self.journal.spare_made(Err(&error));
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::entry::tests::{some_intent, some_outcome};
    use super::super::journal::JournalSpec;
    use super::super::store::Store;
    use super::*;
    use crate::base::error::Kind;
    use crate::base::ids::ShardId;
    use crate::rt::shard::{Driver, block_on};
    use crate::rt::task;
    use std::cell::Cell;
    use std::sync::Arc;

    /// Smallest segments and ring, under `root`.
    pub(crate) fn spec(root: &Path) -> JournalSpec {
        let store = Store::open(&root.join("journal"), &root.join("ring")).unwrap();
        let commit = Duration::from_millis(2);
        let spec = JournalSpec::new(Arc::new(store), ShardId(0), 1);
        JournalSpec { segment_bytes: 0, ring_bytes: 0, commit, ..spec }
    }

    pub(crate) fn call(journal: &Journal) -> Result<()> {
        let seq = journal.intent(&some_intent())?;
        journal.outcome(seq, &some_outcome())
    }

    /// The machine's disk with a fault: the operation of that number fails, and all after it.
    pub(crate) struct Faulty {
        left: Cell<u32>,
        only: &'static str,
        kind: io::ErrorKind,
    }

    impl Faulty {
        pub(crate) fn new(only: &'static str, after: u32, kind: io::ErrorKind) -> Self {
            Self { left: Cell::new(after), only, kind }
        }

        fn pass(&self, what: &str) -> io::Result<()> {
            if what != self.only {
                return Ok(());
            }
            match self.left.get() {
                0 => Err(self.kind.into()),
                left => {
                    self.left.set(left - 1);
                    Ok(())
                }
            }
        }
    }

    impl Disk for Faulty {
        type File = file::File;

        fn adopt(&self, file: std::fs::File) -> io::Result<Self::File> {
            Machine.adopt(file)
        }

        async fn write_at(&self, file: &Self::File, buf: Vec<u8>, at: u64) -> (io::Result<()>, Vec<u8>) {
            match self.pass("write") {
                Ok(()) => Machine.write_at(file, buf, at).await,
                Err(error) => {
                    // Half of it gets there, as on a disk that fills up.
                    let half = buf.len() / 2;
                    let (_, half) = Machine.write_at(file, buf[..half].to_vec(), at).await;
                    (Err(error), half)
                }
            }
        }

        async fn sync(&self, file: &Self::File) -> io::Result<()> {
            self.pass("sync")?;
            Machine.sync(file).await
        }

        async fn make_spare(&self, dir: PathBuf, bytes: u64) -> io::Result<Self::File> {
            self.pass("spare")?;
            Machine.make_spare(dir, bytes).await
        }

        async fn publish(&self, dir: &Path, to: PathBuf) -> io::Result<()> {
            self.pass("publish")?;
            Machine.publish(dir, to).await
        }
    }

    /// Calls until one fails; how many did not, and why the last did.
    async fn call_until_failure(journal: &Journal) -> (usize, crate::base::error::Error) {
        for n in 0..10_000 {
            match journal.room().await.and_then(|()| call(journal)) {
                Ok(()) => task::yield_now().await,
                Err(error) => return (n, error),
            }
        }
        panic!("nothing failed");
    }

    #[test]
    fn entries_become_durable_over_many_segments_and_the_ring_goes() {
        for driver in [Driver::IoUring, Driver::Epoll] {
            let root = tempfile::tempdir().unwrap();
            let spec = spec(root.path());
            let ring = spec.store.ring_path(ShardId(0));
            let dir = spec.dir();
            let journal = Rc::new(Journal::open(spec).unwrap());
            let commits = block_on(driver, async {
                let commits = Rc::new(Cell::new(0));
                let seen = commits.clone();
                let drain = task::spawn(journal.clone().drain(move |commit| seen.set(seen.get() + commit.bytes)));
                for _ in 0..200 {
                    journal.room().await.unwrap();
                    call(&journal).unwrap();
                }
                journal.close().await.unwrap();
                drain.await.unwrap();
                commits.get()
            });
            let stats = journal.stats();
            assert_eq!((stats.entries, stats.ring_used, stats.poisoned), (401, 0, false));
            assert_eq!(commits.unwrap(), stats.durable_bytes);
            assert!(segment::list(&dir).unwrap().len() > 3 && !ring.exists());
            assert!(call(&journal).is_err(), "a closed journal takes nothing");
        }
    }

    #[test]
    fn a_failed_write_or_sync_poisons_and_is_not_tried_again() {
        for only in ["write", "sync", "publish"] {
            let root = tempfile::tempdir().unwrap();
            let journal = Rc::new(Journal::open(spec(root.path())).unwrap());
            block_on(Driver::Epoll, async {
                let disk = Faulty::new(only, 1, io::ErrorKind::StorageFull);
                let drain = task::spawn(drain_to(journal.clone(), disk, |_| {}));
                let (_, error) = call_until_failure(&journal).await;
                assert_eq!(error.kind, Kind::Journal, "{only}: {error}");
                let text = error.to_string();
                assert!(text.contains("free some space") && text.contains("restart"), "{text}");
                assert_eq!(drain.await.unwrap_err(), error);
                assert!(journal.stats().poisoned && journal.stats().ring_used > 0);
                assert_eq!(journal.close().await.unwrap_err(), error);
            })
            .unwrap();
        }
    }

    #[test]
    fn a_full_disk_refuses_calls_before_they_go_out_and_takes_them_again_when_there_is_room() {
        let root = tempfile::tempdir().unwrap();
        let journal = Rc::new(Journal::open(spec(root.path())).unwrap());
        block_on(Driver::Epoll, async {
            let disk = FullFor(Cell::new(1));
            task::spawn(drain_to(journal.clone(), disk, |_| {}));
            let (done, error) = call_until_failure(&journal).await;
            assert!(done > 10 && error.kind == Kind::Journal, "{done}: {error}");
            assert_eq!((journal.stats().poisoned, journal.fault()), (false, Some(error)));
            time::sleep(SPARE_PAUSE * 2).await;
            journal.room().await.unwrap();
            assert_eq!(journal.fault(), None);
            call(&journal).unwrap();
            journal.close().await.unwrap();
        })
        .unwrap();
    }

    /// A disk whose first so many spares find no room.
    struct FullFor(Cell<u32>);

    impl Disk for FullFor {
        type File = file::File;

        fn adopt(&self, file: std::fs::File) -> io::Result<Self::File> {
            Machine.adopt(file)
        }

        async fn write_at(&self, file: &Self::File, buf: Vec<u8>, at: u64) -> (io::Result<()>, Vec<u8>) {
            Machine.write_at(file, buf, at).await
        }

        async fn sync(&self, file: &Self::File) -> io::Result<()> {
            Machine.sync(file).await
        }

        async fn make_spare(&self, dir: PathBuf, bytes: u64) -> io::Result<Self::File> {
            match self.0.get() {
                0 => Machine.make_spare(dir, bytes).await,
                left => {
                    self.0.set(left - 1);
                    Err(io::ErrorKind::StorageFull.into())
                }
            }
        }

        async fn publish(&self, dir: &Path, to: PathBuf) -> io::Result<()> {
            Machine.publish(dir, to).await
        }
    }

    #[test]
    fn a_full_ring_is_overload_and_outcomes_of_admitted_calls_still_fit() {
        let root = tempfile::tempdir().unwrap();
        let spec = JournalSpec { segment_bytes: 1 << 20, ..spec(root.path()) };
        let journal = Journal::open(spec).unwrap();
        let mut admitted = Vec::new();
        let error = loop {
            match journal.intent(&some_intent()) {
                Ok(seq) => admitted.push(seq),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, Kind::Overloaded, "{error}");
        assert!(admitted.len() > 20, "{}", admitted.len());
        for seq in admitted.into_iter().take(16) {
            journal.outcome(seq, &some_outcome()).unwrap();
        }
    }
}
