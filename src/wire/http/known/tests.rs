//! What fits a template against what the parser says of the same bytes.

use crate::base::ids::{Epoch, KeyId};
use crate::base::limits::HEAD_MAX;
use crate::wire::http::head::{RequestHead, ResponseHead};
use crate::wire::http::limits::HttpLimits;
use crate::wire::http::method::Method;
use crate::wire::http::names::Header;
use crate::wire::http::scan::Scanner;
use std::rc::Rc;

const REQUEST: &str = "POST /mcp/x?y=1 HTTP/1.1\r\nHost: gate.example:80\r\n\
    Accept: application/json, text/event-stream\r\n\
    Content-Type: application/json\r\nAuthorization: Bearer secret-one\r\nMCP-Protocol-Version: 2026-07-28\r\n\
    Mcp-Method: tools/call\r\nMcp-Name: one__echo\r\nmcp-param-region: west\r\nX-Empty: \r\n\
    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Length: 300\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Keep-Alive: timeout=5\r\nContent-Length: 412\r\n\r\n";

/// All that a request's head can be asked.
fn told(head: &RequestHead) -> String {
    let finds = [Header::McpMethod, Header::McpName, Header::McpSession, Header::Authorization, Header::Origin];
    let lines: Vec<_> = head.all_headers().collect();
    let known: Vec<_> = finds.map(|header| (head.find(header), head.values(header).collect::<Vec<_>>())).into();
    let target = (head.method(), head.path(), head.query(), head.host());
    let flow = (head.framing(), head.old(), head.keep_alive(), head.expects_continue());
    let kinds = (head.content_type_is_json(), head.accepts_events());
    format!("{lines:?} {known:?} {target:?} {flow:?} {kinds:?}")
}

fn told_of(head: &ResponseHead) -> String {
    let lines: Vec<_> = head.all_headers().collect();
    let kinds = (head.is_json(), head.is_event_stream(), head.kept_for());
    format!("{lines:?} {} {:?} {} {kinds:?}", head.status(), head.framing(), head.keep_alive())
}

fn scanned(arrived: &[u8]) -> Option<usize> {
    Scanner::default().scan(arrived, &HttpLimits::default()).expect("what fits is a whole head")
}

/// Whether the scanner would have let it through to the parser.
fn is_head(bytes: &[u8]) -> bool {
    Scanner::default().scan(bytes, &HttpLimits::default()) == Ok(Some(bytes.len()))
}

/// Whether `arrived` fits; if it does, the parser must say the same of it.
fn request_fits(template: &[u8], arrived: &[u8]) -> bool {
    if !is_head(template) {
        return false;
    }
    let Ok(template) = RequestHead::parse(template) else { return false };
    let Some(known) = template.known() else { return false };
    let Some((head, len)) = RequestHead::like(&known, arrived, HEAD_MAX) else { return false };
    assert_eq!(scanned(arrived), Some(len));
    let parsed = RequestHead::parse(&arrived[..len]).expect("what fits is well formed");
    assert_eq!(told(&head), told(&parsed));
    true
}

fn response_fits(template: &[u8], arrived: &[u8]) -> bool {
    if !is_head(template) {
        return false;
    }
    let mut fits = false;
    for to in [Method::Post, Method::Head] {
        let Ok(template) = ResponseHead::parse(template, to) else { return false };
        let Some(known) = template.known() else { return false };
        assert!(ResponseHead::like(&known, arrived, Method::Get, HEAD_MAX).is_none());
        let Some((head, len)) = ResponseHead::like(&known, arrived, to, HEAD_MAX) else { continue };
        assert_eq!(scanned(arrived), Some(len));
        let parsed = ResponseHead::parse(&arrived[..len], to).expect("what fits is well formed");
        assert_eq!(told_of(&head), told_of(&parsed));
        fits = true;
    }
    fits
}

fn with(from: &str, to: &str) -> Vec<u8> {
    assert!(REQUEST.contains(from), "{from}");
    REQUEST.replace(from, to).into_bytes()
}

#[test]
fn a_request_like_the_last_is_known_with_its_own_values() {
    let template = REQUEST.as_bytes();
    assert!(request_fits(template, template));
    assert!(request_fits(template, &[template, b"{}GET / HTTP/1.1\r\n"].concat()), "what follows does not matter");
    for (from, to) in [
        ("300", "7"),
        ("300", "0"),
        ("300", "9999999999999999999"),
        ("300", "007"),
        ("one__echo", "two"),
        ("one__echo", "=?base64?bmHDr3Zl?="),
        ("one__echo", "a long name of a tool with blanks: and : colons \"\u{7e}"),
        ("tools/call", "tools/list"),
        ("west", "e"),
        ("b7ad6b7169203331", "0000000000000001"),
    ] {
        assert!(request_fits(template, &with(from, to)), "{to:?}");
    }
    let known = RequestHead::parse(template).unwrap().known().unwrap();
    let (head, _) = RequestHead::like(&known, &with("one__echo", "two"), HEAD_MAX).unwrap();
    assert_eq!((head.header("MCP-NAME"), head.header("content-length")), (Some("two"), Some("300")));
}

