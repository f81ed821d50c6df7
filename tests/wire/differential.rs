//! The same bytes through our server and through hyper's: whatever we accept, hyper must understand as the same
//! requests with the same bodies. We may refuse more; we may not see another message where hyper sees one.

use crate::peers::text;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tollgate::rt::sim::{self, SimStream};
use tollgate::rt::stream::Stream;
use tollgate::rt::task;
use tollgate::wire::http::{Body, HttpLimits, ServerConn};

/// Method, path and body.
type Message = (String, String, String);
type Messages = Rc<RefCell<Vec<Message>>>;

/// What the requests are put together from: whole lines, and what a smuggler would put between and into them.
const FRAGMENTS: [&str; 48] = [
    "GET /a HTTP/1.1\r\n",
    "POST /b HTTP/1.1\r\n",
    "POST /c HTTP/1.0\r\n",
    "host: a\r\n",
    "host: a\r\n\r\n",
    "content-length: 3\r\n",
    "content-length: 3\r\n\r\n",
    "content-length: 3\r\n\r\nabc",
    "content-length: 40\r\n\r\n",
    "Content-Length: 0\r\n",
    "content-length: +3\r\n",
    "content-length: 3, 3\r\n",
    "content-length : 3\r\n",
    "content-length:\t3 \r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "Transfer-Encoding: Chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "transfer-encoding: chunked, identity\r\n",
    "transfer-encoding: identity\r\n",
    "connection: close\r\n",
    "connection: keep-alive\r\n",
    "expect: 100-continue\r\n",
    "x: y\r\n",
    "x: y\r\n\r\n",
    " folded\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\n\n",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    ";x=y",
    "abc",
    "3\r\nabc\r\n",
    "3;x=y\r\nabc\r\n",
    "03\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "0\r\nt: v\r\n\r\n",
    "fffffffffffffffff\r\n",
    "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST /s HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
];

/// What our server makes of a connection's bytes, cut by the simulation as its seed says.
fn ours(bytes: &[u8], seed: u64) -> Vec<Message> {
    sim::run(seed, async {
        sim::set_net_faults(sim::NetFaults { split_percent: 70, ..sim::NetFaults::default() });
        let (mut client, server) = SimStream::pair();
        let sent = bytes.to_vec();
        let sending = task::spawn(async move {
            // The server may refuse and close before it has read everything.
            let _ = client.write_all(sent).await.0;
            let _ = client.shutdown().await;
            while matches!(client.read(Vec::new()).await.0, Ok(1..)) {}
        });
        let messages = Messages::default();
        serve_ours(ServerConn::new(server, HttpLimits::default()), messages.clone()).await;
        sending.await;
        messages.take()
    })
}

async fn serve_ours(mut conn: ServerConn<SimStream>, messages: Messages) {
    loop {
        let head = match conn.read_head().await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => return conn.refuse(&error).await,
        };
        let body = match conn.read_body().await {
            Ok(body) => body,
            Err(error) => return conn.refuse(&error).await,
        };
        messages.borrow_mut().push((head.method().as_str().to_owned(), head.path().to_owned(), text(body)));
        if conn.respond(200, &[], Body::Empty).await.is_err() {
            return;
        }
    }
}

/// What hyper makes of them.
fn hypers(bytes: &[u8]) -> Vec<Message> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let messages = Messages::default();
    let seen = messages.clone();
    runtime.block_on(async {
        let (client, server) = std::os::unix::net::UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut &client, bytes).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        server.set_nonblocking(true).unwrap();
        let io = TokioIo::new(tokio::net::UnixStream::from_std(server).unwrap());
        let service = service_fn(move |request| note(request, seen.clone()));
        // How hyper ends a connection it dislikes is its own affair.
        let _ = hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(io, service).await;
    });
    messages.take()
}

async fn note(
    request: hyper::Request<Incoming>,
    messages: Messages,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    // A method that we do not tell apart from others has no name with us.
    let named = ["GET", "POST", "DELETE", "HEAD", "OPTIONS"].contains(&request.method().as_str());
    let method = if named { request.method().to_string() } else { String::new() };
    let path = request.uri().path().to_owned();
    if let Ok(body) = request.into_body().collect().await {
        messages.borrow_mut().push((method, path, text(body.to_bytes().to_vec())));
    }
    Ok(hyper::Response::default())
}

#[test]
fn what_we_accept_hyper_understands_alike() {
    let accepted = AtomicUsize::new(0);
    bolero::check!().with_type::<(Vec<u8>, u64)>().for_each(|(picks, seed)| {
        let pieces = picks.iter().take(24).map(|pick| FRAGMENTS[usize::from(*pick) % FRAGMENTS.len()]);
        // Most mixes make no request at all; a good start lets the rest matter.
        let starts = ["", "GET /a HTTP/1.1\r\nhost: a\r\n", "POST /b HTTP/1.1\r\nhost: a\r\n"];
        let start = starts[usize::try_from(seed % 3).unwrap()];
        let wire = std::iter::once(start).chain(pieces).collect::<String>();
        let ours = ours(wire.as_bytes(), *seed);
        let hypers = hypers(wire.as_bytes());
        accepted.fetch_add(ours.len(), Ordering::Relaxed);
        let same = hypers.get(..ours.len()).is_some_and(|first| first == ours);
        assert!(same, "{wire:?}\nours: {ours:?}\nhyper: {hypers:?}");
    });
    assert!(accepted.into_inner() > 20, "hardly any request was accepted: nothing was compared");
}
