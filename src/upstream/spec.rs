//! One upstream server as configured: plain data that the configuration compiles into, and the check of its URL.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits;
use crate::mcp::caps::Policy;
use crate::upstream::oauth::{OauthSpec, canonical};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Longest URL accepted for a server, in bytes.
pub const URL_MAX: usize = 2_000;

/// One upstream server, compiled. Two equal specs need no restart between reloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Its name in the configuration: the prefix of its tools and the key of its cached state.
    pub name: Box<str>,
    /// How it is reached.
    pub transport: TransportSpec,
    /// Which era it speaks, or that a probe shall find out.
    pub era: EraSetting,
    /// Who shares a legacy session or a stdio process of it.
    pub scope: Scope,
    /// Time one call may take without a sign of life (an answer or progress).
    pub call_timeout: Duration,
    /// Time the `server/discover` probe may take.
    pub probe_timeout: Duration,
    /// Which clients of a scope share a stdio process of it.
    pub processes: Processes,
    /// What it may ask of the clients that call it.
    pub asks: Policy,
    /// Whether clients are told that they may share what it calls public.
    pub share_public: bool,
    /// Extensions unknown to the gate that pass between it and its clients.
    pub extensions: Box<[Box<str>]>,
    /// Time between two listings when nothing else asks for one.
    pub refresh: Duration,
    /// Longest answer to one call, in bytes.
    pub answer_max: usize,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportSpec {
    /// Streamable HTTP.
    Http(HttpSpec),
    /// A child process that speaks newline-delimited JSON.
    Stdio(StdioSpec),
}

/// A Streamable HTTP server.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpSpec {
    /// Its URL with its references read, checked by [`Target::parse`]. Only its host is printed.
    pub url: Box<str>,
    /// Headers sent with every request: our credential for it. Values are secrets and never printed.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// A PEM file of certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How the gate gets tokens for it, if it wants any.
    pub oauth: Option<Box<OauthSpec>>,
}

/// A stdio server. It comes from configuration only; no request ever carries a command line.
#[derive(Clone, PartialEq, Eq)]
pub struct StdioSpec {
    /// The program: a path, or a name looked up in `PATH`.
    pub command: Box<str>,
    /// Its arguments, passed as they are, by no shell. Printed by number only: they may hold secrets.
    pub args: Vec<Box<str>>,
    /// Its whole environment beside `PATH`, `HOME`, `LANG` and `TMPDIR`. Values are secrets and never printed.
    pub env: Vec<(Box<str>, Box<str>)>,
    /// Its working directory; the gate's own where absent.
    pub cwd: Option<PathBuf>,
}

/// Which protocol era a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EraSetting {
    /// Probe, and remember what was found.
    #[default]
    Auto,
    /// 2026-07-28 and later; never `initialize`.
    Modern,
    /// 2025-11-25 and earlier; never `server/discover`.
    Legacy,
    /// 2024-11-05 over HTTP+SSE; never Streamable HTTP.
    Sse,
}

/// Who shares one legacy session or one stdio process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All keys.
    #[default]
    Shared,
    /// Each virtual key has its own.
    PerKey,
    /// Each downstream session has its own; a modern client, which has none, counts by its key.
    PerSession,
}

/// Which clients of a scope share one stdio process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processes {
    /// All of them.
    #[default]
    PerScope,
    /// Those that declare the same capabilities.
    PerCapabilities,
}

impl ServerSpec {
    /// A spec with every default that an operator may change.
    pub fn new(name: &str, transport: TransportSpec) -> Self {
        Self {
            name: name.into(),
            transport,
            era: EraSetting::default(),
            scope: Scope::default(),
            call_timeout: Duration::from_millis(limits::CALL_DEADLINE_MS),
            probe_timeout: Duration::from_millis(limits::PROBE_DEADLINE_MS),
            processes: Processes::default(),
            asks: Policy::default(),
            share_public: false,
            extensions: Box::default(),
            refresh: Duration::from_millis(limits::LIST_REFRESH_MS),
            answer_max: limits::UPSTREAM_BODY_MAX,
        }
    }

    /// Where it is, and how the gate gets tokens for it; nothing where it wants none.
    pub fn oauth(&self) -> Option<(&HttpSpec, &OauthSpec)> {
        match &self.transport {
            TransportSpec::Http(http) => http.oauth.as_deref().map(|oauth| (http, oauth)),
            TransportSpec::Stdio(_) => None,
        }
    }

    /// Whether it is a child process of the gate.
    pub fn is_stdio(&self) -> bool {
        matches!(self.transport, TransportSpec::Stdio(_))
    }
}

impl HttpSpec {
    /// The URL that tokens are for: without its query, which may hold a secret of its own.
    pub fn resource(&self) -> String {
        canonical(&self.url).unwrap_or_default()
    }
}

impl fmt::Debug for HttpSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        // Paths and queries of hosted servers carry keys.
        let host = Target::parse(&self.url).map(|target| target.host_header()).unwrap_or_default();
        let mut out = f.debug_struct("HttpSpec");
        out.field("host", &host).field("headers", &names).field("ca_file", &self.ca_file).finish()
    }
}

