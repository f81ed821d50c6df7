//! The server behind the proxies: answers every request with the same 300 bytes. The same one for all of them.

use crate::message::{self, From, MESSAGE_MAX};
use crate::proxy::{ANY_PORT, announce};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BODY: usize = 300;

/// Serves until it is killed.
pub(crate) fn run() -> io::Result<()> {
    let body = "a".repeat(BODY);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {BODY}\r\n\r\n");
    let answer: &'static [u8] = (head + &body).leak().as_bytes();
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::bind(ANY_PORT).await?;
        announce(listener.local_addr()?);
        loop {
            let (client, _) = listener.accept().await?;
            client.set_nodelay(true)?;
            tokio::spawn(serve(client, answer));
        }
    })
}

async fn serve(mut client: TcpStream, answer: &'static [u8]) -> io::Result<()> {
    let mut buf = Vec::with_capacity(MESSAGE_MAX);
    while client.read_buf(&mut buf).await? > 0 {
        if let Some(length) = message::length(&buf, From::Client)? {
            buf.drain(..length);
            client.write_all(answer).await?;
        }
    }
    Ok(())
}
