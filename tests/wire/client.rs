//! The client against servers that behave, misbehave, vanish and stall.

use crate::peers::{Seen, echo, eventually, on_each_driver, serve, text};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tollgate::base::buf::Piece;
use tollgate::base::clock::{Clock, Instant};
use tollgate::base::error::{Error, Kind, Result, Retry};
use tollgate::rt::net::{TcpListener, TcpStream};
use tollgate::rt::stream::Stream;
use tollgate::rt::{task, time};
use tollgate::wire::http::{Client, Endpoint, HeaderBlock, HttpLimits, Method, Request, Response, ServerConn};
use tollgate::wire::tls::{MaybeTls, ServerIdentity, TlsStream, client_config};

/// What a scripted server does on one connection.
#[derive(Clone, Copy)]
enum Step {
    /// Waits for a request.
    Read,
    /// Sends this.
    Send(&'static str),
    /// Waits until the client closes.
    Hold,
}
use Step::{Hold, Read, Send};

/// A server that plays one script a connection, then closes it; it notes what it read, `closed` for an end.
struct Scripted {
    addr: SocketAddr,
    read: Rc<RefCell<Vec<String>>>,
}

fn scripted(scripts: &[&[Step]]) -> Scripted {
    let scripts: Vec<Vec<Step>> = scripts.iter().map(|script| script.to_vec()).collect();
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let server = Scripted { addr: listener.local_addr(), read: Rc::default() };
    let read = server.read.clone();
    drop(task::spawn(async move {
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            drop(task::spawn(play(stream, script, read.clone())));
        }
        std::future::pending::<()>().await;
    }));
    server
}

async fn play(mut stream: TcpStream, script: Vec<Step>, read: Rc<RefCell<Vec<String>>>) {
    for step in script {
        match step {
            Read | Hold => {
                let (got, bytes) = stream.read(Vec::with_capacity(64 * 1024)).await;
                let what = if matches!(got, Ok(1..)) { text(bytes) } else { "closed".into() };
                read.borrow_mut().push(what);
            }
            Send(bytes) => stream.write_all(bytes.as_bytes().to_vec()).await.0.unwrap(),
        }
    }
}

fn endpoint(addr: SocketAddr) -> Endpoint {
    Endpoint::new("localhost", addr.port(), None).at(vec![addr])
}

fn soon() -> Instant {
    Clock::now() + Duration::from_secs(8)
}

fn request(method: Method, path: &str) -> Request<'_> {
    Request { method, path, prepared: HeaderBlock::EMPTY, headers: &[], body: Piece::default(), idempotent: false }
}

