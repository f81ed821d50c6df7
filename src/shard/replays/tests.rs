//! What is kept of streams, and what goes first where it is too much.

use super::*;
use crate::base::clock::WallTime;
use crate::base::limits::{REPLAY_EVENTS_MAX, REPLAY_STREAM_BYTES_MAX};
use crate::mcp::caps::ClientCaps;
use crate::mcp::event_id;
use crate::mcp::revision::Revision;
use crate::rt::{sim, task, time};
use crate::shard::messages::Rest;
use crate::shard::replay::TTL;

const SHARD: ShardId = ShardId(2);

fn session(key: &str, id: u8) -> Session {
    Session {
        key: KeyId::parse(key).unwrap(),
        revision: Revision::V2025_11_25,
        client_name: "".into(),
        client_version: "".into(),
        caps: ClientCaps::default(),
        created: WallTime(0),
        id: [id; 16],
    }
}

fn sealing() -> Sealing {
    Sealing::new(&[1; 32])
}

fn call(replays: &Replays, session: &Session) -> Rc<Replay> {
    replays.begin(&sealing(), SHARD, session, Some(b"7"))
}

fn places(rest: Option<Rest>) -> Option<(Vec<u64>, bool)> {
    rest.map(|rest| (rest.events.iter().map(|(at, _)| *at).collect(), rest.is_all))
}

fn kib(count: usize) -> Vec<u8> {
    vec![b' '; count * 1024]
}

/// Nothing of it is left, in any count.
fn assert_empty(replays: &Replays) {
    let kept = replays.kept.borrow();
    assert!(kept.streams.is_empty() && kept.shares.is_empty());
    assert_eq!((kept.bytes, kept.left), (0, 0));
}

#[test]
fn what_came_after_an_event_is_had_again_and_only_of_its_stream() {
    let (replays, session) = (Replays::default(), session("k1", 1));
    let (one, other) = (call(&replays, &session), call(&replays, &session));
    let first = replays.say(&one, b"{\"n\":1}");
    replays.say(&other, b"{\"n\":2}");
    let last = replays.end(&one, b"{\"n\":3}");
    let found = replays.find(&[1; 16], one.number).unwrap();
    assert_eq!(found.after(0), Some(Rest { events: vec![(1, first), (2, last.clone())], is_all: true }));
    assert_eq!(found.after(1), Some(Rest { events: vec![(2, last.clone())], is_all: true }));
    assert_eq!(places(found.after(2)), Some((vec![], true)));
    assert_eq!(places(found.after(99)), Some((vec![], true)), "an altered place shows nothing new");
    assert_eq!(places(other.after(0)), Some((vec![1], false)));
    assert!(replays.find(&[2; 16], one.number).is_none(), "another session");
    let text = String::from_utf8(last.to_vec()).unwrap();
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let opened = event_id::open(&sealing(), id, &[1; 16]).unwrap();
    assert_eq!((opened.stream.shard, opened.stream.number, opened.at), (SHARD, one.number, 2));
    assert!(opened.is_last && opened.stream.request.as_deref() == Some(b"7"));
    assert!(text.starts_with("event: message\n") && text.ends_with("\ndata: {\"n\":3}\n\n"), "{text}");
}

#[test]
fn the_oldest_events_of_a_stream_go_first_and_its_answer_is_still_had() {
    let (replays, session) = (Replays::default(), session("k1", 1));
    let stream = call(&replays, &session);
    (0..REPLAY_EVENTS_MAX + 9).for_each(|_| drop(replays.say(&stream, b"{}")));
    replays.end(&stream, b"{}");
    let (places, is_all) = places(stream.after(1)).unwrap();
    assert_eq!((places.len(), places[0], is_all), (REPLAY_EVENTS_MAX, 11, true), "a call goes on past a gap");
    let get = replays.begin(&sealing(), SHARD, &session, None);
    (0..REPLAY_EVENTS_MAX + 9).for_each(|_| drop(replays.say(&get, b"{}")));
    assert_eq!(get.after(1), None, "a notice was missed that nothing makes up for");
    assert!(get.after(9).is_some());
}

#[test]
fn an_answer_that_is_too_long_is_lost_and_known_to_be() {
    let (replays, session) = (Replays::default(), session("k1", 1));
    let stream = call(&replays, &session);
    replays.say(&stream, b"{}");
    replays.end(&stream, &kib(REPLAY_STREAM_BYTES_MAX / 1024));
    assert_eq!(stream.after(1), None);
    assert_eq!(places(stream.after(2)), Some((vec![], true)), "whoever has it misses nothing");
    assert_eq!(replays.measure(), (1, 0));
}

#[test]
fn a_key_makes_room_for_itself_and_takes_none_of_others() {
    let (replays, other) = (Replays::default(), session("k2", 2));
    let kept = call(&replays, &other);
    replays.end(&kept, &kib(1));
    let session = session("k1", 1);
    let running = call(&replays, &session);
    replays.say(&running, &kib(1));
    let streams: Vec<_> = (0..40).map(|_| call(&replays, &session)).collect();
    for stream in &streams {
        replays.end(stream, &kib(1024));
        assert!(replays.kept.borrow().shares[&session.key].bytes <= REPLAY_KEY_BYTES_MAX);
    }
    let gone = streams.iter().take_while(|stream| stream.is_closed()).count();
    assert!(gone > 0 && streams[gone..].iter().all(|stream| !stream.is_closed()), "the oldest first: {gone}");
    assert!(!kept.is_closed() && !running.is_closed(), "another key's, and a call that runs");
    streams.iter().chain([&kept, &running]).for_each(|stream| replays.drop_stream(stream));
    assert_empty(&replays);
}

