//! Where a client connects to, and how it gets there.

use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::rt::net::{TcpStream, resolve};
use crate::rt::stream::Stream;
use crate::wire::tls::{MaybeTls, TlsStream};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

/// One address of a server, as the pool keys it.
#[derive(Clone)]
pub struct Endpoint {
    /// Host name or address as it stands in the URL (an IPv6 address without brackets).
    host: Arc<str>,
    /// Port.
    port: u16,
    /// Addresses to try in order; when empty the host is looked up for each new connection.
    addrs: Vec<SocketAddr>,
    /// How to speak TLS, or not at all.
    tls: Option<Arc<rustls::ClientConfig>>,
    /// The line that names it in a head; nothing where the host cannot stand in one.
    line: Option<Arc<[u8]>>,
}

impl Endpoint {
    /// An endpoint looked up by name for each new connection.
    pub fn new(host: &str, port: u16, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        let line = is_sendable(host).then(|| host_line(host, port, tls.is_some()).into_bytes().into());
        Self { host: host.into(), port, addrs: Vec::new(), tls, line }
    }

    /// The same endpoint at addresses that need not be looked up.
    #[must_use]
    pub fn at(self, addrs: Vec<SocketAddr>) -> Self {
        Self { addrs, ..self }
    }

    /// The `Host` header, its line's end included; nothing where the host cannot stand in a head.
    pub(crate) fn line(&self) -> Option<&[u8]> {
        self.line.as_deref()
    }

    /// The address of the TLS settings: connections made with other settings are not shared.
    fn tls_name(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| Arc::as_ptr(tls) as usize)
    }
}

/// Whether a host can stand in a head.
fn is_sendable(host: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_:".contains(&b);
    !host.is_empty() && host.bytes().all(fits)
}

/// `Host`: the port only where it is not the scheme's own.
fn host_line(host: &str, port: u16, tls: bool) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let own = if tls { 443 } else { 80 };
    if port == own { format!("host: {host}\r\n") } else { format!("host: {host}:{port}\r\n") }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.port == other.port && self.host == other.host && self.tls_name() == other.tls_name()
    }
}

impl Eq for Endpoint {}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host.hash(state);
        self.port.hash(state);
        self.tls_name().hash(state);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Opens connections: TCP and TLS in production, simulated ones in a simulation.
#[allow(async_fn_in_trait, reason = "connections never leave their thread")]
pub trait Connect: 'static {
    /// What it opens.
    type Stream: Stream;

    /// Opens one connection. May be dropped when the time is up.
    ///
    /// # Errors
    /// The endpoint cannot be reached; nothing was sent, so that trying again is safe.
    async fn connect(&self, endpoint: &Endpoint) -> Result<Self::Stream>;
}

/// Opens real connections: TCP, and TLS on it where the endpoint says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dial;

impl Connect for Dial {
    type Stream = MaybeTls<TcpStream>;

    async fn connect(&self, endpoint: &Endpoint) -> Result<Self::Stream> {
        let stream = connect_any(endpoint).await?;
        let Some(config) = &endpoint.tls else { return Ok(MaybeTls::Plain(stream)) };
        match TlsStream::connect(stream, config.clone(), &endpoint.host).await {
            Ok(stream) => Ok(MaybeTls::Tls(Box::new(stream))),
            Err(error) => Err(unreachable(endpoint, &format!("tls: {error}"))),
        }
    }
}

/// Connects to the first address that answers.
async fn connect_any(endpoint: &Endpoint) -> Result<TcpStream> {
    let found;
    let addrs = if endpoint.addrs.is_empty() {
        found = resolve(&endpoint.host, endpoint.port).await.map_err(|e| unreachable(endpoint, &e.to_string()))?;
        &found
    } else {
        &endpoint.addrs
    };
    let mut last = unreachable(endpoint, "the name has no address");
    for addr in addrs {
        match TcpStream::connect(*addr).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = unreachable(endpoint, &format!("{addr}: {error}")),
        }
    }
    Err(last)
}

fn unreachable(endpoint: &Endpoint, why: &str) -> Error {
    let words = format!("{endpoint:?} cannot be reached: {why}");
    Error::new(Kind::Unreachable, words).side(Side::Upstream).retry(Retry::Safe)
}
