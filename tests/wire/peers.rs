//! Peers for the tests: a small server on our connection type, and raw sockets that send any bytes.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tollgate::base::error::Result;
use tollgate::rt::net::{TcpListener, TcpStream};
use tollgate::rt::shard::{Driver, block_on};
use tollgate::rt::stream::Stream;
use tollgate::rt::{probe, task, time};
use tollgate::wire::http::{Body, HttpLimits, Method, RequestHead, ServerConn};

/// Longest a test waits for a peer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test on io_uring (where the machine has it) and on epoll.
pub(crate) fn on_each_driver<F: Future<Output = ()>>(test: impl Fn() -> F) {
    if probe::probe().usable() {
        block_on(Driver::IoUring, test()).unwrap();
    }
    block_on(Driver::Epoll, test()).unwrap();
}

/// What the server has answered: method, path, body length.
pub(crate) type Seen = Rc<RefCell<Vec<String>>>;

/// A server that answers every request with what it saw of it.
pub(crate) struct Echo {
    pub(crate) addr: SocketAddr,
    pub(crate) seen: Seen,
    /// Connections accepted.
    pub(crate) accepted: Rc<RefCell<usize>>,
}

pub(crate) fn echo(limits: HttpLimits) -> Echo {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let echo = Echo { addr: listener.local_addr(), seen: Seen::default(), accepted: Rc::default() };
    let (seen, accepted) = (echo.seen.clone(), echo.accepted.clone());
    drop(task::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *accepted.borrow_mut() += 1;
            drop(task::spawn(serve(ServerConn::new(stream, limits), seen.clone())));
        }
    }));
    echo
}

/// Answers until the connection is over.
pub(crate) async fn serve<S: Stream>(mut conn: ServerConn<S>, seen: Seen) {
    loop {
        let answered = match conn.read_head().await {
            Ok(Some(head)) => answer(&mut conn, &head, &seen).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = answered {
            return conn.refuse(&error).await;
        }
    }
}

async fn answer<S: Stream>(conn: &mut ServerConn<S>, head: &RequestHead, seen: &Seen) -> Result<()> {
    if head.path() == "/unread" {
        seen.borrow_mut().push("unread".into());
        return conn.respond(401, &[], Body::Vec(b"no".to_vec())).await;
    }
    if head.method() == Method::Options {
        return conn.respond_allow(204, "GET, POST").await;
    }
    let body = conn.read_body().await?;
    let line = format!("{:?} {} {}", head.method(), head.path(), body.len());
    seen.borrow_mut().push(line.clone());
    match head.path() {
        "/echo" => conn.respond(200, &[], Body::Vec(body)).await,
        "/forged" => conn.respond(200, &[("x", "a\r\nset-cookie: b")], Body::Empty).await,
        "/parts" => {
            let parts = [10, 20_000, 40_000, 5, 30_000, 100_000].map(|len| vec![b'p'; len].into());
            conn.respond(200, &[], Body::Parts(parts.into())).await
        }
        "/stream" => {
            conn.start_stream(200, &[("content-type", "text/event-stream")]).await?;
            for part in ["one,", "", "two,", "three"] {
                conn.write_stream(part.as_bytes().to_vec()).await?;
            }
            conn.finish_stream().await
        }
        "/half" => {
            conn.start_stream(200, &[]).await?;
            conn.write_stream(b"half".to_vec()).await
        }
        "/gone" => {
            conn.peer_gone().await;
            seen.borrow_mut().push("gone".into());
            Ok(())
        }
        "/flood" => {
            conn.start_stream(200, &[]).await?;
            loop {
                if let Err(error) = conn.write_stream(vec![0; 60_000]).await {
                    seen.borrow_mut().push(format!("{:?}", error.kind));
                    return Err(error);
                }
            }
        }
        _ => conn.respond(200, &[], Body::Vec(line.into_bytes())).await,
    }
}

/// Sends bytes as they are and reads until the server closes.
pub(crate) async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes.to_vec()).await.0.unwrap();
    text(read_to_end(&mut stream).await)
}

/// Sends bytes in pieces, with a pause after each.
pub(crate) async fn raw_pieces(addr: SocketAddr, pieces: impl IntoIterator<Item = &[u8]>) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    for piece in pieces {
        stream.write_all(piece.to_vec()).await.0.unwrap();
        time::sleep(Duration::from_millis(1)).await;
    }
    text(read_to_end(&mut stream).await)
}

/// Reads until the peer closes; a reset after bytes counts as that.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::with_capacity(64 * 1024);
    loop {
        let (read, back) = time::timeout(PATIENCE, stream.read(got)).await.expect("the peer neither sends nor closes");
        got = back;
        if !matches!(read, Ok(1..)) {
            return got;
        }
    }
}

/// Reads until what came satisfies `enough`.
pub(crate) async fn read_until(stream: &mut TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let mut got = Vec::with_capacity(64 * 1024);
    loop {
        let (read, back) = time::timeout(PATIENCE, stream.read(got)).await.expect("the peer sends nothing");
        got = back;
        let so_far = text(got.clone());
        if enough(&so_far) || read.unwrap() == 0 {
            return so_far;
        }
    }
}

pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if so() {
            return;
        }
        time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within ten seconds: {what}");
}

/// Statuses of the answers in what a server sent.
pub(crate) fn statuses(answers: &str) -> Vec<u16> {
    let heads = answers.match_indices("HTTP/1.1 ");
    heads.map(|(at, mark)| answers[at + mark.len()..][..3].parse().unwrap()).collect()
}
