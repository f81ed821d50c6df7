//! Whole journals: what a crash leaves, what a reader finds, what a forger cannot hide.

use super::drain::drain_to;
use super::drain::tests::{Faulty, call, spec};
use super::entry::tests::{some_intent, some_outcome};
use super::segment::{self, SEGMENT_HEAD};
use super::*;
use crate::base::ids::{Seq, ShardId};
use crate::rt::shard::{Driver, block_on};
use crate::rt::task;
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const SHARD: ShardId = ShardId(0);

fn place(root: &Path) -> LogPlace {
    LogPlace::find(&root.join("journal"), None).unwrap()
}

fn check(root: &Path) -> ShardReport {
    verify(&place(root), SHARD).unwrap()
}

/// Verifies that the log is intact and tells how many entries it has.
fn intact(root: &Path) -> u64 {
    let report = check(root);
    assert_eq!(report.damage, None);
    report.entries
}

/// Entries as `kind` names, in order.
fn kinds(root: &Path) -> Vec<&'static str> {
    let mut log = place(root).read(SHARD).unwrap();
    let mut kinds = Vec::new();
    while let Some(record) = log.next().unwrap() {
        kinds.push(record.entry().unwrap().kind().name());
    }
    kinds
}

/// Writes `calls` calls and closes.
fn write_log(root: &Path, calls: usize) {
    let journal = Rc::new(Journal::open(spec(root)).unwrap());
    block_on(Driver::Epoll, async {
        let drain = task::spawn(journal.clone().drain(|_| {}));
        for _ in 0..calls {
            journal.room().await.unwrap();
            call(&journal).unwrap();
        }
        journal.close().await.unwrap();
        drain.await.unwrap();
    })
    .unwrap();
}

fn only_segment(root: &Path) -> PathBuf {
    segment::path(&root.join("journal/s0"), 1)
}

#[test]
fn what_only_the_ring_holds_is_read_and_recovered_once() {
    let root = tempfile::tempdir().unwrap();
    let journal = Journal::open(spec(root.path())).unwrap();
    call(&journal).unwrap();
    journal.intent(&some_intent()).unwrap();
    drop(journal);
    assert_eq!(kinds(root.path()), ["boot", "intent", "outcome", "intent"]);
    for round in 1..4 {
        drop(Journal::open(spec(root.path())).unwrap());
        let mut expected = vec!["boot", "intent", "outcome", "intent"];
        (0..round).for_each(|_| expected.extend(["recovered", "boot"]));
        assert_eq!(kinds(root.path()), expected);
    }
    let report = check(root.path());
    assert_eq!((report.unfinished, report.boots, report.damage), (1, 4, None));
}

#[test]
fn a_ring_is_recovered_whole_into_segments_that_have_become_smaller() {
    let root = tempfile::tempdir().unwrap();
    let large = JournalSpec { segment_bytes: 1 << 20, ring_bytes: 1 << 20, ..spec(root.path()) };
    let journal = Journal::open(large).unwrap();
    (0..300).for_each(|_| call(&journal).unwrap());
    assert!(journal.stats().ring_used > 1 << 17);
    drop(journal);
    write_log(root.path(), 20);
    assert_eq!(intact(root.path()), 1 + 600 + 2 + 40);
    drop(Journal::open(spec(root.path())).unwrap());
    assert_eq!(intact(root.path()), 1 + 600 + 2 + 40 + 1);
}

