//! Who speaks on a legacy session's event stream: each message gets an id and is kept for a client that comes back.

use crate::base::limits::REPLAY_RETRY_MS;
use crate::mcp::session::Session;
use crate::rt::random;
use crate::shard::Shard;
use crate::shard::replay::Replay;
use bytes::Bytes;
use std::rc::Rc;

/// The writing end of a stream. Where it is dropped before the end was said, nothing of the stream is kept.
pub(crate) struct Teller {
    shard: Rc<Shard>,
    replay: Rc<Replay>,
}

impl Teller {
    /// Begins a stream of a session: the answer to the request with this raw id, or a GET stream.
    pub(crate) fn new(shard: &Rc<Shard>, session: &Session, request: Option<&[u8]>) -> Self {
        let replay = shard.replays.begin(&shard.sealing, shard.id, session, request);
        if shard.ended.has(&session.id) {
            // Its client has ended the session since the request came, and will not be back.
            shard.replays.drop_stream(&replay);
        }
        Self { shard: shard.clone(), replay }
    }

    /// The stream.
    pub(crate) fn stream(&self) -> &Replay {
        &self.replay
    }

    /// The first event, for clients that know events without data.
    pub(crate) fn first(&self) -> Option<Vec<u8>> {
        self.replay.prime(REPLAY_RETRY_MS)
    }

    /// The last event of a stream that the gate closes although more is to come.
    pub(crate) fn closing(&self) -> Option<Vec<u8>> {
        self.replay.prime(spread_retry_ms())
    }

    /// A message, as it is written.
    pub(crate) fn say(&self, json: &[u8]) -> Bytes {
        self.shard.replays.say(&self.replay, json)
    }

    /// The last message, as it is written.
    pub(crate) fn end(self, json: &[u8]) -> Bytes {
        self.shard.replays.end(&self.replay, json)
    }

    /// The client is gone, and may come back.
    pub(crate) fn leave(&self) {
        self.shard.replays.leave(&self.replay);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if !self.replay.has_ended() {
            self.shard.replays.drop_stream(&self.replay);
        }
    }
}

/// Time until a client is to come back to a gate that closes its stream: not all at the same moment.
pub(crate) fn spread_retry_ms() -> u64 {
    let [spread] = random::label();
    REPLAY_RETRY_MS + u64::from(spread) * REPLAY_RETRY_MS / 64
}
