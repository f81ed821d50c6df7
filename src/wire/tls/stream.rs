//! One TLS connection over a byte stream.

use crate::base::buf;
use crate::rt::stream::{READ_RESERVE, Stream};
use bytes::Bytes;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

/// Room for one read of ciphertext once a peer sends much: a whole record and its frame, in bytes.
const RECORD_ROOM: usize = 17 * 1024;

/// A TLS connection, client's or server's side.
///
/// What [`Stream`] says of dropped reads and writes holds here too. Waiting with `readable` decrypts what comes in,
/// so that tickets and alerts are not taken for data, and `peek_closed` sees an orderly goodbye.
pub struct TlsStream<S> {
    io: S,
    /// Borrowed only between awaits.
    session: RefCell<Session>,
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsStream")
    }
}

/// The protocol's state and the ciphertext not yet fed to it.
struct Session {
    tls: Connection,
    ciphertext: Vec<u8>,
    fed: usize,
    plaintext: usize,
    /// The peer said goodbye (close_notify).
    goodbye: bool,
    /// The stream below ended.
    ended: bool,
    failed: Option<rustls::Error>,
    /// The last read filled its buffer: the next one gets a bigger one.
    busy: bool,
}

impl Session {
    fn new(tls: Connection) -> Self {
        Self {
            tls,
            ciphertext: Vec::new(),
            fed: 0,
            plaintext: 0,
            goodbye: false,
            ended: false,
            failed: None,
            busy: false,
        }
    }

    /// Whether a read has something to say at once.
    fn is_ready(&self) -> bool {
        self.plaintext > 0 || self.is_over()
    }

    /// Whether nothing more will come.
    fn is_over(&self) -> bool {
        self.plaintext == 0 && (self.goodbye || self.ended || self.failed.is_some())
    }

    /// Where the next ciphertext goes.
    fn room(&self) -> Vec<u8> {
        let mut room = buf::take();
        if self.busy {
            room.reserve(RECORD_ROOM);
        }
        room
    }

    /// Takes what a read brought. Only once all earlier ciphertext is fed.
    fn receive(&mut self, ciphertext: Vec<u8>, got: usize) {
        self.busy = ciphertext.len() == ciphertext.capacity();
        self.ended |= got == 0;
        self.ciphertext = ciphertext;
        self.fed = 0;
        self.feed();
    }

    /// Decrypts until there is plaintext or no ciphertext is left.
    fn feed(&mut self) {
        while self.fed < self.ciphertext.len() && !self.is_ready() {
            let mut rest = &self.ciphertext[self.fed..];
            let before = rest.len();
            let read = self.tls.read_tls(&mut rest);
            self.fed += before - rest.len();
            match (read, self.tls.process_new_packets()) {
                (Ok(_), Ok(state)) => {
                    self.plaintext = state.plaintext_bytes_to_read();
                    self.goodbye = state.peer_has_closed();
                }
                (_, Err(e)) => self.failed = Some(e),
                (Err(e), Ok(_)) => self.failed = Some(rustls::Error::General(e.to_string())),
            }
        }
        if self.fed == self.ciphertext.len() {
            self.fed = 0;
            buf::give(std::mem::take(&mut self.ciphertext));
        }
    }

    /// Moves plaintext into the spare room of `into`.
    fn take_plaintext(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let mut reader = self.tls.reader();
        let chunk = reader.fill_buf()?;
        let taken = chunk.len().min(into.capacity() - into.len());
        into.extend_from_slice(&chunk[..taken]);
        reader.consume(taken);
        self.plaintext -= taken;
        Ok(taken)
    }

    /// What a read says when nothing more will come.
    fn last_word(&self) -> io::Result<usize> {
        match &self.failed {
            Some(e) => Err(io::Error::new(io::ErrorKind::InvalidData, e.clone())),
            None if self.goodbye => Ok(0),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer ended without a tls close_notify")),
        }
    }

    /// A read that needs no more ciphertext; nothing if it does.
    fn read_now(&mut self, into: &mut Vec<u8>) -> Option<io::Result<usize>> {
        self.feed();
        match () {
            () if self.plaintext > 0 => Some(self.take_plaintext(into)),
            () if self.is_over() => Some(self.last_word()),
            () => None,
        }
    }