async fn get(client: &Client, addr: SocketAddr) -> Result<String> {
    let mut response = client.send(&endpoint(addr), &request(Method::Get, "/x"), soon()).await?;
    response.collect(1000).await.map(text)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn one_connection_serves_request_after_request_and_two_serve_two_at_once() {
    on_each_driver(|| async {
        let server = echo(HttpLimits::default());
        let client = Client::new();
        for round in 0..5 {
            let body = Piece::from(vec![b'x'; round * 20_000]);
            let request = Request { body, ..request(Method::Post, "/echo") };
            let mut response = client.send(&endpoint(server.addr), &request, soon()).await.unwrap();
            assert_eq!(response.collect(100_000).await.unwrap().len(), round * 20_000);
            assert_eq!((client.idle(), *server.accepted.borrow()), (1, 1));
        }
        let (one, two) = futures_util::join!(get(&client, server.addr), get(&client, server.addr));
        assert_eq!((one.unwrap(), two.unwrap()), ("Get /x 0".into(), "Get /x 0".into()));
        assert_eq!((client.idle(), *server.accepted.borrow()), (2, 2));
    });
}

/// What the server sends, what the client makes of it, whether the connection is kept.
const ANSWERS: [(&str, std::result::Result<&str, Kind>, bool); 34] = [
    (OK, Ok("ok"), true),
    ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok(""), true),
    ("HTTP/1.1 204 No Content\r\n\r\n", Ok(""), true),
    ("HTTP/1.1 304 \r\ncontent-length: 7\r\n\r\n", Ok(""), true),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x\r\nk\r\n0\r\nx: y\r\n\r\n", Ok("ok"), true),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        Ok("ok"),
        true,
    ),
    ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", Ok("ok"), false),
    ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Ok("ok"), false),
    ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", Ok("ok"), true),
    ("HTTP/1.1 200 OK\r\n\r\nall of it", Ok("all of it"), false),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", Ok("ok"), false),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=1\r\n\r\nok", Ok("ok"), true),
    ("", Err(Kind::Unreachable), false),
    ("HTTP/1.1 200 OK\r\ncontent-le", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\nok\r\n", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\nok", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Err(Kind::BadAnswer), false),
    ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\nok", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\ncontent-length: 2\n\nok", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 2\r\n\r\nok", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Err(Kind::BadAnswer), false),
    ("HTTP/1.1 099 Low\r\n\r\n", Err(Kind::BadAnswer), false),
    ("HTTP/2 200\r\n\r\n", Err(Kind::BadAnswer), false),
    ("SSH-2.0-OpenSSH\r\n", Err(Kind::BadAnswer), false),
    ("{\"jsonrpc\":\"2.0\"}", Err(Kind::BadAnswer), false),
    ("\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Err(Kind::BadAnswer), false),
];

#[test]
fn every_form_of_answer_is_read_or_refused() {
    on_each_driver(|| async {
        for (sent, expected, kept) in ANSWERS {
            // A server that would go on after a complete answer holds the line, else the end would decide.
            let complete = kept || sent.contains("okHTTP");
            let script = [Read, Send(sent), Hold];
            let server = scripted(&[if complete { &script } else { &script[..2] }]);
            let client = Client::new();
            let got = get(&client, server.addr).await;
            assert_eq!(got.as_deref().map_err(|error| error.kind), expected, "{sent:?}");
            assert_eq!(client.idle(), usize::from(kept), "{sent:?}");
            if let Err(Error { retry, .. }) = got {
                assert_eq!(retry, Retry::Unsafe, "{sent:?}");
            }
        }
    });
}

#[test]
fn informational_answers_without_end_are_refused() {
    on_each_driver(|| async {
        const INTERIM: &str = "HTTP/1.1 102 Processing\r\n\r\n";
        let server = scripted(&[&[
            Read,
            Send(INTERIM),
            Send(INTERIM),
            Send(INTERIM),
            Send(INTERIM),
            Send(INTERIM),
            Send(INTERIM),
            Send(INTERIM),
            Send(INTERIM),
            Send(INTERIM),
            Hold,
        ]]);
        assert_eq!(get(&Client::new(), server.addr).await.unwrap_err().kind, Kind::BadAnswer);
    });
}

#[test]
fn an_answer_to_head_has_no_body_whatever_it_says() {
    on_each_driver(|| async {
        let server = scripted(&[&[Read, Send("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n"), Read, Send(OK), Hold]]);
        let client = Client::new();
        let response = client.send(&endpoint(server.addr), &request(Method::Head, "/"), soon()).await.unwrap();
        assert_eq!((response.header("Content-Length"), client.idle()), (Some("50"), 1));
        assert_eq!(get(&client, server.addr).await.unwrap(), "ok");
    });
}

#[test]
fn a_kept_connection_found_dead_is_not_used() {
    on_each_driver(|| async {
        let server = scripted(&[&[Read, Send(OK)], &[Read, Send(OK), Hold]]);
        let client = Client::new();
        assert_eq!(get(&client, server.addr).await.unwrap(), "ok");
        time::sleep(Duration::from_millis(30)).await;
        assert_eq!(get(&client, server.addr).await.unwrap(), "ok");
    });
}