#[test]
fn whatever_else_differs_is_for_the_parser() {
    let template = REQUEST.as_bytes();
    for (from, to) in [
        ("300", ""),
        ("300", "+3"),
        ("300", "3 "),
        ("300", " 3"),
        ("300", "3,3"),
        ("300", "0x3"),
        ("300", "99999999999999999999"),
        ("300", "3\r\nContent-Length: 3"),
        ("300", "3\r\nTransfer-Encoding: chunked"),
        ("300\r\n", "300\n"),
        ("300\r\n", "300\r\n "),
        ("one__echo", ""),
        ("one__echo", "a\rb"),
        ("one__echo", "a\nb"),
        ("one__echo", "a\0b"),
        ("one__echo", "a\u{7f}"),
        ("one__echo", "na\u{ef}ve"),
        ("one__echo", "a\tb"),
        ("one__echo", "x\r\nMcp-Name: y"),
        ("one__echo\r\n", "one__echo\r\r\n"),
        ("secret-one", "secret-two"),
        ("secret-one", "secret-on"),
        ("secret-one", "secret-one2"),
        ("gate.example", "evil.example"),
        ("/mcp/x", "/mcp/y"),
        ("Host", "host"),
        ("POST", "PUTS"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("application/json\r\nAuth", "text/plain\r\nAuth"),
        ("X-Empty: ", "X-Empty: no"),
        ("\r\n\r\n", "\r\nOrigin: https://evil.example\r\n\r\n"),
        ("\r\n\r\n", "\r\n"),
        ("\r\n\r\n", "\r\n\n"),
        ("POST", "\r\nPOST"),
    ] {
        assert!(!request_fits(template, &with(from, to)), "{to:?}");
    }
    for len in 0..REQUEST.len() {
        assert!(!request_fits(template, &template[..len]), "cut at {len}");
    }
}

#[test]
fn a_head_over_the_bounds_is_not_known() {
    let known = RequestHead::parse(REQUEST.as_bytes()).unwrap().known().unwrap();
    let fits = |arrived: &[u8], max| RequestHead::like(&known, arrived, max).is_some();
    assert!(fits(REQUEST.as_bytes(), REQUEST.len()));
    assert!(!fits(REQUEST.as_bytes(), REQUEST.len() - 1));
    let long = with("one__echo", &"n".repeat(HEAD_MAX - REQUEST.len() + "one__echo".len()));
    assert_eq!(long.len(), HEAD_MAX);
    assert!(request_fits(REQUEST.as_bytes(), &long));
    assert!(!fits(&with("one__echo", &"n".repeat(HEAD_MAX)), HEAD_MAX));
    let large = with("X-Empty: ", &format!("X-Empty: {}", "x".repeat(4096)));
    assert!(RequestHead::parse(&large).unwrap().known().is_none(), "a large head is not kept");
}

#[test]
fn a_key_is_vouched_for_until_the_configuration_or_the_fixed_part_changes() {
    let key = KeyId::parse("aaaaaaaaaaaa").unwrap();
    let head = RequestHead::parse(REQUEST.as_bytes()).unwrap();
    let known = head.known().unwrap();
    let next = || RequestHead::like(&known, &with("one__echo", "two"), HEAD_MAX).unwrap().0;
    assert_eq!(next().vouched(Epoch(1)), None);
    head.vouch(Epoch(1), key);
    assert_eq!((next().vouched(Epoch(1)), next().vouched(Epoch(2))), (Some(key), None));
    assert_eq!(RequestHead::parse(REQUEST.as_bytes()).unwrap().vouched(Epoch(1)), None);
    assert_eq!(Rc::strong_count(&known), 2, "a head lets go of what it shares");
}

#[test]
fn an_answer_like_the_last_is_known_with_its_own_values() {
    let template = RESPONSE.as_bytes();
    assert!(response_fits(template, template));
    for (from, to) in [("412", "0"), ("412", "1234567"), ("08:49:37", "08:49:38")] {
        assert!(response_fits(template, RESPONSE.replace(from, to).as_bytes()), "{to:?}");
    }
    for (from, to) in [
        ("200", "201"),
        ("412", "4 12"),
        ("412", "-1"),
        ("timeout=5", "timeout=6"),
        ("Keep-Alive: timeout=5", "Connection: close"),
        ("json", "jsom"),
        ("\r\n\r\n", "\n\n"),
    ] {
        assert!(!response_fits(template, RESPONSE.replace(from, to).as_bytes()), "{to:?}");
    }
    let chunked = RESPONSE.replace("Content-Length: 412", "Transfer-Encoding: chunked");
    assert!(response_fits(chunked.as_bytes(), chunked.replace("08:49", "09:50").as_bytes()));
}

/// Bytes written over, put in or taken out at a place of a text.
fn mutate(text: &str, edits: &[(u16, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    // Those that matter to a parser, more often than chance would have them.
    let marks = b"\r\n \t:;,0123456789\0\x7f\xc3\xa9";
    for (place, kind, byte) in edits.iter().take(6) {
        let at = usize::from(*place) % bytes.len().max(1);
        let byte = if kind & 4 == 0 { marks[usize::from(*byte) % marks.len()] } else { *byte };
        match kind % 4 {
            0 => bytes.insert(at, byte),
            1 => drop((at < bytes.len()).then(|| bytes.remove(at))),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
        }
    }
    bytes
}

#[test]
fn what_fits_a_template_is_what_the_parser_finds() {
    bolero::check!().with_type::<(Vec<(u16, u8, u8)>, Vec<(u16, u8, u8)>, String, u32)>().for_each(
        |(first, second, value, length)| {
            let (template, answer) = (mutate(REQUEST, first), mutate(RESPONSE, first));
            let changed = REQUEST.replace("one__echo", value).replace("300", &length.to_string());
            let answered = RESPONSE.replace("08:49:37", value).replace("412", &length.to_string());
            for template in [REQUEST.as_bytes(), &template] {
                request_fits(template, &mutate(REQUEST, second));
                request_fits(template, &mutate(&changed, second));
                request_fits(template, changed.as_bytes());
                request_fits(template, template);
            }
            for template in [RESPONSE.as_bytes(), &answer] {
                response_fits(template, &mutate(RESPONSE, second));
                response_fits(template, &mutate(&answered, second));
                response_fits(template, answered.as_bytes());
                response_fits(template, template);
            }
        },
    );
}
