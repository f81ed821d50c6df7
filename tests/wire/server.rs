//! The server's loop: keep-alive, pipelining, bodies, streams, deadlines, clients that vanish.

use crate::peers::{Echo, echo, eventually, on_each_driver, raw, raw_pieces, read_to_end, read_until, statuses, text};
use std::time::Duration;
use tollgate::base::clock::Clock;
use tollgate::rt::net::TcpStream;
use tollgate::rt::stream::Stream;
use tollgate::rt::time;
use tollgate::wire::http::HttpLimits;

fn server() -> Echo {
    echo(HttpLimits::default())
}

/// Limits of a server that loses patience within the test's.
fn hasty() -> HttpLimits {
    let soon = Duration::from_millis(250);
    HttpLimits { head_time: soon, body_time: soon, idle_time: soon, write_time: soon, ..HttpLimits::default() }
}

fn seen(server: &Echo) -> Vec<String> {
    server.seen.borrow().clone()
}

#[test]
fn pipelined_requests_are_answered_in_order_however_they_arrive() {
    let first = "POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    let second = "POST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let last = "GET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let all = format!("{first}{second}{last}");
    on_each_driver(|| async {
        let server = server();
        for size in [1, 2, 3, 7, 50, 77, 1000] {
            server.seen.borrow_mut().clear();
            let answers = raw_pieces(server.addr, all.as_bytes().chunks(size)).await;
            assert_eq!(statuses(&answers), [200, 200, 200], "pieces of {size}");
            assert_eq!(seen(&server), ["Post /1 3", "Post /2 5", "Get /3 0"], "pieces of {size}");
        }
    });
}

#[test]
fn bodies_come_back_as_they_went() {
    on_each_driver(|| async {
        let server = server();
        for len in [0, 1, 4000, 4096, 70_000, 1_000_000] {
            let body: Vec<u8> = (0..len).map(|n| b"0123456789"[n % 10]).collect();
            let head = format!("POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n");
            let answer = raw(server.addr, &[head.as_bytes(), &body].concat()).await;
            let (head, came) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {len}\r\n")), "{head}");
            assert!(came.as_bytes() == body, "{len} bytes");
        }
    });
}

#[test]
fn parts_of_every_size_make_one_body() {
    on_each_driver(|| async {
        let answer = raw(server().addr, b"GET /parts HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-length: 190015\r\n"), "{head}");
        assert_eq!(body, "p".repeat(190_015));
    });
}

#[test]
fn head_and_options_have_no_body_and_keep_the_connection() {
    on_each_driver(|| async {
        let requests = "HEAD /x HTTP/1.1\r\nhost: a\r\n\r\nOPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n\
                        HEAD /stream HTTP/1.1\r\nhost: a\r\n\r\n\
                        GET /y HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let answers = raw(server().addr, requests.as_bytes()).await;
        assert_eq!(statuses(&answers), [200, 204, 200, 200]);
        let heads: Vec<&str> = answers.split("\r\n\r\n").collect();
        assert!(heads[0].contains("content-length: 9"), "{answers}");
        assert!(heads[1].contains("allow: GET, POST") && !heads[1].contains("content-length"), "{answers}");
        assert_eq!(heads[4], "Get /y 0");
    });
}

#[test]
fn streams_are_chunked_or_end_with_the_connection() {
    on_each_driver(|| async {
        let server = server();
        let answer = raw(server.addr, b"GET /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(answer.contains("transfer-encoding: chunked\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n4\r\none,\r\n4\r\ntwo,\r\n5\r\nthree\r\n0\r\n\r\n"), "{answer}");
        let answer = raw(server.addr, b"GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\none,two,three"), "{answer}");
        let answer = raw(server.addr, b"GET /half HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(answer.ends_with("4\r\nhalf\r\n"), "an unfinished stream must not look finished: {answer}");
    });
}

#[test]
fn continue_is_said_when_the_body_is_wanted_and_not_before() {
    on_each_driver(|| async {
        let server = server();
        let expect = "host: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(format!("POST /w HTTP/1.1\r\n{expect}").into_bytes()).await.0.unwrap();
        let interim = read_until(&mut stream, |text| text.ends_with("\r\n\r\n")).await;
        assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"abc".to_vec()).await.0.unwrap();
        let answer = read_until(&mut stream, |text| text.ends_with("Post /w 3")).await;
        assert_eq!(statuses(&answer), [200]);
        stream.write_all(format!("POST /unread HTTP/1.1\r\n{expect}").into_bytes()).await.0.unwrap();
        let answer = text(read_to_end(&mut stream).await);
        assert_eq!(statuses(&answer), [401]);
        assert!(answer.contains("connection: close"), "{answer}");
    });
}

