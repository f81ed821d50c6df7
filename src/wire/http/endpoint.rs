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
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Addresses to try in order; when empty the host is looked up for each new connection.
    pub addrs: Vec<SocketAddr>,
    /// How to speak TLS, or not at all.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Endpoint {
    /// An endpoint looked up by name for each new connection.
    pub fn new(host: &str, port: u16, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        Self { host: host.into(), port, addrs: Vec::new(), tls }
    }

    /// Whether the host can stand in a head.
    pub(crate) fn is_sendable(&self) -> bool {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_:".contains(&b);
        !self.host.is_empty() && self.host.bytes().all(fits)
    }

    /// The value of `Host`: the port only where it is not the scheme's own.
    pub(crate) fn push_authority(&self, out: &mut Vec<u8>) {
        let own = if self.tls.is_some() { 443 } else { 80 };
        let v6 = self.host.contains(':');
        out.extend_from_slice(if v6 { b"[" } else { b"" });
        out.extend_from_slice(self.host.as_bytes());
        out.extend_from_slice(if v6 { b"]" } else { b"" });
        if self.port != own {
            out.push(b':');
            super::writer::push_number(out, usize::from(self.port));
        }
    }

    /// The address of the TLS settings: connections made with other settings are not shared.
    fn tls_name(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| Arc::as_ptr(tls) as usize)
    }
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