#[test]
fn bytes_nobody_asked_for_are_never_taken_for_an_answer() {
    on_each_driver(|| async {
        let stale = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstale";
        let late = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
        for unasked in [stale, late, "x"] {
            let server = scripted(&[&[Read, Send(OK), Read, Send(OK), Send(unasked), Hold], &[Read, Send(OK), Hold]]);
            let client = Client::new();
            assert_eq!(get(&client, server.addr).await.unwrap(), "ok");
            assert_eq!(get(&client, server.addr).await.unwrap(), "ok");
            time::sleep(Duration::from_millis(30)).await;
            assert_eq!(get(&client, server.addr).await.unwrap(), "ok", "after {unasked:?}");
        }
    });
}

#[test]
fn a_request_is_sent_again_only_if_it_may_and_only_once() {
    on_each_driver(|| async {
        let dies = [Read, Send(OK), Read].as_slice();
        let works = [Read, Send(OK), Hold].as_slice();
        let idempotent = Request { idempotent: true, ..request(Method::Get, "/x") };
        for (request, scripts, failed) in [
            (&idempotent, [dies, works], None),
            (&idempotent, [dies, &[Read]], Some(Kind::Unreachable)),
            (&request(Method::Get, "/x"), [dies, works], Some(Kind::Unreachable)),
            (&idempotent, [&[Read, Send(OK), Read, Send("HTTP/1.1 2")], works], Some(Kind::BadAnswer)),
        ] {
            let server = scripted(&scripts);
            let client = Client::new();
            assert_eq!(get(&client, server.addr).await.unwrap(), "ok");
            let again = client.send(&endpoint(server.addr), request, soon()).await;
            let ended = again.map(|response| response.status()).map_err(|error| (error.kind, error.retry));
            assert_eq!(ended, failed.map_or(Ok(200), |kind| Err((kind, Retry::Unsafe))));
        }
    });
}

#[test]
fn a_server_that_cannot_be_reached_may_be_tried_again() {
    on_each_driver(|| async {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let error = get(&Client::new(), nobody).await.unwrap_err();
        assert_eq!((error.kind, error.retry), (Kind::Unreachable, Retry::Safe));
        let server = scripted(&[&[Read, Send(OK)]]);
        let addrs = vec![nobody, server.addr];
        let endpoint = endpoint(server.addr).at(addrs);
        let response = Client::new().send(&endpoint, &request(Method::Get, "/x"), soon()).await.unwrap();
        assert_eq!(response.status(), 200);
        let named = Endpoint::new("localhost", 1, None);
        let error = Client::new().send(&named, &request(Method::Get, "/x"), soon()).await.map(|_| ()).unwrap_err();
        assert_eq!((error.kind, error.retry), (Kind::Unreachable, Retry::Safe));
    });
}