#[test]
fn an_unread_body_is_dropped_if_short_and_closes_if_long() {
    on_each_driver(|| async {
        let server = server();
        let post = |len: usize| {
            format!("POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: {len}\r\n\r\n{}", "x".repeat(len))
        };
        let chunked = "POST /unread HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let last = "GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let answers = raw(server.addr, format!("{}{chunked}{last}", post(60_000)).as_bytes()).await;
        assert_eq!(statuses(&answers), [401, 401, 200]);
        let answers = raw(server.addr, format!("{}{last}", post(900_000)).as_bytes()).await;
        assert_eq!(statuses(&answers), [401]);
        assert!(answers.contains("connection: close") && answers.ends_with("no"), "{answers}");
    });
}

#[test]
fn a_chunked_body_that_is_not_read_to_its_end_does_not_reset_the_answer() {
    on_each_driver(|| async {
        let chunks = format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(20);
        let post = "POST /unread HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut stream = TcpStream::connect(server().addr).await.unwrap();
        stream.write_all(post.as_bytes().to_vec()).await.0.unwrap();
        let answer = read_until(&mut stream, |text| text.ends_with("no")).await;
        assert_eq!(statuses(&answer), [401]);
        stream.write_all(chunks.into_bytes()).await.0.unwrap();
        let end = stream.read(Vec::new()).await.0;
        assert!(matches!(end, Ok(0)), "an orderly end: {end:?}");
    });
}

#[test]
fn each_wait_has_its_deadline() {
    on_each_driver(|| async {
        let server = echo(hasty());
        let start = Clock::now();
        for (sent, expected) in [
            ("", &[][..]),
            ("GET / HTTP/1.1\r\nhost:", &[408]),
            ("\r", &[408]),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabc", &[408]),
            ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc", &[408]),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", &[200]),
        ] {
            let answers = raw(server.addr, sent.as_bytes()).await;
            assert_eq!(statuses(&answers), expected, "{sent:?}");
        }
        assert!(Clock::now().since(start) < Duration::from_secs(20));
        assert_eq!(seen(&server), ["Get / 0"]);
    });
}

#[test]
fn a_trickled_head_meets_its_deadline() {
    on_each_driver(|| async {
        let server = echo(hasty());
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        for byte in "GET / HTTP/1.1\r\nhost: a\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy".bytes() {
            let _ = stream.write_all(vec![byte]).await.0;
            time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(statuses(&text(read_to_end(&mut stream).await)), [408]);
    });
}

#[test]
fn a_slow_reader_is_cut() {
    on_each_driver(|| async {
        let server = echo(hasty());
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()).await.0.unwrap();
        eventually("the flood ends", || seen(&server).len() == 2).await;
        assert_eq!(seen(&server), ["Get /flood 0", "Timeout"]);
    });
}

#[test]
fn a_vanished_client_is_seen_and_a_pipelining_one_is_not_taken_for_it() {
    on_each_driver(|| async {
        let server = server();
        let request = b"GET /gone HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
        let mut stays = TcpStream::connect(server.addr).await.unwrap();
        stays.write_all(request.repeat(2)).await.0.unwrap();
        let mut pipelines = TcpStream::connect(server.addr).await.unwrap();
        pipelines.write_all(request.clone()).await.0.unwrap();
        eventually("both requests are seen", || seen(&server).len() == 2).await;
        pipelines.write_all(request.clone()).await.0.unwrap();
        let mut leaves = TcpStream::connect(server.addr).await.unwrap();
        leaves.write_all(request).await.0.unwrap();
        eventually("three requests are seen", || seen(&server).len() == 3).await;
        time::sleep(Duration::from_millis(20)).await;
        assert!(!seen(&server).contains(&"gone".to_owned()));
        drop(leaves);
        eventually("the vanished client is seen", || seen(&server).contains(&"gone".to_owned())).await;
        assert_eq!(seen(&server).iter().filter(|line| *line == "gone").count(), 1);
    });
}

#[test]
fn a_request_cut_short_is_told_to_a_client_that_still_reads() {
    on_each_driver(|| async {
        for sent in ["GET / HTT", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabc"] {
            let mut stream = TcpStream::connect(server().addr).await.unwrap();
            stream.write_all(sent.as_bytes().to_vec()).await.0.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(statuses(&text(read_to_end(&mut stream).await)), [400], "{sent}");
        }
    });
}

#[test]
fn an_answer_with_a_forged_header_is_never_sent() {
    on_each_driver(|| async {
        let answers = raw(server().addr, b"GET /forged HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(statuses(&answers), [500]);
        assert!(!answers.contains("set-cookie"), "{answers}");
    });
}