#[test]
fn a_held_call_and_its_decision_read_back_as_they_were_written() {
    let root = tempfile::tempdir().unwrap();
    let journal = Journal::open(spec(root.path())).unwrap();
    let (long, approval) = ("r".repeat(400), "abcdefghijklmnop");
    let held = Held { call: Intent { verdict: "hold", ..some_intent() }, approval, expires_ms: 1_790_000_000_000 };
    let seq = journal.held(&held).unwrap();
    let decided = Decided { approval, held: seq.0, held_shard: 0, decision: "denied", by: "cli:eve", reason: &long };
    let decision = journal.decided(&decided).unwrap();
    journal.intent(&Intent { parent: decision.0, ..some_intent() }).unwrap();
    drop(journal);
    assert_eq!(kinds(root.path()), ["boot", "held", "decided", "intent"]);
    let mut log = place(root.path()).read(SHARD).unwrap();
    let mut entries = std::iter::from_fn(|| log.next().unwrap()).skip(1);
    let [first, second, third] = std::array::from_fn(|_| entries.next().unwrap());
    assert_eq!(first.entry().unwrap(), Entry::Held(held));
    assert_eq!(second.entry().unwrap(), Entry::Decided(Decided { reason: &long[..256], ..decided }));
    for words in ["held approval=abcdefghijklmnop expires=2026-09-21T14:13:20.000Z verdict=hold", " tool="] {
        assert!(render::line(&first).contains(words), "{}", render::line(&first));
    }
    assert!(render::line(&second).contains("decided approval=abcdefghijklmnop decision=denied by=cli:eve reason=rr"));
    assert!(render::json(&third).contains(&format!("\"parent\":{}", decision.0)));
}

#[test]
fn a_clean_end_recovers_nothing() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), 1);
    write_log(root.path(), 1);
    assert_eq!(kinds(root.path()), ["boot", "intent", "outcome", "boot", "intent", "outcome"]);
}

/// Calls until the journal fails, then ends without closing, as a crash would; how many entries were taken.
fn write_until_fault(root: &Path, only: &'static str, after: u32) -> u64 {
    let journal = Rc::new(Journal::open(spec(root)).unwrap());
    block_on(Driver::Epoll, async {
        let drain = task::spawn(drain_to(journal.clone(), Faulty::new(only, after, io::ErrorKind::Other), |_| {}));
        while journal.room().await.is_ok() && call(&journal).is_ok() {
            task::yield_now().await;
        }
        assert!(drain.await.is_err());
    })
    .unwrap();
    journal.stats().entries
}

#[test]
fn nothing_taken_is_lost_or_doubled_wherever_the_writer_stops() {
    for only in ["write", "sync", "publish"] {
        for after in 0..7 {
            let root = tempfile::tempdir().unwrap();
            let taken = write_until_fault(root.path(), only, after);
            assert_eq!(intact(root.path()), taken, "{only} {after}: read before recovery");
            drop(Journal::open(spec(root.path())).unwrap());
            assert_eq!(intact(root.path()), taken + 2, "{only} {after}: recovered");
            write_log(root.path(), 40);
            assert!(intact(root.path()) > taken + 80, "{only} {after}: gone on");
        }
    }
}

/// Everything of the last segment from byte `cut` on becomes zeros, or goes away, and so does the ring.
fn lose_power(root: &Path, content: &[u8], cut: usize, shorten: bool) {
    let mut bytes = content[..cut].to_vec();
    if !shorten {
        bytes.resize(content.len(), 0);
    }
    fs::write(only_segment(root), bytes).unwrap();
    let _ = fs::remove_dir_all(root.join("ring"));
}

fn frame_ends(content: &[u8]) -> Vec<usize> {
    let mut ends = vec![SEGMENT_HEAD];
    while let Some(head) = content.get(ends[ends.len() - 1]..).and_then(frame::FrameHead::read)
        && head.len != 0
    {
        ends.push(ends[ends.len() - 1] + head.size());
    }
    ends
}

#[test]
fn a_segment_cut_at_every_byte_keeps_the_whole_entries_before() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), 2);
    let content = fs::read(only_segment(root.path())).unwrap();
    let ends = frame_ends(&content);
    assert_eq!(ends.len(), 6);
    for cut in SEGMENT_HEAD..ends[5] {
        lose_power(root.path(), &content, cut, cut % 2 == 0);
        // The last bytes of a frame may be zeros anyway.
        let whole = ends.iter().rposition(|end| *end <= cut).unwrap() as u64;
        let found = intact(root.path());
        assert!(found == whole || (found == whole + 1 && cut % 2 == 1), "cut at {cut}: {found} of {whole}");
    }
}