    /// Encrypts some of `plain`; what rustls has no room for is left for the next round.
    fn encrypt(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.tls.writer().write_all_it_can(plain)
    }

    /// Everything that waits to be sent.
    fn outgoing(&mut self) -> io::Result<Vec<u8>> {
        let mut out = buf::take();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out)?;
        }
        Ok(out)
    }
}

/// A writer that takes part of what it is given.
trait Partial {
    fn write_all_it_can(self, bytes: &[u8]) -> io::Result<usize>;
}

impl<W: Write> Partial for W {
    #[allow(clippy::disallowed_methods, reason = "the caller sends what was taken and comes back with the rest")]
    fn write_all_it_can(mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }
}

/// What looking for ciphertext brought.
#[derive(PartialEq, Eq)]
enum Pulled {
    /// Something, an end included.
    Some,
    /// Nothing yet.
    Nothing,
    /// The stream below cannot be read without waiting.
    Blind,
}

fn tls_error(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

impl<S: Stream> TlsStream<S> {
    /// Shakes hands as a client with the server of this name or address. Limit it in time.
    ///
    /// # Errors
    /// `InvalidInput`: not a name. `InvalidData`: the server is not who it should be, or breaks the protocol.
    pub async fn connect(io: S, config: Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{host} is no host name tls can check"))
        })?;
        let tls = ClientConnection::new(config, name).map_err(tls_error)?;
        Self::shake_hands(io, Connection::Client(tls)).await
    }

    /// Shakes hands as a server. Limit it in time.
    ///
    /// # Errors
    /// `InvalidData`: the client breaks the protocol or shares no version with us.
    pub async fn accept(io: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = ServerConnection::new(config).map_err(tls_error)?;
        Self::shake_hands(io, Connection::Server(tls)).await
    }

    async fn shake_hands(io: S, tls: Connection) -> io::Result<Self> {
        let mut this = Self { io, session: RefCell::new(Session::new(tls)) };
        loop {
            this.flush().await?;
            if !this.session.get_mut().tls.is_handshaking() {
                return Ok(this);
            }
            if this.session.get_mut().is_over() {
                return this.session.get_mut().last_word().and(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            this.pull().await?;
        }
    }

    /// Waits for ciphertext and feeds it. An alert it provokes is sent, best effort.
    async fn pull(&mut self) -> io::Result<()> {
        self.session.get_mut().feed();
        if self.session.get_mut().is_ready() {
            return Ok(());
        }
        let room = self.session.get_mut().room();
        let (got, ciphertext) = self.io.read(room).await;
        self.session.get_mut().receive(ciphertext, got?);
        if self.session.get_mut().failed.is_some() {
            let _ = self.flush().await;
        }
        Ok(())
    }

    /// Sends what waits to be sent.
    async fn flush(&mut self) -> io::Result<()> {
        if !self.session.get_mut().tls.wants_write() {
            return Ok(());
        }
        let out = self.session.get_mut().outgoing()?;
        let (sent, out) = self.io.write_all(out).await;
        buf::give(out);
        sent
    }

    async fn write_slice(&mut self, mut plain: &[u8]) -> io::Result<()> {
        while !plain.is_empty() {
            let taken = self.session.get_mut().encrypt(plain)?;
            plain = plain.get(taken..).unwrap_or_default();
            self.flush().await?;
        }
        Ok(())
    }

    /// Feeds what can be had without waiting.
    fn pull_now(&self) -> Pulled {
        let mut session = self.session.borrow_mut();
        session.feed();
        if session.is_ready() {
            return Pulled::Some;
        }
        let mut room = session.room();
        let error = match self.io.try_read(&mut room) {
            Ok(got) => {
                session.receive(room, got);
                return Pulled::Some;
            }
            Err(e) => e,
        };
        buf::give(room);
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Pulled::Nothing,
            io::ErrorKind::Unsupported => Pulled::Blind,
            _ => {
                session.ended = true;
                Pulled::Some
            }
        }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.io
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    async fn read(&mut self, mut buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if buf.len() == buf.capacity() {
            buf.reserve(READ_RESERVE);
        }
        loop {
            if let Some(done) = self.session.get_mut().read_now(&mut buf) {
                return (done, buf);
            }
            // Before waiting: an answer to a key update must not wait for our next write.
            let pulled = match self.flush().await {
                Ok(()) => self.pull().await,
                failed => failed,
            };
            if let Err(e) = pulled {
                return (Err(e), buf);
            }
        }
    }

    async fn write_all(&mut self, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let written = self.write_slice(&buf).await;
        (written, buf)
    }

    async fn write_bytes(&mut self, buf: Bytes) -> io::Result<()> {
        self.write_slice(&buf).await
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.session.get_mut().tls.send_close_notify();
        self.flush().await?;
        self.io.shutdown().await
    }

    async fn readable(&self) -> io::Result<()> {
        loop {
            self.session.borrow_mut().feed();
            if self.session.borrow().is_ready() {
                return Ok(());
            }
            self.io.readable().await?;
            if self.pull_now() == Pulled::Blind {
                return Ok(());
            }
        }
    }

    fn peek_closed(&self) -> bool {
        while !self.session.borrow().is_ready() && self.pull_now() == Pulled::Some {}
        let over = self.session.borrow().is_over();
        over || (!self.session.borrow().is_ready() && self.io.peek_closed())
    }

    fn try_read(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        if buf.len() == buf.capacity() {
            buf.reserve(READ_RESERVE);
        }
        loop {
            if let Some(done) = self.session.borrow_mut().read_now(buf) {
                return done;
            }
            match self.pull_now() {
                Pulled::Some => {}
                Pulled::Nothing => return Err(io::ErrorKind::WouldBlock.into()),
                Pulled::Blind => return Err(io::ErrorKind::Unsupported.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::net::{TcpListener, TcpStream};
    use crate::rt::shard::tests::on_each_runtime;
    use crate::rt::{task, time};
    use crate::wire::tls::config::tests::write_identity;
    use crate::wire::tls::{MaybeTls, ServerIdentity, client_config};
    use std::net::SocketAddr;
    use std::time::Duration;

    type Tls = TlsStream<TcpStream>;

    struct Configs {
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
    }

    fn configs() -> Configs {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = write_identity(dir.path(), "a");
        let server = ServerIdentity::load(&cert, &key).unwrap().config();
        Configs { client: client_config(Some(&cert)).unwrap(), server }
    }

    async fn plain_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = listener.local_addr();
        let accepted = task::spawn(async move { listener.accept().await.unwrap().0 });
        let client = TcpStream::connect(addr).await.unwrap();
        (client, accepted.await)
    }

    async fn shaken(configs: &Configs, host: &str) -> (io::Result<Tls>, io::Result<Tls>) {
        let (client, server) = plain_pair().await;
        let accepting = task::spawn(TlsStream::accept(server, configs.server.clone()));
        let client = TlsStream::connect(client, configs.client.clone(), host).await;
        (client, accepting.await)
    }

    async fn pair() -> (Tls, Tls) {
        let (client, server) = shaken(&configs(), "localhost").await;
        (client.unwrap(), server.unwrap())
    }

    async fn read_exactly(stream: &mut impl Stream, want: usize) -> Vec<u8> {
        let mut buf = Vec::with_capacity(want);
        while buf.len() < want {
            let (got, back) = stream.read(buf).await;
            buf = back;
            assert_ne!(got.unwrap(), 0, "ended after {} of {want}", buf.len());
        }
        buf
    }

    #[test]
    fn bytes_pass_both_ways_and_a_goodbye_is_an_end() {
        on_each_runtime(|| async {
            let (mut client, mut server) = pair().await;
            client.write_all(b"ping".to_vec()).await.0.unwrap();
            assert_eq!(read_exactly(&mut server, 4).await, b"ping");
            server.write_bytes(Bytes::from_static(b"pong")).await.unwrap();
            assert_eq!(read_exactly(&mut client, 4).await, b"pong");
            client.shutdown().await.unwrap();
            assert_eq!(server.read(Vec::new()).await.0.unwrap(), 0);
            assert!(server.peek_closed());
        });
    }

    #[test]
    fn megabytes_pass_in_small_and_big_reads() {
        on_each_runtime(|| async {
            let (mut client, mut server) = pair().await;
            let sent: Vec<u8> = (0..2_000_000u32).map(|n| n.to_be_bytes()[3]).collect();
            let copy = sent.clone();
            let writing = task::spawn(async move {
                client.write_all(copy).await.0.unwrap();
                client
            });
            let mut got = read_exactly(&mut server, 10).await;
            got.extend(read_exactly(&mut server, sent.len() - 10).await);
            assert!(got == sent);
            drop(writing.await);
            // A reset rather than an end where the client never read the server's tickets.
            let cut = server.read(Vec::new()).await.0.unwrap_err().kind();
            assert!(matches!(cut, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{cut:?}");
        });
    }

    #[test]
    fn a_stranger_or_a_wrong_name_is_refused_by_the_client_and_told_to_the_server() {
        on_each_runtime(|| async {
            let ours = configs();
            let (client, server) = shaken(&ours, "elsewhere.example").await;
            assert_eq!(client.unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(server.unwrap_err().kind(), io::ErrorKind::InvalidData);
            let mixed = Configs { client: configs().client, server: ours.server };
            let (client, _) = shaken(&mixed, "localhost").await;
            assert_eq!(client.unwrap_err().kind(), io::ErrorKind::InvalidData);
            let (client, _) = shaken(&mixed, "no name").await;
            assert_eq!(client.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        });
    }

    #[test]
    fn plain_http_on_a_tls_port_is_an_error_not_a_hang() {
        on_each_runtime(|| async {
            let (mut client, server) = plain_pair().await;
            let accepting = task::spawn(TlsStream::accept(server, configs().server));
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()).await.0.unwrap();
            assert_eq!(accepting.await.unwrap_err().kind(), io::ErrorKind::InvalidData);
            let (client, server) = plain_pair().await;
            drop(client);
            let cut = TlsStream::accept(server, configs().server).await;
            assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        });
    }

    #[test]
    fn waiting_sees_data_and_goodbyes_but_not_tickets_and_can_be_dropped() {
        on_each_runtime(|| async {
            let (client, mut server) = pair().await;
            // The server's session tickets wait in the client's socket by now: no data, no end.
            assert!(time::timeout(Duration::from_millis(20), client.readable()).await.is_err());
            assert!(!client.peek_closed());
            server.write_all(b"x".to_vec()).await.0.unwrap();
            client.readable().await.unwrap();
            assert!(!client.peek_closed());
            let mut got = Vec::new();
            assert_eq!(client.try_read(&mut got).unwrap(), 1);
            assert_eq!(client.try_read(&mut got).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            server.shutdown().await.unwrap();
            client.readable().await.unwrap();
            assert!(client.peek_closed());
            let (client, server) = pair().await;
            drop(server);
            client.readable().await.unwrap();
            assert!(client.peek_closed());
        });
    }

    #[test]
    fn sessions_are_resumed_by_tickets_on_any_connection() {
        on_each_runtime(|| async {
            let configs = configs();
            for round in 0..2 {
                let (client, server) = shaken(&configs, "127.0.0.1").await;
                let (mut client, mut server) = (client.unwrap(), server.unwrap());
                server.write_all(b"x".to_vec()).await.0.unwrap();
                assert_eq!(read_exactly(&mut client, 1).await, b"x");
                let kind = server.session.borrow().tls.handshake_kind();
                let resumed = kind == Some(rustls::HandshakeKind::Resumed);
                assert_eq!(resumed, round == 1, "{kind:?}");
            }
        });
    }

    #[test]
    fn either_kind_of_stream_serves() {
        on_each_runtime(|| async {
            let (tls_client, tls_server) = pair().await;
            let (client, server) = plain_pair().await;
            let plain = (MaybeTls::Plain(client), MaybeTls::Plain(server));
            let tls = (MaybeTls::Tls(Box::new(tls_client)), MaybeTls::Tls(Box::new(tls_server)));
            for (mut client, mut server) in [plain, tls] {
                client.write_all(b"ab".to_vec()).await.0.unwrap();
                client.write_bytes(Bytes::from_static(b"cd")).await.unwrap();
                server.readable().await.unwrap();
                assert_eq!(read_exactly(&mut server, 4).await, b"abcd");
                assert!(!server.peek_closed());
                assert_eq!(server.try_read(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
                client.shutdown().await.unwrap();
                assert_eq!(server.read(Vec::new()).await.0.unwrap(), 0);
            }
        });
    }
}
