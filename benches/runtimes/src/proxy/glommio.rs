//! The proxy on glommio: three rings on one thread. Needs io_uring, and locked memory for the rings.

use super::{ANY_PORT, announce};
use crate::relay::{Pool, Wire, serve};
use ::glommio::net::{TcpListener, TcpStream};
use ::glommio::{LocalExecutorBuilder, Placement, spawn_local};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

impl Wire for TcpStream {
    async fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = Self::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Its sockets read into initialised memory only: the room left is zeroed first, some tens of nanoseconds.
    async fn read(&mut self, mut buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let held = buf.len();
        buf.resize(buf.capacity(), 0);
        let came = AsyncReadExt::read(self, &mut buf[held..]).await;
        buf.truncate(held + came.as_ref().map_or(0, |came| *came));
        (came, buf)
    }

    async fn write(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        (self.write_all(&buf).await, buf)
    }
}

pub(super) fn run(upstream: SocketAddr) -> io::Result<()> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().map_err(|error| {
        let words = format!("glommio does not start: {error}; it needs io_uring, and locked memory (see ulimit -l)");
        io::Error::other(words)
    })?;
    executor.run(accept(upstream))
}

async fn accept(upstream: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr()?);
    let pool = Rc::new(Pool::new(upstream));
    loop {
        let client = listener.accept().await?;
        client.set_nodelay(true)?;
        let pool = pool.clone();
        spawn_local(async move { serve(client, &pool).await }).detach();
    }
}
