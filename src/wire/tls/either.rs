//! A stream that may or may not be TLS, decided per connection.

use super::TlsStream;
use crate::rt::stream::Stream;
use bytes::Bytes;
use std::io;

/// A plain or a TLS stream.
#[derive(Debug)]
pub enum MaybeTls<S> {
    /// As it comes.
    Plain(S),
    /// Inside TLS.
    Tls(Box<TlsStream<S>>),
}

/// Runs one expression on whichever stream it is.
macro_rules! either {
    ($self:ident, $stream:ident => $what:expr) => {
        match $self {
            Self::Plain($stream) => $what,
            Self::Tls($stream) => $what,
        }
    };
}

impl<S: Stream> Stream for MaybeTls<S> {
    async fn read(&mut self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        either!(self, stream => stream.read(buf).await)
    }

    async fn write_all(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        either!(self, stream => stream.write_all(buf).await)
    }

    async fn write_bytes(&mut self, buf: Bytes) -> io::Result<()> {
        either!(self, stream => stream.write_bytes(buf).await)
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        either!(self, stream => stream.shutdown().await)
    }

    async fn readable(&self) -> io::Result<()> {
        either!(self, stream => stream.readable().await)
    }

    fn peek_closed(&self) -> bool {
        either!(self, stream => stream.peek_closed())
    }

    fn try_read(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        either!(self, stream => stream.try_read(buf))
    }
}
