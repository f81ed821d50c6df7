//! The simulation's disk: files in memory that forget what was never synced when the machine crashes.

use super::Rng;
use super::executor::{with_disk, with_rng};
use crate::rt::file::Open;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// What can go wrong on the simulated disk. The default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFaults {
    /// Room on the disk in bytes; no bound if 0.
    pub room_bytes: u64,
    /// How many writes in a thousand fail.
    pub write_error_permille: u16,
    /// How many syncs in a thousand fail and lose what they should have kept, as Linux does.
    pub sync_error_permille: u16,
}

/// Sets what goes wrong from now on.
pub fn set_disk_faults(faults: DiskFaults) {
    with_disk(|disk| disk.faults = faults);
}

/// Crashes the machine's memory: of every write since its file's last sync some sectors are kept and some are not, and
/// of names made, changed or removed since their directory's last sync some are as before. Open files are dead.
pub fn crash_disk() {
    with_disk(|disk| with_rng(|rng| disk.crash(rng)));
}

/// Files and faults of one simulation.
#[derive(Default)]
pub(super) struct Disk {
    faults: DiskFaults,
    names: BTreeMap<PathBuf, SimFile>,
    synced_names: BTreeMap<PathBuf, SimFile>,
}

/// A file of the simulation.
#[derive(Clone, Debug, Default)]
pub(in crate::rt) struct SimFile(Rc<RefCell<Content>>);

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Since the last sync: where and what.
    writes: Vec<(usize, Vec<u8>)>,
    dead: bool,
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn hits(permille: u16) -> bool {
    permille > 0 && with_rng(|rng| rng.below(1000)) < usize::from(permille)
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: not on the simulated disk", path.display()))
}

impl Disk {
    fn used_bytes(&self) -> u64 {
        self.names.values().map(|file| file.0.borrow().now.len() as u64).sum()
    }

    fn crash(&mut self, rng: &mut Rng) {
        let all: Vec<PathBuf> = self.names.keys().chain(self.synced_names.keys()).cloned().collect();
        for path in all {
            let (now, synced) = (self.names.get(&path), self.synced_names.get(&path));
            let back = match rng.chance(50) {
                true => synced.cloned(),
                false => now.cloned(),
            };
            match back {
                Some(file) => drop(self.synced_names.insert(path, file)),
                None => drop(self.synced_names.remove(&path)),
            }
        }
        let survivors = std::mem::take(&mut self.synced_names);
        self.names = survivors.into_iter().map(|(path, file)| (path, file.after_crash(rng))).collect();
        self.synced_names = self.names.clone();
    }
}

