//! The proxy on monoio: io_uring with the flags the gate uses, or epoll.

use super::{ANY_PORT, announce};
use crate::relay::{Pool, Wire, serve};
use ::monoio::buf::IoBufMut;
use ::monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use ::monoio::net::{TcpListener, TcpStream};
use ::monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

const ENTRIES: u32 = 4096;

impl Wire for TcpStream {
    async fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = Self::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(&mut self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let (held, room) = (buf.len(), buf.capacity());
        let (came, slice) = AsyncReadRent::read(self, buf.slice_mut(held..room)).await;
        (came, slice.into_inner())
    }

    async fn write(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let (sent, buf) = self.write_all(buf).await;
        (sent.map(drop), buf)
    }
}

pub(super) fn on_uring(upstream: SocketAddr) -> io::Result<()> {
    let mut flags = io_uring::IoUring::builder();
    flags.setup_single_issuer().setup_defer_taskrun();
    let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(flags).with_entries(ENTRIES);
    builder.build()?.block_on(accept(upstream))
}

pub(super) fn on_epoll(upstream: SocketAddr) -> io::Result<()> {
    RuntimeBuilder::<LegacyDriver>::new().with_entries(ENTRIES).build()?.block_on(accept(upstream))
}

async fn accept(upstream: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr()?);
    let pool = Rc::new(Pool::new(upstream));
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let pool = pool.clone();
        ::monoio::spawn(async move { serve(client, &pool).await });
    }
}