#[test]
fn after_a_torn_tail_a_new_segment_names_it_and_the_log_stays_whole() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), 2);
    let content = fs::read(only_segment(root.path())).unwrap();
    let ends = frame_ends(&content);
    for cut in (ends[4] + 5..ends[5] - 40).step_by(41) {
        fs::remove_dir_all(root.path().join("journal/s0")).unwrap();
        fs::create_dir(root.path().join("journal/s0")).unwrap();
        lose_power(root.path(), &content, cut, false);
        assert_eq!(check(root.path()).torn_tail, Some(ends[4] as u64));
        write_log(root.path(), 1);
        let expected = ["boot", "intent", "outcome", "intent", "recovered", "boot", "intent", "outcome"];
        assert_eq!(kinds(root.path()), expected, "cut at {cut}");
        let report = check(root.path());
        assert_eq!((report.segments, report.torn_tail, report.unfinished), (2, None, 1));
        // Whoever changes the torn bytes afterwards is found.
        let mut bytes = fs::read(only_segment(root.path())).unwrap();
        bytes[ends[4] + 1] ^= 1;
        fs::write(only_segment(root.path()), bytes).unwrap();
        let damage = check(root.path()).damage.unwrap();
        assert_eq!(damage.offset, ends[4] as u64, "{damage}");
    }
}

#[test]
fn every_flipped_byte_of_the_log_is_found_at_its_entry() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), 2);
    let path = only_segment(root.path());
    let content = fs::read(&path).unwrap();
    let ends = frame_ends(&content);
    // Without the last entry: what is wrong there cannot be told from a torn write.
    for at in 0..ends[4] {
        let mut bent = content.clone();
        bent[at] ^= 0x41;
        fs::write(&path, bent).unwrap();
        let damage = check(root.path()).damage.unwrap_or_else(|| panic!("byte {at} is not noticed"));
        let entry = ends.iter().position(|end| at < *end).unwrap() as u64;
        assert_eq!(damage.seq, entry.max(1), "byte {at}: {damage}");
    }
    let mut bent = content.clone();
    bent[ends[2] + 40] ^= 1;
    fs::write(&path, bent).unwrap();
    let error = Journal::open(spec(root.path())).unwrap_err().to_string();
    assert!(error.contains("damaged or changed") && error.contains("audit verify"), "{error}");
}

#[test]
fn missing_swapped_and_foreign_segments_are_found() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), 300);
    let dir = root.path().join("journal/s0");
    let firsts = segment::list(&dir).unwrap();
    assert!(firsts.len() > 4, "{firsts:?}");
    let name = |at: usize| segment::path(&dir, firsts[at]);
    let aside = root.path().join("aside");
    for gone in [0, 2] {
        fs::rename(name(gone), &aside).unwrap();
        let damage = check(root.path()).damage.unwrap();
        let (from, to) = (firsts[gone], firsts[gone + 1] - 1);
        assert_eq!(damage.what, format!("entries {from} to {to} are missing"));
        fs::rename(&aside, name(gone)).unwrap();
    }
    fs::copy(name(1), name(2)).unwrap();
    let damage = check(root.path()).damage.unwrap();
    assert!(damage.what.contains("another log, shard or place"), "{damage}");
    // The same bytes under another shard's name.
    fs::rename(&dir, root.path().join("journal/s1")).unwrap();
    let damage = verify(&place(root.path()), ShardId(1)).unwrap().damage.unwrap();
    assert!(damage.what.contains("another log, shard or place"), "{damage}");
}

#[test]
fn an_outcome_without_an_intent_or_given_twice_is_found() {
    for ended in [Seq(1), Seq(99)] {
        let root = tempfile::tempdir().unwrap();
        let journal = Journal::open(spec(root.path())).unwrap();
        journal.outcome(ended, &some_outcome()).unwrap();
        let damage = check(root.path()).damage.unwrap();
        assert!(damage.seq == 2 && damage.what.contains("intent"), "{damage}");
    }
    let root = tempfile::tempdir().unwrap();
    let journal = Journal::open(spec(root.path())).unwrap();
    let intent = journal.intent(&some_intent()).unwrap();
    journal.outcome(intent, &some_outcome()).unwrap();
    assert_eq!(intact(root.path()), 3);
    journal.outcome(intent, &some_outcome()).unwrap();
    assert_eq!(check(root.path()).damage.unwrap().seq, 4);
}

