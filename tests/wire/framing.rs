//! Strict framing (security notes 1.3): each case is refused with its status and closes the connection, and a request
//! behind it is never answered, whether it came along or later.

use crate::peers::{echo, on_each_driver, raw, raw_pieces, read_to_end, statuses, text};
use std::time::Duration;
use tollgate::base::clock::Clock;
use tollgate::rt::net::TcpStream;
use tollgate::rt::stream::Stream;
use tollgate::rt::time;
use tollgate::wire::http::HttpLimits;

/// What a smuggler hides behind a request.
const FOLLOW_UP: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// A POST with these headers and this body.
fn post(headers: &str, body: &str) -> String {
    format!("POST /mcp HTTP/1.1\r\nhost: a\r\n{headers}\r\n{body}")
}

/// Name, bytes, status.
fn refused() -> Vec<(&'static str, String, u16)> {
    let chunked = |body| post("transfer-encoding: chunked\r\n", body);
    let get = |rest: &str| format!("GET /mcp HTTP/1.1\r\n{rest}\r\n");
    vec![
        ("cl.te", post("content-length: 6\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\nG"), 400),
        ("te.cl", post("transfer-encoding: chunked\r\ncontent-length: 4\r\n", "5c\r\nGPOST\r\n0\r\n\r\n"), 400),
        ("te.te", post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"), 400),
        ("te.te second unknown", post("transfer-encoding: chunked\r\ntransfer-encoding: x\r\n", "0\r\n\r\n"), 400),
        ("te identity", post("transfer-encoding: identity\r\n", ""), 400),
        ("te gzip, chunked", post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400),
        ("te chunked, identity", post("transfer-encoding: chunked,identity\r\n", "0\r\n\r\n"), 400),
        ("te xchunked", post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"), 400),
        ("te other case", post("transfer-encoding: Chunked\r\n", "0\r\n\r\n"), 400),
        ("te quoted", post("transfer-encoding: \"chunked\"\r\n", "0\r\n\r\n"), 400),
        ("te vertical tab", post("transfer-encoding: \x0bchunked\r\n", "0\r\n\r\n"), 400),
        ("te empty", post("transfer-encoding:\r\n", ""), 400),
        ("te folded", post("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400),
        ("te space before colon", post("transfer-encoding : chunked\r\n", "0\r\n\r\n"), 400),
        ("te tab before colon", post("transfer-encoding\t: chunked\r\n", "0\r\n\r\n"), 400),
        ("te nul", post("transfer-encoding: chunked\0\r\n", "0\r\n\r\n"), 400),
        ("te in 1.0", "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400),
        ("cl differing", post("content-length: 5\r\ncontent-length: 6\r\n", "hello!"), 400),
        ("cl repeated", post("content-length: 5\r\ncontent-length: 5\r\n", "hello"), 400),
        ("cl list", post("content-length: 5, 5\r\n", "hello"), 400),
        ("cl plus", post("content-length: +5\r\n", "hello"), 400),
        ("cl minus", post("content-length: -5\r\n", "hello"), 400),
        ("cl inner space", post("content-length: 1 0\r\n", "hello"), 400),
        ("cl hex", post("content-length: 0x5\r\n", "hello"), 400),
        ("cl overflow", post("content-length: 18446744073709551621\r\n", "hello"), 400),
        ("cl empty", post("content-length:\r\n", ""), 400),
        ("cl fraction", post("content-length: 5.0\r\n", "hello"), 400),
        ("cl other digits", post("content-length: \u{0665}\r\n", "hello"), 400),
        ("cl space before colon", post("content-length : 5\r\n", "hello"), 400),
        ("cl over the bound", post("content-length: 10000000000\r\n", ""), 413),
        ("bare lf in head", "POST /mcp HTTP/1.1\nhost: a\r\n\r\n".into(), 400),
        ("bare lf after header", "POST /mcp HTTP/1.1\r\nhost: a\n\r\n".into(), 400),
        ("bare lf ends head", "POST /mcp HTTP/1.1\r\nhost: a\r\n\n".into(), 400),
        ("bare cr in value", get("host: a\r\nx: a\rb\r\n"), 400),
        ("header without colon", get("host: a\r\nnonsense\r\n"), 400),
        ("header starts with space", get(" host: a\r\n"), 400),
        ("obs-fold", get("host: a\r\nx: a\r\n\tb\r\n"), 400),
        ("header without name", get("host: a\r\n: x\r\n"), 400),
        ("header name not ascii", get("host: a\r\nx\u{e9}: y\r\n"), 400),
        ("chunk size overflow", chunked("10000000000000000\r\nx\r\n0\r\n\r\n"), 400),
        ("chunk size over the bound", chunked("fffffffff\r\nx"), 413),
        ("chunk size sign", chunked("+1\r\nx\r\n0\r\n\r\n"), 400),
        ("chunk size prefix", chunked("0x1\r\nx\r\n0\r\n\r\n"), 400),
        ("chunk size space", chunked("1 \r\nx\r\n0\r\n\r\n"), 400),
        ("chunk size empty", chunked("\r\nx\r\n0\r\n\r\n"), 400),
        ("chunk size bare lf", chunked("1\nx\r\n0\r\n\r\n"), 400),
        ("lf in chunk extension", chunked("1;a\nb\r\nx\r\n0\r\n\r\n"), 400),
        ("cr in chunk extension", chunked("1;a\rb\r\nx\r\n0\r\n\r\n"), 400),
        ("chunk longer than said", chunked("1\r\nxy\r\n0\r\n\r\n"), 400),
        ("chunk ends with lf", chunked("1\r\nx\n0\r\n\r\n"), 400),
        ("last chunk bare lf", chunked("0\n\r\n"), 400),
        ("body ends with lf", chunked("0\r\n\n"), 400),
        ("trailer folded", chunked("0\r\nx: y\r\n z\r\n\r\n"), 400),
        ("trailer space before colon", chunked("0\r\nx : y\r\n\r\n"), 400),
        ("trailer bare lf", chunked("0\r\nx: y\n\r\n"), 400),
        ("host missing", get("x: y\r\n"), 400),
        ("two hosts", get("host: a\r\nhost: a\r\n"), 400),
        ("host with path", get("host: x/../admin?\r\n"), 400),
        ("host with fragment", get("host: x#\r\n"), 400),
        ("host with user", get("host: x@y\r\n"), 400),
        ("host empty", get("host:\r\n"), 400),
        ("absolute form of another host", "GET http://b/mcp HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("authority form", "GET a:80 HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("target with fragment", "GET /mcp#x HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("target with control", "GET /m\x7fcp HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("two spaces", "GET  /mcp HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
        ("no version", "GET /mcp\r\nhost: a\r\n\r\n".into(), 400),
        ("http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("http/0.9 as 1.x", "GET /mcp HTTP/0.9\r\nhost: a\r\n\r\n".into(), 505),
        ("two line ends first", format!("\r\n\r\n{}", get("host: a\r\n")), 400),
        ("tls hello", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".into(), 400),
        ("connect", "CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n".into(), 405),
        ("trace", "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n".into(), 405),
        ("expect unknown", post("expect: 200-maybe\r\ncontent-length: 1\r\n", "x"), 417),
        ("content-encoding", post("content-encoding: gzip\r\ncontent-length: 1\r\n", "x"), 415),
        ("long request line", format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(8 * 1024)), 414),
        ("long head", get(&format!("host: a\r\nx: {}\r\n", "a".repeat(32 * 1024))), 431),
        ("many headers", get(&format!("host: a\r\n{}", "x: y\r\n".repeat(100))), 431),
    ]
}

#[test]
fn every_ambiguous_request_is_refused_and_nothing_behind_it_answered() {
    assert!(refused().len() >= 40);
    on_each_driver(|| async {
        let server = echo(HttpLimits::default());
        for (name, request, status) in refused() {
            let together = raw(server.addr, format!("{request}{FOLLOW_UP}").as_bytes()).await;
            assert_eq!(statuses(&together), [status], "{name}: {together}");
            assert!(together.contains("\r\nconnection: close\r\n"), "{name}: {together}");
            let apart = raw_pieces(server.addr, [request.as_bytes(), FOLLOW_UP.as_bytes()]).await;
            assert_eq!(statuses(&apart), [status], "{name}, follow-up sent later");
            assert_eq!(*server.seen.borrow(), [""; 0], "{name}: something was answered");
        }
    });
}

#[test]
fn how_a_request_is_split_changes_nothing() {
    on_each_driver(|| async {
        let server = echo(HttpLimits::default());
        for (name, request, status) in refused().into_iter().filter(|(_, request, _)| request.len() < 200) {
            let bytes: Vec<&[u8]> = request.as_bytes().chunks(1).collect();
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            for piece in bytes {
                // The server may have refused and closed by now.
                let _ = stream.write_all(piece.to_vec()).await.0;
            }
            let answers = text(read_to_end(&mut stream).await);
            assert_eq!(statuses(&answers), [status], "{name}, byte by byte");
        }
        assert!(server.seen.borrow().is_empty());
    });
}

#[test]
fn plain_forms_are_accepted() {
    let close = "connection: close\r\n";
    let cases = [
        (format!("GET /a HTTP/1.1\r\nhost: a:1\r\n{close}\r\n"), "Get /a 0"),
        (format!("\r\nGET /a?q=%0a HTTP/1.1\r\nHOST: [::1]:9\r\n{close}\r\n"), "Get /a 0"),
        (format!("GET http://a/b HTTP/1.1\r\nhost: A\r\n{close}\r\n"), "Get /b 0"),
        ("GET /old HTTP/1.0\r\n\r\n".into(), "Get /old 0"),
        ("POST /old HTTP/1.0\r\ncontent-length: 2\r\n\r\nab".into(), "Post /old 2"),
        (format!("PATCH /p HTTP/1.1\r\nhost: a\r\n{close}\r\n"), "Other /p 0"),
        (post(&format!("content-length: 005\r\n{close}"), "hello"), "Post /mcp 5"),
        (post(&format!("content-length: \t5 \r\n{close}"), "hello"), "Post /mcp 5"),
        (post(&format!("content-length: 0\r\n{close}"), ""), "Post /mcp 0"),
        (
            post(&format!("transfer-encoding: chunked\r\n{close}"), "5;x=\"y\"\r\nhello\r\n0\r\nx: y\r\n\r\n"),
            "Post /mcp 5",
        ),
        (post(&format!("upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 1\r\n{close}"), "x"), "Post /mcp 1"),
        (post(&format!("content-encoding: identity\r\ncontent-length: 1\r\n{close}"), "x"), "Post /mcp 1"),
    ];
    on_each_driver(|| async {
        let server = echo(HttpLimits::default());
        for (request, line) in &cases {
            let answer = raw(server.addr, request.as_bytes()).await;
            assert_eq!(statuses(&answer), [200], "{request}");
            assert!(answer.ends_with(&format!("\r\n\r\n{line}")), "{request}: {answer}");
        }
    });
}

#[test]
fn huge_claims_cost_no_memory_and_no_time() {
    on_each_driver(|| async {
        let server = echo(HttpLimits::default());
        let start = Clock::now();
        for claim in ["content-length: 4194304\r\n", "transfer-encoding: chunked\r\n"] {
            let mut held = Vec::new();
            for _ in 0..200 {
                let mut stream = TcpStream::connect(server.addr).await.unwrap();
                stream.write_all(post(claim, "400000\r\n").into_bytes()).await.0.unwrap();
                held.push(stream);
            }
            time::sleep(Duration::from_millis(50)).await;
            // 200 claims of 4 MiB each: given room for what was sent, not for what was claimed.
            assert!(resident_bytes() < 400 << 20, "{} bytes resident", resident_bytes());
        }
        assert!(Clock::now().since(start) < Duration::from_secs(5));
    });
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
