//! How a session over HTTP+SSE (2024-11-05) is opened: GET begins the event stream, whose first event names the
//! endpoint that takes our messages, then `initialize` goes there.

use crate::base::error::{Error, Kind, Result};
use crate::mcp::caps::ClientCaps;
use crate::mcp::revision::Revision;
use crate::upstream::http::legacy::Tried;
use crate::upstream::http::reply::{Messages, Reply};
use crate::upstream::http::sse_session::SseSession;
use crate::upstream::http::wire::Wire;
use crate::upstream::message;
use crate::upstream::patience::Patience;
use crate::upstream::pending::Asker;
use crate::upstream::probe::{About, judge_initialize};
use crate::upstream::spec::{Target, URL_MAX};
use crate::upstream::watched::Watched;
use crate::upstream::wiring::Wiring;
use std::pin::pin;
use std::rc::Rc;

/// The revision of this transport.
const REVISION: Revision = Revision::V2024_11_05;

/// Opens a session and shakes hands as a client that can do this much; what is said of resources goes to `watched`.
///
/// # Errors
/// [`Kind::BadAnswer`]: the server has no such stream, or names an endpoint elsewhere; [`Kind::Timeout`].
pub(super) async fn open(
    wiring: &Wiring,
    wire: &Rc<Wire>,
    caps: ClientCaps,
    watched: &Rc<Watched>,
) -> Result<(SseSession, About)> {
    let opening = Patience::opening(wiring.spec.probe_timeout);
    let opened = opening.wait(pin!(begin(wiring, wire, &opening))).await??;
    let news = (&wiring.list_changed, watched);
    let session = SseSession::new(wire, &wiring.ids, news, opened);
    let patience = Patience::fixed(wiring.spec.call_timeout);
    let ask = message::initialize_at(wiring.ids.mint(), REVISION, caps);
    // `initialize` must not be cancelled.
    let outcome = match session.ask(&ask, &Asker::nobody(), &patience, false).await? {
        Tried::Answered(outcome) => outcome,
        Tried::SessionLost => return Err(bad("the server ended its event stream before it answered initialize")),
    };
    let about = judge_initialize(&outcome)?;
    session.notify(message::initialized(), &patience).await?;
    Ok((session, about))
}

/// The stream, and the path of the endpoint it names.
async fn begin(wiring: &Wiring, wire: &Wire, opening: &Patience) -> Result<(Messages, Box<str>)> {
    let response = pin!(wire.get(wire.bare(), &[], opening.cap()));
    let mut messages = match Reply::of(response, wiring.spec.answer_max).await? {
        Reply::Messages(messages) if messages.is_stream() => messages,
        Reply::Refused(refusal) => return Err(refusal.into_error()),
        Reply::Messages(_) | Reply::Accepted => return Err(bad("the server answers GET without an event stream")),
    };
    let named = messages.named("endpoint", URL_MAX).await?;
    let named = named.ok_or_else(|| bad("the server's event stream ended before it named an endpoint"))?;
    let path = resolve(wire.target(), &named)?;
    Ok((messages, path))
}

/// Path and query of an endpoint that a server names: a URL, or a reference relative to its own. Our credential goes
/// there, so it must be of the same origin.
fn resolve(own: &Target, named: &str) -> Result<Box<str>> {
    let sane = (1..=URL_MAX).contains(&named.len()) && named.bytes().all(|b| b.is_ascii_graphic());
    if !sane || named.contains(['#', '\\']) {
        return Err(bad("the server names an endpoint that is no URL"));
    }
    let absolute = match (named.starts_with("//"), has_scheme(named)) {
        (true, _) => Some(format!("{}:{named}", if own.tls { "https" } else { "http" })),
        (false, true) => Some(named.to_owned()),
        (false, false) => None,
    };
    let Some(absolute) = absolute else { return Ok(relative(&own.path, named)) };
    let target = Target::parse(&absolute).map_err(|error| bad(format!("the server's endpoint: {}", error.context)))?;
    let same = (target.tls, &target.host, target.port) == (own.tls, &own.host, own.port);
    if same { Ok(target.path) } else { Err(bad("the server names an endpoint of another origin; it is not used")) }
}

fn has_scheme(named: &str) -> bool {
    let scheme = named.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)))
}

/// A reference without scheme and host, against our own path (RFC 3986 5.2).
fn relative(own: &str, named: &str) -> Box<str> {
    let base = own.split_once('?').map_or(own, |(path, _)| path);
    let (path, query) = match named.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (named, None),
    };
    let folder = &base[..base.rfind('/').map_or(0, |at| at + 1)];
    let path = match path {
        "" => base.to_owned(),
        rooted if rooted.starts_with('/') => without_dots(rooted),
        beside => without_dots(&format!("{folder}{beside}")),
    };
    query.map_or_else(|| path.as_str().into(), |query| format!("{path}?{query}").into())
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

fn bad(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::BadAnswer, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(named: &str) -> Result<Box<str>> {
        resolve(&Target::parse("http://h.example:8080/a/sse?key=1").expect("a url"), named)
    }

    #[test]
    fn endpoints_of_the_same_origin_are_found() {
        for (named, path) in [
            ("/message?sessionId=1", "/message?sessionId=1"),
            ("message?s=a/../b", "/a/message?s=a/../b"),
            ("./x/../m", "/a/m"),
            ("../../m", "/m"),
            ("..", "/"),
            ("?s=1", "/a/sse?s=1"),
            ("/m?to=http://elsewhere", "/m?to=http://elsewhere"),
            ("http://h.example:8080/m?s=1", "/m?s=1"),
            ("HTTP://H.example:8080", "/"),
            ("//h.example:8080/m", "/m"),
        ] {
            assert_eq!(resolved(named).expect(named), path.into(), "{named}");
        }
    }

    #[test]
    fn endpoints_elsewhere_and_garbage_are_refused() {
        let long = format!("/{}", "x".repeat(URL_MAX));
        for named in [
            "http://h.example/m",
            "https://h.example:8080/m",
            "http://evil.example:8080/m",
            "http://h.example:8080@evil.example/m",
            "//evil.example/m",
            "///evil.example/m",
            "\\\\evil.example\\m",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "/m#f",
            "/m\r\nx: y",
            "/größe",
            "",
            &long,
        ] {
            assert_eq!(resolved(named).expect_err(named).kind, Kind::BadAnswer, "{named}");
        }
    }

    #[test]
    fn any_endpoint_is_resolved_to_a_path_or_refused() {
        bolero::check!().with_type::<String>().for_each(|named| {
            if let Ok(path) = resolved(named) {
                assert!(path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()), "{named} → {path}");
            }
        });
    }
}
