//! The byte stream that everything above talks to: owned buffers, static dispatch.

use bytes::Bytes;
use std::io;

/// Least room a read is given, in bytes.
pub(crate) const READ_RESERVE: usize = 4 * 1024;

/// A two-way byte stream with owned buffers.
///
/// A `read` or write that was dropped before it ended may have taken or left part of its bytes: the stream is then
/// fit only for dropping, and implementations answer every later read (or write) with an error. Wait with
/// [`Stream::readable`] where the wait must be cancellable.
#[allow(async_fn_in_trait, reason = "streams never leave their thread")]
pub trait Stream: 'static {
    /// Appends bytes to `buf`, within its spare capacity (some is reserved if there is none). `Ok(0)` is the end.
    async fn read(&mut self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>);

    /// Writes all of `buf` and gives it back.
    async fn write_all(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>);

    /// Writes shared bytes without copying them.
    async fn write_bytes(&mut self, buf: Bytes) -> io::Result<()>;

    /// Ends our half: the peer reads an end after what was written.
    async fn shutdown(&mut self) -> io::Result<()>;

    /// Waits until bytes, the end or an error can be read. Safe to drop.
    async fn readable(&self) -> io::Result<()>;

    /// Whether the peer is gone, found without waiting: true at the end or after a reset with nothing left to read;
    /// false while bytes wait or the peer is silent.
    fn peek_closed(&self) -> bool;

    /// Appends what is there to `buf`, within its spare capacity (some is reserved if there is none), without
    /// waiting. `Ok(0)` is the end. Must not run beside a pending read.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; `Unsupported` on streams that cannot do it.
    fn try_read(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let _ = buf;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Writes as many of `bytes` as there is room for, without waiting. Must not run beside a pending write.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; `Unsupported` on streams that cannot do it.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let _ = bytes;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Reserves room for a read if there is none.
pub(crate) fn with_room(mut buf: Vec<u8>) -> Vec<u8> {
    if buf.len() == buf.capacity() {
        buf.reserve(READ_RESERVE);
    }
    buf
}

/// Marks one direction of a stream as busy, so that a dropped operation poisons it instead of losing bytes.
#[derive(Debug, Default)]
pub(crate) struct Busy(bool);

impl Busy {
    /// Takes the direction.
    ///
    /// # Errors
    /// An earlier operation was dropped before it ended.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.check()?;
        self.0 = true;
        Ok(())
    }

    /// As [`Busy::begin`], for an operation that ends at once.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.0 {
            return Err(io::Error::other("an earlier operation on this stream was dropped half way; close the stream"));
        }
        Ok(())
    }

    /// Gives it back.
    pub(crate) fn end(&mut self) {
        self.0 = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_operation_poisons_its_direction() {
        let mut busy = Busy::default();
        busy.begin().unwrap();
        busy.end();
        busy.begin().unwrap();
        assert!(busy.begin().is_err());
    }

    #[test]
    fn room_is_made_only_where_there_is_none() {
        assert_eq!(with_room(Vec::with_capacity(10)).capacity(), 10);
        let full = vec![0; 8].into_boxed_slice().into_vec();
        assert!(with_room(full).capacity() >= 8 + READ_RESERVE);
    }
}