#[test]
fn a_shard_has_a_bound_for_all_keys_and_the_greatest_pays() {
    let replays = Replays::default();
    let small = call(&replays, &session("small", 9));
    replays.end(&small, b"{}");
    for number in 0..24 {
        let session = session(&format!("k{number}"), number);
        (0..3).for_each(|_| drop(replays.end(&call(&replays, &session), &kib(1024))));
        assert!(replays.kept.borrow().bytes <= REPLAY_SHARD_BYTES_MAX);
    }
    assert!(!small.is_closed());
    let running = call(&replays, &session("runs", 99));
    (0..3).for_each(|_| drop(replays.say(&running, &kib(1024))));
    assert_eq!(places(running.after(0)), Some((vec![1], false)), "one batch");
    assert!(replays.kept.borrow().bytes <= REPLAY_SHARD_BYTES_MAX);
}

#[test]
fn calls_that_run_keep_within_the_bound_too() {
    let (replays, session) = (Replays::default(), session("k1", 1));
    let streams: Vec<_> = (0..20).map(|_| call(&replays, &session)).collect();
    for stream in &streams {
        replays.say(stream, &kib(1024));
        assert!(replays.kept.borrow().bytes <= REPLAY_KEY_BYTES_MAX);
    }
    assert!(streams.iter().all(|stream| !stream.is_closed()), "a call that runs is not dropped, only what it said");
    let last = streams.last().unwrap();
    replays.end(last, b"{}");
    assert_eq!(places(last.after(0)), Some((vec![2], true)), "an answer that fits is had");
}

#[test]
fn streams_are_counted_for_a_key_and_for_all() {
    let (replays, one) = (Replays::default(), session("k1", 1));
    for _ in 0..REPLAY_KEY_STREAMS_MAX + 9 {
        replays.end(&call(&replays, &one), b"{}");
    }
    assert_eq!(replays.measure().0, REPLAY_KEY_STREAMS_MAX);
    for number in 0..REPLAY_SHARD_STREAMS_MAX {
        replays.end(&call(&replays, &session(&format!("x{}", number / 100), 2)), b"{}");
    }
    assert_eq!(replays.measure().0, REPLAY_SHARD_STREAMS_MAX);
    assert!(replays.kept.borrow().shares[&one.key].left.len() < REPLAY_KEY_STREAMS_MAX, "who has most loses first");
}

#[test]
fn an_ended_session_leaves_nothing_behind() {
    let (replays, ended, other) = (Replays::default(), session("k1", 1), session("k1", 2));
    let streams = [call(&replays, &ended), call(&replays, &ended), call(&replays, &other)];
    replays.end(&streams[0], b"{}");
    replays.end(&streams[2], b"{}");
    replays.forget(&ended.id);
    assert!(replays.find(&ended.id, streams[0].number).is_none());
    replays.end(&streams[1], b"{\"late\":true}");
    assert_eq!(replays.measure().0, 1);
    replays.forget(&other.id);
    assert_empty(&replays);
}

#[test]
fn what_nobody_comes_back_for_goes_with_time() {
    sim::run(1, async {
        let (replays, session) = (Replays::default(), session("k1", 1));
        let (ended, running) = (call(&replays, &session), call(&replays, &session));
        let get = replays.begin(&sealing(), SHARD, &session, None);
        replays.say(&get, b"{}");
        replays.leave(&get);
        replays.end(&ended, b"{}");
        time::sleep(TTL / 2).await;
        ended.touch();
        get.touch();
        time::sleep(TTL / 2).await;
        replays.expire();
        assert!(ended.is_closed(), "an answer is not kept longer for being read again");
        assert!(!get.is_closed() && !running.is_closed());
        time::sleep(TTL).await;
        replays.expire();
        assert!(get.is_closed() && !running.is_closed(), "a call that runs has no end yet");
        replays.drop_stream(&running);
        assert_empty(&replays);
    });
}

#[test]
fn old_events_of_an_open_stream_go_when_it_speaks_again() {
    sim::run(1, async {
        let (replays, session) = (Replays::default(), session("k1", 1));
        let get = replays.begin(&sealing(), SHARD, &session, None);
        replays.say(&get, b"{}");
        time::sleep(TTL).await;
        replays.say(&get, b"{}");
        assert_eq!(places(get.after(1)), Some((vec![2], false)));
        assert_eq!(get.after(0), None);
    });
}

#[test]
fn one_reader_at_a_time_and_the_last_one_reads() {
    sim::run(1, async {
        let (replays, session) = (Replays::default(), session("k1", 1));
        let stream = call(&replays, &session);
        assert!(!stream.is_taken() && !stream.is_heard());
        let first = stream.take_over();
        let waiting = stream.clone();
        let woken = task::spawn(async move { waiting.changed().await });
        task::yield_now().await;
        let second = stream.take_over();
        woken.await;
        assert!(stream.is_taken() && !stream.is_read_by(first) && stream.is_read_by(second));
        let listening = stream.listen();
        assert!(stream.is_heard());
        drop(listening);
        assert!(!stream.is_heard());
    });
}

#[test]
fn only_clients_that_know_events_without_data_get_one() {
    let replays = Replays::default();
    let newest = session("k1", 1);
    let stream = call(&replays, &newest);
    replays.say(&stream, b"{}");
    let primed = String::from_utf8(stream.prime(1000).unwrap()).unwrap();
    assert!(primed.starts_with("retry: 1000\nid: ") && primed.ends_with(".1\ndata: \n\n"), "{primed}");
    for revision in [Revision::V2025_03_26, Revision::V2025_06_18] {
        let older = Session { revision, ..newest.clone() };
        assert_eq!(call(&replays, &older).prime(1000), None);
    }
}
