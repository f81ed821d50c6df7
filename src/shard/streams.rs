//! The event streams that stay open: legacy GET streams and modern `subscriptions/listen`. They wake when a new
//! snapshot is in force and look whether their key's own list changed.

use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::base::limits::STREAMS_PER_KEY_MAX;
use crate::rt::local::Notify;
use foldhash::HashMap;
use std::cell::RefCell;

/// The streams of one shard.
#[derive(Default)]
pub(crate) struct Streams {
    changed: Notify,
    per_key: RefCell<HashMap<KeyId, usize>>,
}

/// One open stream in the count of its key.
pub(crate) struct OpenStream<'a> {
    streams: &'a Streams,
    key: KeyId,
}

impl Streams {
    /// Counts a stream of `key`.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where the key has too many on this shard.
    pub(crate) fn open(&self, key: KeyId) -> Result<OpenStream<'_>> {
        let mut per_key = self.per_key.borrow_mut();
        let count = per_key.entry(key).or_default();
        if *count >= STREAMS_PER_KEY_MAX {
            let words = "too many event streams of this key are open: close some, or try later";
            return Err(Error::new(Kind::Overloaded, words));
        }
        *count += 1;
        Ok(OpenStream { streams: self, key })
    }

    /// Wakes every stream: a new snapshot is in force, or the shard drains.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Waits for the next wake.
    pub(crate) async fn woken(&self) {
        self.changed.notified().await;
    }
}

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        let mut per_key = self.streams.per_key.borrow_mut();
        if let Some(count) = per_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                per_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_bounded_number_of_streams_and_gets_room_back() {
        let streams = Streams::default();
        let open: Vec<_> = (0..STREAMS_PER_KEY_MAX).map(|_| streams.open(KeyId::ANONYMOUS).expect("room")).collect();
        assert!(streams.open(KeyId::ANONYMOUS).is_err());
        drop(open);
        assert!(streams.per_key.borrow().is_empty());
        streams.open(KeyId::ANONYMOUS).expect("room again");
    }
}
