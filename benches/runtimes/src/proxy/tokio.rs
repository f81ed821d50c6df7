//! The proxy on tokio: its current-thread runtime, tasks that stay on it.

use super::{ANY_PORT, announce};
use crate::relay::{Pool, Wire, serve};
use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::{TcpListener, TcpStream};
use ::tokio::task::{LocalSet, spawn_local};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

impl Wire for TcpStream {
    async fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = Self::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(&mut self, mut buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        (self.read_buf(&mut buf).await, buf)
    }

    async fn write(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        (self.write_all(&buf).await, buf)
    }
}

pub(super) fn run(upstream: SocketAddr) -> io::Result<()> {
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, accept(upstream))
}

async fn accept(upstream: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(ANY_PORT).await?;
    announce(listener.local_addr()?);
    let pool = Rc::new(Pool::new(upstream));
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let pool = pool.clone();
        spawn_local(async move { serve(client, &pool).await });
    }
}