/// Lays `bytes` over `content` at `at`, growing it.
fn lay(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

impl SimFile {
    /// The file as the next start finds it; the old handle is dead.
    fn after_crash(self, rng: &mut Rng) -> Self {
        let mut old = self.0.borrow_mut();
        old.dead = true;
        let mut kept = old.synced.clone();
        for (at, bytes) in &old.writes {
            for (n, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if rng.chance(50) {
                    lay(&mut kept, at + n * SECTOR_BYTES, sector);
                }
            }
        }
        Self(Rc::new(RefCell::new(Content { now: kept.clone(), synced: kept, writes: Vec::new(), dead: false })))
    }

    fn alive(&self) -> io::Result<std::cell::RefMut<'_, Content>> {
        let content = self.0.borrow_mut();
        if content.dead { Err(io::Error::other("the machine crashed under this file")) } else { Ok(content) }
    }

    pub(in crate::rt) fn open(path: &Path, how: Open) -> io::Result<Self> {
        with_disk(|disk| match (disk.names.get(path), how) {
            (Some(_), Open::New) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), _) => Ok(file.clone()),
            (None, Open::Read) => Err(missing(path)),
            (None, _) => Ok(disk.names.entry(path.to_owned()).or_default().clone()),
        })
    }

    pub(in crate::rt) fn read_at(&self, buf: &mut Vec<u8>, at: u64) -> io::Result<usize> {
        let content = self.alive()?;
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(content.now.len());
        let rest = &content.now[from..];
        let taken = rest.len().min(buf.capacity() - buf.len());
        buf.extend_from_slice(&rest[..taken]);
        Ok(taken)
    }

    pub(in crate::rt) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let (faults, used) = with_disk(|disk| (disk.faults, disk.used_bytes()));
        if hits(faults.write_error_permille) {
            return Err(io::Error::other("the simulated disk failed a write"));
        }
        let mut content = self.alive()?;
        let grown = (at + bytes.len()).saturating_sub(content.now.len()) as u64;
        if faults.room_bytes > 0 && used + grown > faults.room_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        lay(&mut content.now, at, bytes);
        content.writes.push((at, bytes.to_vec()));
        Ok(())
    }

    pub(in crate::rt) fn sync(&self) -> io::Result<()> {
        let failed = hits(with_disk(|disk| disk.faults.sync_error_permille));
        let mut content = self.alive()?;
        content.writes.clear();
        if failed {
            return Err(io::Error::other("the simulated disk failed a sync"));
        }
        content.synced = content.now.clone();
        Ok(())
    }

    pub(in crate::rt) fn allocate(&self, len: u64) -> io::Result<()> {
        let (faults, used) = with_disk(|disk| (disk.faults, disk.used_bytes()));
        let mut content = self.alive()?;
        let grown = len.saturating_sub(content.now.len() as u64);
        if faults.room_bytes > 0 && used + grown > faults.room_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?.max(content.now.len());
        content.now.resize(len, 0);
        Ok(())
    }

    pub(in crate::rt) fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.alive()?.now.resize(len, 0);
        Ok(())
    }

    pub(in crate::rt) fn len(&self) -> io::Result<u64> {
        self.alive().map(|content| content.now.len() as u64)
    }

    /// Makes a directory's names last.
    pub(in crate::rt) fn sync_dir(dir: &Path) {
        with_disk(|disk| {
            disk.synced_names.retain(|path, _| parent(path) != dir);
            let here = disk.names.iter().filter(|(path, _)| parent(path) == dir);
            disk.synced_names.extend(here.map(|(path, file)| (path.clone(), file.clone())));
        });
    }

    pub(in crate::rt) fn rename(from: &Path, to: &Path) -> io::Result<()> {
        with_disk(|disk| {
            let file = disk.names.remove(from).ok_or_else(|| missing(from))?;
            disk.names.insert(to.to_owned(), file);
            Ok(())
        })
    }

    pub(in crate::rt) fn remove(path: &Path) -> io::Result<()> {
        with_disk(|disk| disk.names.remove(path).map(drop).ok_or_else(|| missing(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::file::{File, rename, sync_dir};
    use crate::rt::sim;

    #[test]
    fn a_crash_keeps_what_was_synced_and_some_of_the_rest() {
        let mut sizes = std::collections::BTreeSet::new();
        for seed in 0..50 {
            sizes.insert(sim::run(seed, async {
                let file = File::open("/log/a", Open::New).await.unwrap();
                file.write_at(vec![1; 600], 0).await.0.unwrap();
                file.sync_data().await.unwrap();
                sync_dir("/log").await.unwrap();
                file.write_at(vec![2; 2000], 600).await.0.unwrap();
                crash_disk();
                assert!(file.write_at(vec![3], 0).await.0.is_err());
                let again = File::open("/log/a", Open::Read).await.unwrap();
                let (_, buf) = again.read_at(Vec::with_capacity(4096), 0).await;
                assert_eq!(buf[..600], [1; 600]);
                assert!(buf[600..].iter().all(|&b| b == 0 || b == 2));
                buf.len()
            }));
        }
        assert!(sizes.len() > 2, "seeds differ: {sizes:?}");
    }

    #[test]
    fn names_last_only_once_their_directory_is_synced() {
        let survives = |synced: bool| {
            (0..40).filter(move |&seed| {
                sim::run(seed, async {
                    File::open("/d/new", Open::New).await.unwrap().sync_data().await.unwrap();
                    rename("/d/new", "/d/final").await.unwrap();
                    if synced {
                        sync_dir("/d").await.unwrap();
                    }
                    crash_disk();
                    File::open("/d/final", Open::Read).await.is_ok()
                })
            })
        };
        assert_eq!(survives(true).count(), 40);
        assert!((5..35).contains(&survives(false).count()));
    }

    #[test]
    fn a_full_or_failing_disk_says_so() {
        sim::run(1, async {
            set_disk_faults(DiskFaults { room_bytes: 1000, ..DiskFaults::default() });
            let file = File::open("/a", Open::Write).await.unwrap();
            file.allocate(900).await.unwrap();
            file.write_at(vec![1; 900], 0).await.0.unwrap();
            assert_eq!(file.write_at(vec![1; 200], 900).await.0.unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(file.allocate(2000).await.unwrap_err().kind(), io::ErrorKind::StorageFull);
            let failing = DiskFaults { sync_error_permille: 1000, write_error_permille: 1000, ..DiskFaults::default() };
            set_disk_faults(failing);
            assert!(file.write_at(vec![1], 0).await.0.is_err());
            assert!(file.sync_data().await.is_err());
        });
    }
}
