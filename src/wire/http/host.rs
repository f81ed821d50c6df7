//! The grammar of `Host` and of a request target (RFC 9112 3.2), stricter than the RFC where it allows more than a
//! gate needs: no user info, no percent-encoding in a name, no empty port.

use crate::wire::http::fault::Fault;
use std::net::Ipv6Addr;

/// Whether `host` is a name or address with an optional port.
pub(crate) fn is_authority(host: &str) -> bool {
    let Some(rest) = host.strip_prefix('[') else {
        let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        return is_name(name) && port.is_none_or(is_port);
    };
    let Some((address, port)) = rest.split_once(']') else { return false };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    address.parse::<Ipv6Addr>().is_ok() && port_fits
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=255).contains(&name.len()) && name.bytes().all(allowed)
}

fn is_port(port: &str) -> bool {
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    digits && port.parse::<u16>().is_ok()
}

/// What a request target is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The path, from its slash; `*` for the asterisk form.
    pub(crate) path: &'a str,
    /// What follows the first question mark.
    pub(crate) query: Option<&'a str>,
}

/// Splits a target. `host` is the Host header, which an absolute form must repeat.
pub(crate) fn target<'a>(text: &'a str, host: Option<&str>, options: bool) -> Result<Target<'a>, Fault> {
    if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(Fault::bad("the request target has a character that is not allowed there"));
    }
    if text == "*" && options {
        return Ok(Target { path: text, query: None });
    }
    let origin = if text.starts_with('/') { text } else { origin(text, host)? };
    let (path, query) = origin.split_once('?').map_or((origin, None), |(path, query)| (path, Some(query)));
    Ok(Target { path, query })
}

/// The path and query of an absolute form whose authority is the Host header's.
fn origin<'a>(text: &'a str, host: Option<&str>) -> Result<&'a str, Fault> {
    let wrong = Fault::bad("the request target is not a path");
    let (scheme, rest) = text.split_once("://").ok_or(wrong)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(wrong);
    }
    let slash = rest.find('/').ok_or(wrong)?;
    let (authority, path) = rest.split_at(slash);
    if !host.is_some_and(|host| host.eq_ignore_ascii_case(authority)) {
        return Err(Fault::bad("the request target names another host than the host header"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in ["a", "localhost:8080", "a-b.example", "127.0.0.1:1", "[::1]", "[::1]:65535", "x_y"] {
            assert!(is_authority(good), "{good}");
        }
        let bad = ["", ":80", "a:", "a:b", "a:65536", "a:+1", "a/b", "x/../admin?", "x#", "x@y", "a b", "[::1", "[x]"];
        for bad in bad.into_iter().chain(["[::1]80", "é", "a,b", "a:80:80", "[::1]:"]) {
            assert!(!is_authority(bad), "{bad}");
        }
    }

    #[test]
    fn targets() {
        let path = |text| target(text, Some("gate:1"), false).map(|t| (t.path, t.query)).map_err(|f| f.status);
        assert_eq!(path("/mcp?a=b?c"), Ok(("/mcp", Some("a=b?c"))));
        assert_eq!(path("http://GATE:1/mcp"), Ok(("/mcp", None)));
        for bad in
            ["http://other/mcp", "http://gate:1@evil/", "http://gate:1", "ftp://gate:1/", "mcp", "*", "/a#b", "/é"]
        {
            assert_eq!(path(bad), Err(400), "{bad}");
        }
        assert_eq!(target("*", None, true).unwrap().path, "*");
        assert_eq!(target("//evil/x", None, false).unwrap().path, "//evil/x");
    }
}
