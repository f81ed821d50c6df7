//! A modern MCP server that wants tokens, and beside it, at the same port, the authorization server that gives them.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// What every secret that it gives begins with.
pub(crate) const CANARY: &str = "canary";
/// Time that the token endpoint takes: whoever asks twice does so within it.
const SLOW: Duration = Duration::from_millis(150);

/// What it was asked for.
#[derive(Default)]
pub(crate) struct Counts {
    /// Codes shown for a token.
    pub(crate) codes: AtomicU64,
    /// Refresh tokens shown, good or not.
    pub(crate) refreshes: AtomicU64,
    /// Tokens asked for by a client in its own name.
    pub(crate) own: AtomicU64,
    /// Clients that registered themselves.
    pub(crate) registrations: AtomicU64,
}

/// A running fake; its threads end with the test.
pub(crate) struct Fake {
    address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
    state: Arc<State>,
}

/// Tokens are numbered: the one that is good is the last.
#[derive(Default)]
struct State {
    token: AtomicU64,
    /// Whether the last token is good.
    is_good: AtomicBool,
    /// The number of the refresh token that is good; 0 where none is.
    refresh: AtomicU64,
    lies: AtomicBool,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self { address: listener.local_addr().unwrap(), counts: Arc::default(), state: Arc::default() };
        let (counts, state, address) = (fake.counts.clone(), fake.state.clone(), fake.address);
        spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let peer = Peer { address, counts: counts.clone(), state: state.clone() };
                spawn(move || peer.serve(stream));
            }
        });
        fake
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/mcp", self.issuer())
    }

    /// The access token is no longer good; the refresh token is.
    pub(crate) fn end_tokens(&self) {
        self.state.is_good.store(false, Relaxed);
    }

    /// Nothing that was given is good any more.
    pub(crate) fn revoke(&self) {
        self.end_tokens();
        self.state.refresh.store(0, Relaxed);
    }

    /// Sends browsers back as if another server had.
    pub(crate) fn lie_about_issuer(&self) {
        self.state.lies.store(true, Relaxed);
    }
}

struct Request {
    method: String,
    target: String,
    authorization: String,
    body: Vec<u8>,
}

struct Peer {
    address: SocketAddr,
    counts: Arc<Counts>,
    state: Arc<State>,
}

impl Peer {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some(request) = read(&mut reader) {
            let (status, headers, body) = self.answer(&request);
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Type: application/json\r\n");
            let whole = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            if writer.write_all(whole.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> (u16, String, Value) {
        let own = format!("http://{}", self.address);
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let good = |body: Value| (200, String::new(), body);
        match (&*request.method, path) {
            ("POST", "/mcp") => self.mcp(request),
            ("GET", "/.well-known/oauth-protected-resource/mcp") => {
                good(json!({"resource": format!("{own}/mcp"), "authorization_servers": [own]}))
            }
            ("GET", "/.well-known/oauth-authorization-server") => good(json!({
                "issuer": own,
                "authorization_endpoint": format!("{own}/authorize"),
                "token_endpoint": format!("{own}/token"),
                "registration_endpoint": format!("{own}/register"),
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true,
            })),
            ("POST", "/register") => {
                self.counts.registrations.fetch_add(1, Relaxed);
                (201, String::new(), json!({"client_id": "gate", "client_secret": format!("{CANARY}-secret")}))
            }
            ("GET", "/authorize") => {
                let iss = if self.state.lies.load(Relaxed) { "https://evil.example" } else { &own };
                let back = decode(&field(query, "redirect_uri"));
                let state = field(query, "state");
                let location = format!("Location: {back}?code={CANARY}-code&state={state}&iss={iss}\r\n");
                (302, location, Value::Null)
            }
            ("POST", "/token") => self.token(request),
            _ => (404, String::new(), Value::Null),
        }
    }

    fn token(&self, request: &Request) -> (u16, String, Value) {
        sleep(SLOW);
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let refresh = field(&body, "refresh_token");
        let is_good = match &*field(&body, "grant_type") {
            "authorization_code" => {
                self.counts.codes.fetch_add(1, Relaxed);
                field(&body, "code") == format!("{CANARY}-code") && !field(&body, "code_verifier").is_empty()
            }
            "refresh_token" => {
                self.counts.refreshes.fetch_add(1, Relaxed);
                refresh == format!("{CANARY}-refresh-{}", self.state.refresh.load(Relaxed))
            }
            "client_credentials" => {
                self.counts.own.fetch_add(1, Relaxed);
                request.authorization.starts_with("Basic ")
            }
            _ => false,
        };
        if !is_good {
            return (400, String::new(), json!({"error": "invalid_grant"}));
        }
        let number = self.state.token.fetch_add(1, Relaxed) + 1;
        self.state.refresh.store(number, Relaxed);
        self.state.is_good.store(true, Relaxed);
        let [access, refresh] = ["access", "refresh"].map(|kind| format!("{CANARY}-{kind}-{number}"));
        let body =
            json!({"access_token": access, "token_type": "Bearer", "expires_in": 3600, "refresh_token": refresh});
        (200, String::new(), body)
    }

    fn mcp(&self, request: &Request) -> (u16, String, Value) {
        let wanted = format!("Bearer {CANARY}-access-{}", self.state.token.load(Relaxed));
        if !self.state.is_good.load(Relaxed) || request.authorization != wanted {
            let challenge = "WWW-Authenticate: Bearer error=\"invalid_token\", scope=\"read\"\r\n";
            return (401, challenge.into(), json!({"error": "invalid_token"}));
        }
        let message: Value = serde_json::from_slice(&request.body).unwrap();
        let mut result = match message["method"].as_str().unwrap() {
            "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}),
            "tools/list" => json!({"tools": [{"name": "read", "inputSchema": {"type": "object"}}]}),
            "tools/call" => json!({"content": [{"type": "text", "text": "read"}]}),
            other => panic!("not asked for: {other}"),
        };
        for (name, value) in
            [("resultType", json!("complete")), ("ttlMs", json!(1000)), ("cacheScope", json!("private"))]
        {
            result[name] = value;
        }
        (200, String::new(), json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
    }
}

/// A field of a form, as it was sent.
fn field(form: &str, name: &str) -> String {
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
}

fn decode(text: &str) -> String {
    text.replace("%3A", ":").replace("%2F", "/")
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let (mut length, mut authorization) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => authorization = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, authorization, body })
}