#[test]
fn segments_that_the_ring_has_left_behind_are_missed() {
    let root = tempfile::tempdir().unwrap();
    write_until_fault(root.path(), "sync", 3);
    let dir = root.path().join("journal/s0");
    for first in segment::list(&dir).unwrap() {
        fs::remove_file(segment::path(&dir, first)).unwrap();
    }
    assert!(check(root.path()).damage.unwrap().what.contains("missing"));
    let error = Journal::open(spec(root.path())).unwrap_err().to_string();
    assert!(error.contains("are missing") && error.contains("put the missing segments back"), "{error}");
}

#[test]
fn a_ring_of_another_log_is_kept_aside() {
    let root = tempfile::tempdir().unwrap();
    drop(Journal::open(spec(root.path())).unwrap());
    fs::remove_dir_all(root.path().join("journal")).unwrap();
    drop(Journal::open(spec(root.path())).unwrap());
    assert_eq!(kinds(root.path()), ["boot"]);
    let names = fs::read_dir(root.path().join("ring")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| name.to_string_lossy().starts_with("ring-s0.of-")));
}

#[test]
fn rings_of_shards_that_run_no_more_are_emptied_into_their_logs() {
    let root = tempfile::tempdir().unwrap();
    let first = spec(root.path());
    drop(Journal::open(JournalSpec { shard: ShardId(3), shards: 4, ..first.clone() }).unwrap());
    let ring = first.store.ring_path(ShardId(3));
    assert!(ring.exists());
    Journal::recover_others(&first).unwrap();
    assert!(!ring.exists());
    let report = verify(&place(root.path()), ShardId(3)).unwrap();
    assert_eq!((report.entries, report.boots, report.damage), (3, 2, None));
}

#[test]
fn a_reader_beside_a_writer_never_sees_damage_or_a_gap() {
    let root = tempfile::tempdir().unwrap();
    let journal = Rc::new(Journal::open(spec(root.path())).unwrap());
    let (done, dir) = (std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)), root.path().to_owned());
    let stop = done.clone();
    let reader = std::thread::spawn(move || {
        let mut log = place(&dir).read(SHARD).unwrap();
        let (mut seen, mut looks) = (0, 0);
        loop {
            let last = stop.load(std::sync::atomic::Ordering::Acquire);
            log.refresh().unwrap();
            while let Some(record) = log.next().unwrap() {
                seen += 1;
                assert_eq!(record.seq, seen);
            }
            looks += 1;
            assert_eq!(verify(&place(&dir), SHARD).unwrap().damage, None);
            if last {
                return (seen, looks);
            }
        }
    });
    block_on(Driver::Epoll, async {
        task::spawn(journal.clone().drain(|_| {}));
        for _ in 0..1500 {
            journal.room().await.unwrap();
            call(&journal).unwrap();
        }
        journal.close().await.unwrap();
    })
    .unwrap();
    done.store(true, std::sync::atomic::Ordering::Release);
    let (seen, looks) = reader.join().unwrap();
    assert!(seen == 3001 && looks > 1, "{seen} entries in {looks} looks");
}

#[test]
fn the_last_entries_come_without_reading_all_and_a_filter_looks_further_back() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), 300);
    let (records, log) = place(root.path()).read_last(SHARD, 3, &|_| true).unwrap();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [599, 600, 601]);
    assert!(log.segments() <= 2);
    let boots = |record: &Record| record.entry().unwrap().kind() == EntryKind::Boot;
    let (records, _) = place(root.path()).read_last(SHARD, 3, &boots).unwrap();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1]);
    let text = render::line(&records[0]);
    assert!(text.contains("Z s0 #1 boot version=") && text.contains("shards=1"), "{text}");
}