#[test]
fn the_deadline_holds_for_the_whole_exchange() {
    on_each_driver(|| async {
        for script in [&[Read, Hold][..], &[Read, Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no"), Hold]] {
            let server = scripted(&[script]);
            let deadline = Clock::now() + Duration::from_millis(60);
            let client = Client::new();
            let sent = client.send(&endpoint(server.addr), &request(Method::Get, "/x"), deadline).await;
            let error = match sent {
                Ok(mut response) => response.collect(10).await.unwrap_err(),
                Err(error) => error,
            };
            assert_eq!((error.kind, error.retry), (Kind::Timeout, Retry::Unsafe));
            assert!(Clock::now() >= deadline);
            eventually("the connection is closed", || server.read.borrow().contains(&"closed".to_owned())).await;
            assert_eq!(client.idle(), 0);
        }
    });
}

#[test]
fn an_answer_dropped_half_way_closes_its_connection() {
    on_each_driver(|| async {
        let server = scripted(&[&[Read, Send("HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\nok"), Hold]]);
        let client = Client::new();
        let mut response = client.send(&endpoint(server.addr), &request(Method::Get, "/x"), soon()).await.unwrap();
        assert_eq!(response.next_chunk().await.unwrap(), Some(b"ok".to_vec()));
        drop(response);
        eventually("the connection is closed", || server.read.borrow().contains(&"closed".to_owned())).await;
        assert_eq!(client.idle(), 0);
    });
}

/// Reads a body piece by piece, racing the wait for each against a clock that always wins.
async fn pieces<S: Stream>(response: &mut Response<S>) -> String {
    let mut body = Vec::new();
    loop {
        let _ = time::timeout(Duration::from_micros(100), response.ready()).await;
        response.ready().await;
        match response.next_chunk().await.unwrap() {
            Some(piece) => body.extend(piece),
            None => return text(body),
        }
    }
}

#[test]
fn a_stream_is_read_as_it_comes_and_its_connection_kept() {
    on_each_driver(|| async {
        let server = echo(HttpLimits::default());
        let client = Client::new();
        for _ in 0..3 {
            let sent = client.send(&endpoint(server.addr), &request(Method::Get, "/stream"), soon()).await;
            let mut response = sent.unwrap();
            assert!(response.is_event_stream() && !response.is_json());
            assert_eq!(pieces(&mut response).await, "one,two,three");
            assert_eq!((client.idle(), *server.accepted.borrow()), (1, 1));
        }
    });
}

#[test]
fn an_early_answer_is_read_even_if_the_body_was_not_taken() {
    on_each_driver(|| async {
        let server = echo(HttpLimits::default());
        let client = Client::new();
        for len in [1_000_000, 5_000_000] {
            let request = Request { body: vec![b'x'; len].into(), ..request(Method::Post, "/unread") };
            let response = client.send(&endpoint(server.addr), &request, soon()).await.unwrap();
            assert_eq!(response.status(), 401);
        }
    });
}

#[test]
fn the_same_inside_tls() {
    let cert = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cert_file, key_file) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert_file, cert.cert.pem()).unwrap();
    std::fs::write(&key_file, cert.signing_key.serialize_pem()).unwrap();
    let identity = ServerIdentity::load(&cert_file, &key_file).unwrap();
    let trusting = client_config(Some(&cert_file)).unwrap();
    on_each_driver(|| async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = listener.local_addr();
        let (config, seen) = (identity.config(), Seen::default());
        let log = Rc::clone(&seen);
        drop(task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (config, seen) = (config.clone(), seen.clone());
                drop(task::spawn(async move {
                    let Ok(stream) = TlsStream::accept(stream, config).await else { return };
                    serve(ServerConn::new(MaybeTls::Tls(Box::new(stream)), HttpLimits::default()), seen).await;
                }));
            }
        }));
        let client = Client::new();
        let endpoint = Endpoint::new("localhost", addr.port(), Some(trusting.clone())).at(vec![addr]);
        for len in [0, 10, 100_000] {
            let request = Request { body: vec![b'x'; len].into(), ..request(Method::Post, "/echo") };
            let mut response = client.send(&endpoint, &request, soon()).await.unwrap();
            assert_eq!(response.collect(1_000_000).await.unwrap().len(), len);
            assert_eq!(client.idle(), 1);
        }
        let mut response = client.send(&endpoint, &request(Method::Get, "/stream"), soon()).await.unwrap();
        assert_eq!(pieces(&mut response).await, "one,two,three");
        // One connection for all, and a client that closes it is seen through TLS too.
        let gone = Request { ..request(Method::Get, "/gone") };
        let waits = client.send(&endpoint, &gone, Clock::now() + Duration::from_millis(50)).await;
        assert_eq!(waits.map(|_| ()).unwrap_err().kind, Kind::Timeout);
        eventually("the client is gone", || log.borrow().iter().any(|line| line == "gone")).await;
        let stranger = Endpoint::new("127.0.0.1", addr.port(), Some(trusting.clone())).at(vec![addr]);
        let refused = client.send(&stranger, &request(Method::Get, "/x"), soon()).await.map(|_| ()).unwrap_err();
        assert_eq!((refused.kind, refused.retry), (Kind::Unreachable, Retry::Safe));
    });
}