impl fmt::Debug for StdioSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| &**name).collect();
        let mut out = f.debug_struct("StdioSpec");
        out.field("command", &self.command).field("args", &self.args.len()).field("env", &names);
        out.field("cwd", &self.cwd).finish()
    }
}

/// A server's URL taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether TLS is spoken (`https`).
    pub tls: bool,
    /// Host name or literal address, without brackets.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// Path with its query, starting with `/`.
    pub path: Box<str>,
}

impl Target {
    /// Takes an `http://` or `https://` URL apart.
    ///
    /// Refused: other schemes, user names, fragments, anything but visible ASCII, more than [`URL_MAX`] bytes.
    pub fn parse(url: &str) -> Result<Self> {
        let (tls, rest) = scheme(url)?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        if authority.contains('@') {
            return Err(refuse("must not hold a user name or password; put the credential into `headers`"));
        }
        let (host, port) = host_and_port(authority, if tls { 443 } else { 80 })?;
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}").into() };
        Ok(Self { tls, host, port, path })
    }

    /// The value of the `Host` header.
    pub fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

fn scheme(url: &str) -> Result<(bool, &str)> {
    if url.len() > URL_MAX {
        return Err(refuse("is longer than 2000 bytes"));
    }
    if !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refuse("must be visible ASCII; percent-encode anything else"));
    }
    if url.contains('#') {
        return Err(refuse("must not hold a fragment (#…)"));
    }
    let split = url.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
    match split {
        Some((scheme, rest)) if scheme == "https" => Ok((true, rest)),
        Some((scheme, rest)) if scheme == "http" => Ok((false, rest)),
        _ => Err(refuse("must start with http:// or https://")),
    }
}

fn host_and_port(authority: &str, usual: u16) -> Result<(Box<str>, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| refuse("has an address without its closing ]"))?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| refuse("has brackets around something else than IPv6"))?;
            (host, after.strip_prefix(':').or(if after.is_empty() { None } else { Some("bad") }))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let host_is_sane = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
    if host.is_empty() || !host_is_sane {
        return Err(refuse("has no valid host name"));
    }
    let port = match port {
        None => usual,
        Some(text) => port_number(text)?,
    };
    Ok((host.to_ascii_lowercase().into(), port))
}

fn port_number(text: &str) -> Result<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse::<u16>().ok().filter(|port| digits && *port > 0);
    port.ok_or_else(|| refuse("has no valid port; use 1 to 65535"))
}

fn refuse(what: &'static str) -> Error {
    Error::new(Kind::Config, format!("the url {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (bool, String, u16, String) {
        let target = Target::parse(url).expect(url);
        (target.tls, target.host.into(), target.port, target.path.into())
    }

    #[test]
    fn urls_come_apart() {
        assert_eq!(parsed("http://a.example/mcp"), (false, "a.example".into(), 80, "/mcp".into()));
        assert_eq!(parsed("HTTPS://A.example"), (true, "a.example".into(), 443, "/".into()));
        assert_eq!(parsed("https://a:8443/x?y=1"), (true, "a".into(), 8443, "/x?y=1".into()));
        assert_eq!(parsed("http://[::1]:9/m"), (false, "::1".into(), 9, "/m".into()));
        assert_eq!(parsed("http://a?q"), (false, "a".into(), 80, "/?q".into()));
    }

    #[test]
    fn host_header_names_only_an_unusual_port() {
        assert_eq!(Target::parse("http://[::1]:9/m").expect("url").host_header(), "[::1]:9");
        assert_eq!(Target::parse("https://a.example/").expect("url").host_header(), "a.example");
        assert_eq!(Target::parse("http://a.example:443/").expect("url").host_header(), "a.example:443");
    }

    #[test]
    fn bad_urls_are_refused_with_the_reason() {
        let long = format!("http://a/{}", "x".repeat(URL_MAX));
        let cases = [
            ("file:///etc/passwd", "http://"),
            ("javascript:alert(1)", "http://"),
            ("http://user:pw@h/", "user name"),
            ("http://h/#f", "fragment"),
            ("http://h/\r\nX: y", "visible"),
            ("http://", "host"),
            ("http://h:0/", "port"),
            ("http://h:99999/", "port"),
            ("http://h:+80/", "port"),
            ("http://[::1/", "]"),
            ("http://[evil]/", "IPv6"),
            ("http://[::1]x/", "port"),
            ("http://h$(x)/", "host"),
            (long.as_str(), "2000"),
        ];
        for (url, part) in cases {
            let error = Target::parse(url).expect_err(url);
            assert!(error.context.contains(part), "{url}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let http = HttpSpec {
            url: "http://h/canary?key=canary".into(),
            headers: vec![("authorization".into(), "Bearer canary".into())],
            ca_file: None,
            oauth: None,
        };
        let stdio = StdioSpec {
            command: "server".into(),
            args: vec!["--token=canary".into()],
            env: vec![("TOKEN".into(), "canary".into())],
            cwd: None,
        };
        let spec = |transport| ServerSpec::new("s", transport);
        let text = format!("{:?} {:?}", spec(TransportSpec::Http(http)), spec(TransportSpec::Stdio(stdio)));
        assert!(!text.contains("canary") && text.contains("TOKEN"), "{text}");
    }
}