#[test]
fn a_hostile_name_reaches_no_terminal() {
    let root = tempfile::tempdir().unwrap();
    let journal = Journal::open(spec(root.path())).unwrap();
    let call = Intent { tool: "a\u{1b}[31m\u{202e}\n{\"x\":1}", ..some_intent() };
    journal.denied(&Denied { call, reason: "unknown tool" }).unwrap();
    let (records, _) = place(root.path()).read_last(SHARD, 1, &|_| true).unwrap();
    for text in [render::line(&records[0]), render::block(&records[0]).replace('\n', ""), render::json(&records[0])] {
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\n']), "{text}");
    }
    let call = Intent { tool: &"ab".repeat(16), ..some_intent() };
    journal.denied(&Denied { call, reason: "looks like a digest" }).unwrap();
    let (last, _) = place(root.path()).read_last(SHARD, 1, &|_| true).unwrap();
    assert!(render::line(&last[0]).contains(&"ab".repeat(16)), "no name is hidden");
    let json: serde_json::Value = serde_json::from_str(&render::json(&records[0])).unwrap();
    assert_eq!((&json["kind"], &json["seq"], &json["reason"]), (&"denied".into(), &2.into(), &"unknown tool".into()));
    assert_eq!(json["tool"], "a\u{1b}[31m\u{202e}\n{\"x\":1}");
}

/// Runs the verifier that shares no code with us; what it says, as an error if it finds damage.
fn check_independently(root: &Path) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_journal.py");
    let output = std::process::Command::new("python3").arg(script).arg(root.join("journal")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn a_verifier_in_another_language_agrees() {
    let root = tempfile::tempdir().unwrap();
    let taken = write_until_fault(root.path(), "publish", 2);
    assert_eq!(check_independently(root.path()), Ok(format!("ok s0: {taken} entries, 0 calls without outcome\n")));
    write_log(root.path(), 30);
    let expected = format!("ok s0: {} entries, 0 calls without outcome\n", intact(root.path()));
    assert_eq!(check_independently(root.path()), Ok(expected));
    let path = only_segment(root.path());
    let content = fs::read(&path).unwrap();
    let ends = frame_ends(&content);
    for at in (64..ends[3]).step_by(17) {
        let mut bent = content.clone();
        bent[at] ^= 0x20;
        fs::write(&path, bent).unwrap();
        let said = check_independently(root.path()).unwrap_err();
        assert!(said.starts_with("BAD") && check(root.path()).damage.is_some(), "byte {at}: {said}");
    }
}

#[test]
fn both_verifiers_accept_a_torn_tail_that_is_named_and_no_other() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), 2);
    let content = fs::read(only_segment(root.path())).unwrap();
    let ends = frame_ends(&content);
    lose_power(root.path(), &content, ends[4] + 50, false);
    write_log(root.path(), 1);
    assert_eq!(check_independently(root.path()), Ok("ok s0: 8 entries, 0 calls without outcome\n".to_owned()));
    let mut bent = fs::read(only_segment(root.path())).unwrap();
    bent[ends[4] + 20] ^= 1;
    fs::write(only_segment(root.path()), bent).unwrap();
    assert!(check_independently(root.path()).unwrap_err().contains("torn tail"));
}

const CHILD_DIR: &str = "TOLLGATE_TEST_JOURNAL_DIR";

/// The writer that `a_killed_writer_loses_nothing_it_acknowledged` starts in a process of its own.
#[test]
fn child_writer() {
    let Some(root) = std::env::var_os(CHILD_DIR).map(PathBuf::from) else { return };
    let journal = Rc::new(Journal::open(spec(&root)).unwrap());
    block_on(Driver::Epoll, async {
        task::spawn(journal.clone().drain(|_| {}));
        loop {
            journal.room().await.unwrap();
            let seq = journal.intent(&some_intent()).unwrap();
            journal.outcome(seq, &some_outcome()).unwrap();
            println!("acknowledged {}", seq.0 + 1);
            task::yield_now().await;
        }
    })
    .unwrap();
}

#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    for round in 1..=5u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "--nocapture", "audit::tests::child_writer"]);
        let mut child = child.env(CHILD_DIR, root.path()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = io::BufReader::new(child.stdout.take().unwrap()).lines();
        let seq_of = |line: String| line.strip_prefix("acknowledged ").and_then(|seq| seq.parse::<u64>().ok());
        let first = lines.by_ref().map_while(io::Result::ok).find_map(seq_of).unwrap();
        std::thread::park_timeout(Duration::from_millis(10 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = lines.map_while(io::Result::ok).filter_map(seq_of).last().unwrap_or(first);
        let found = intact(root.path());
        assert!(found >= last, "round {round}: {last} was acknowledged, {found} are there");
    }
    drop(Journal::open(spec(root.path())).unwrap());
    intact(root.path());
}
