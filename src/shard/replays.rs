//! The event streams of legacy sessions that one shard keeps for clients that come back.
//!
//! What is kept of one stream, for one key and in all is bounded; where it is too much, the oldest goes first: events
//! of the stream that says more, then whole streams of the key, then those of the key that keeps the most. Only streams
//! that have ended or lost their client go whole.

use crate::base::ids::{KeyId, ShardId};
use crate::base::limits::{
    REPLAY_KEY_BYTES_MAX, REPLAY_KEY_STREAMS_MAX, REPLAY_SHARD_BYTES_MAX, REPLAY_SHARD_STREAMS_MAX,
};
use crate::mcp::session::{Sealing, Session};
use crate::shard::replay::{Event, Replay};
use crate::shard::session::SessionKey;
use bytes::Bytes;
use foldhash::HashMap;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// The streams that one shard keeps.
#[derive(Default)]
pub(crate) struct Replays {
    kept: RefCell<Kept>,
}

#[derive(Default)]
struct Kept {
    streams: HashMap<u64, Rc<Replay>>,
    shares: HashMap<KeyId, Share>,
    bytes: usize,
    /// Streams that have ended or lost their client.
    left: usize,
}

/// What is kept for one key.
#[derive(Default)]
struct Share {
    streams: usize,
    bytes: usize,
    /// Those that have ended or lost their client, the oldest first.
    left: VecDeque<Rc<Replay>>,
}

impl Replays {
    /// Begins to keep a stream of a session: the answer to the request with this raw id, or a GET stream.
    pub(crate) fn begin(
        &self,
        sealing: &Sealing,
        shard: ShardId,
        session: &Session,
        request: Option<&[u8]>,
    ) -> Rc<Replay> {
        let replay = Rc::new(Replay::new(sealing, shard, session, request));
        let mut kept = self.kept.borrow_mut();
        kept.shares.entry(replay.key).or_default().streams += 1;
        kept.streams.insert(replay.number, replay.clone());
        replay
    }

    /// A stream of a session.
    pub(crate) fn find(&self, session: &SessionKey, number: u64) -> Option<Rc<Replay>> {
        self.kept.borrow().streams.get(&number).filter(|replay| replay.session == *session).cloned()
    }

    /// Says something on a stream: gives it as it is written, and keeps it.
    pub(crate) fn say(&self, replay: &Rc<Replay>, json: &[u8]) -> Bytes {
        let event = replay.event(json, false);
        let wire = event.wire();
        self.kept.borrow_mut().keep(replay, event);
        wire
    }

    /// Says the last thing on a stream.
    pub(crate) fn end(&self, replay: &Rc<Replay>, json: &[u8]) -> Bytes {
        let event = replay.event(json, true);
        let wire = event.wire();
        let mut kept = self.kept.borrow_mut();
        kept.keep(replay, event);
        kept.leave(replay);
        wire
    }

    /// A GET stream has lost its client, who may come back.
    pub(crate) fn leave(&self, replay: &Rc<Replay>) {
        self.kept.borrow_mut().leave(replay);
    }

    /// Keeps nothing of a stream any more.
    pub(crate) fn drop_stream(&self, replay: &Rc<Replay>) {
        self.kept.borrow_mut().drop_stream(replay);
    }

    /// Keeps nothing of a session any more.
    pub(crate) fn forget(&self, session: &SessionKey) {
        self.kept.borrow_mut().drop_where(|replay| replay.session == *session);
    }

    /// Lets go of streams to which nobody has come back in time.
    pub(crate) fn expire(&self) {
        let mut kept = self.kept.borrow_mut();
        if kept.left == 0 {
            return;
        }
        let left = kept.shares.values().flat_map(|share| &share.left);
        let late: Vec<_> = left.filter(|replay| replay.is_late()).cloned().collect();
        late.iter().for_each(|replay| kept.drop_stream(replay));
    }

    /// Streams kept for clients that are gone, and bytes kept in all.
    pub(crate) fn measure(&self) -> (usize, usize) {
        let kept = self.kept.borrow();
        (kept.left, kept.bytes)
    }
}

impl Kept {
    fn keep(&mut self, replay: &Rc<Replay>, event: Event) {
        if replay.is_closed() {
            return;
        }
        let cost = replay.keep(event);
        self.count(replay, cost);
        while replay.is_over() {
            self.trim(replay);
        }
        while self.shares.get(&replay.key).is_some_and(|share| share.bytes > REPLAY_KEY_BYTES_MAX) {
            match self.oldest(replay.key, replay) {
                Some(oldest) => self.drop_stream(&oldest),
                None if self.trim(replay) => {}
                None => break,
            }
        }
        while self.bytes > REPLAY_SHARD_BYTES_MAX {
            let greatest = self.shares.iter().filter(|(_, share)| !share.left.is_empty());
            let greatest = greatest.max_by_key(|(_, share)| share.bytes).map(|(key, _)| *key);
            match greatest.and_then(|key| self.oldest(key, replay)) {
                Some(oldest) => self.drop_stream(&oldest),
                None if self.trim(replay) => {}
                None => break,
            }
        }
    }

    /// The stream of a key that goes first, unless it is this one.
    fn oldest(&self, key: KeyId, but: &Rc<Replay>) -> Option<Rc<Replay>> {
        self.shares.get(&key)?.left.iter().find(|replay| !Rc::ptr_eq(replay, but)).cloned()
    }

    fn count(&mut self, replay: &Replay, more: usize) {
        self.bytes += more;
        if let Some(share) = self.shares.get_mut(&replay.key) {
            share.bytes += more;
        }
    }

    fn discount(&mut self, replay: &Replay, less: usize) {
        self.bytes -= less;
        if let Some(share) = self.shares.get_mut(&replay.key) {
            share.bytes -= less;
        }
    }

    /// Lets the oldest event of a stream go; says whether there was one.
    fn trim(&mut self, replay: &Replay) -> bool {
        let freed = replay.forget_first();
        self.discount(replay, freed);
        freed > 0
    }

    fn leave(&mut self, replay: &Rc<Replay>) {
        let Some(share) = self.shares.get_mut(&replay.key).filter(|_| !replay.is_closed()) else { return };
        replay.leave();
        share.left.push_back(replay.clone());
        let over = (share.left.len() > REPLAY_KEY_STREAMS_MAX).then(|| share.left[0].clone());
        self.left += 1;
        if let Some(oldest) = over {
            self.drop_stream(&oldest);
        } else if self.left > REPLAY_SHARD_STREAMS_MAX {
            let most = self.shares.values().max_by_key(|share| share.left.len());
            if let Some(oldest) = most.and_then(|share| share.left.front()).cloned() {
                self.drop_stream(&oldest);
            }
        }
    }

    fn drop_where(&mut self, is_meant: impl Fn(&Replay) -> bool) {
        let meant: Vec<_> = self.streams.values().filter(|replay| is_meant(replay)).cloned().collect();
        meant.iter().for_each(|replay| self.drop_stream(replay));
    }

    fn drop_stream(&mut self, replay: &Rc<Replay>) {
        if self.streams.remove(&replay.number).is_none() {
            return;
        }
        while self.trim(replay) {}
        replay.close();
        let Some(share) = self.shares.get_mut(&replay.key) else { return };
        let before = share.left.len();
        share.left.retain(|other| !Rc::ptr_eq(other, replay));
        self.left -= before - share.left.len();
        share.streams -= 1;
        if share.streams == 0 {
            self.shares.remove(&replay.key);
        }
    }
}

#[cfg(test)]
mod tests;
