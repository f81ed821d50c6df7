//! Requests to authorization servers. Their addresses come from documents that others wrote, so each is looked at
//! before anything is sent: `https` (or loopback `http` where the server itself is there), no address of this machine
//! or of a private network unless the operator's own words lead there, the address that was looked at is the one that
//! is connected to, and no redirect is followed.

use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::base::limits::{OAUTH_BODY_MAX, OAUTH_REQUEST_MS};
use crate::upstream::oauth::{Challenge, Secret};
use crate::upstream::spec::{HttpSpec, Target};
use crate::wire::tls::{self, ClientConfig};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT, WWW_AUTHENTICATE};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What is sent.
pub(super) enum Body<'a> {
    /// Nothing: a document is read.
    None,
    /// A form, and who sends it.
    Form(&'a str, Option<&'a Secret>),
    /// JSON.
    Json(&'a str),
}

/// What came back.
pub(super) struct Got {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body.
    pub(super) body: Bytes,
    /// What a refusal demands.
    pub(super) challenge: Challenge,
}

/// Sends requests on behalf of one server.
pub(super) struct Fetch {
    ca_file: Option<PathBuf>,
    tls: OnceLock<Arc<ClientConfig>>,
    /// Origins that the operator names himself, which may be anywhere.
    named: Vec<Target>,
    /// Whether all addresses of the server itself are not public: then so may be what it names.
    inside: bool,
    /// Whether the operator himself names clear text on this machine.
    clear: bool,
}

impl Fetch {
    /// For this server, whose authorization server may be configured.
    ///
    /// # Errors
    /// Its host cannot be found.
    pub(super) async fn new(http: &HttpSpec, issuer: Option<&str>) -> Result<Self> {
        let target = Target::parse(&http.url)?;
        let own = addresses(&target).await?;
        let inside = !own.is_empty() && own.iter().all(|address| !is_public(address.ip()));
        let issuer = issuer.and_then(|issuer| Target::parse(issuer).ok());
        let mut clear = is_clear_here(&target, &own);
        if let Some(issuer) = issuer.as_ref().filter(|issuer| !issuer.tls) {
            clear |= is_clear_here(issuer, &addresses(issuer).await?);
        }
        // A public server's own name may lead inside later: whoever runs it rules that name.
        let named = [Some(target).filter(|_| inside), issuer].into_iter().flatten().collect();
        Ok(Self { ca_file: http.ca_file.clone(), tls: OnceLock::new(), named, inside, clear })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) async fn get(&self, url: &str) -> Result<Got> {
        self.send(url, Body::None).await
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// The URL leads where nothing may be sent; the host cannot be reached, or does not answer in time.
    pub(super) async fn send(&self, url: &str, body: Body<'_>) -> Result<Got> {
        let sent = timeout(Duration::from_millis(OAUTH_REQUEST_MS), self.exchange(url, body)).await;
        let late = |_| fault(url, "did not answer in time").retry(Retry::Safe);
        sent.map_err(late)?
    }

    /// Where a URL leads, if anything may be sent there.
    ///
    /// # Errors
    /// It may not.
    pub(super) async fn admit(&self, url: &str) -> Result<(Target, SocketAddr)> {
        let target = Target::parse(url).map_err(|error| refused(url, &error.context))?;
        let may_be_inside = self.inside || self.named.iter().any(|named| is_same_origin(named, &target));
        let found = addresses(&target).await?;
        let Some(address) = found.first().copied() else { return Err(fault(url, "has no address")) };
        if !may_be_inside && found.iter().any(|address| !is_public(address.ip())) {
            return Err(refused(url, "it leads into a private network, and the server itself is not in one"));
        }
        if !(target.tls || self.clear && is_clear_here(&target, &found)) {
            return Err(refused(url, "tokens go over https only"));
        }
        Ok((target, address))
    }

    async fn exchange(&self, url: &str, body: Body<'_>) -> Result<Got> {
        let (target, address) = self.admit(url).await?;
        let request = request(&target, body).map_err(|_| refused(url, "it cannot be sent"))?;
        let broken = |error: &dyn std::fmt::Display| fault(url, &format!("cannot be reached: {error}"));
        let stream = TcpStream::connect(address).await.map_err(|error| broken(&error))?;
        if !target.tls {
            return answer(stream, request).await.map_err(|error| broken(&error));
        }
        let name = ServerName::try_from(target.host.to_string()).map_err(|error| broken(&error))?;
        let connector = TlsConnector::from(self.tls()?);
        let stream = connector.connect(name, stream).await.map_err(|error| broken(&error))?;
        answer(stream, request).await.map_err(|error| broken(&error))
    }

    fn tls(&self) -> Result<Arc<ClientConfig>> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        let config = tls::client_config(self.ca_file.as_deref())?;
        Ok(self.tls.get_or_init(|| config).clone())
    }
}

fn is_same_origin(one: &Target, other: &Target) -> bool {
    (one.tls, &one.host, one.port) == (other.tls, &other.host, other.port)
}

/// Whether this is clear text that does not leave this machine.
fn is_clear_here(target: &Target, found: &[SocketAddr]) -> bool {
    !target.tls && !found.is_empty() && found.iter().all(|address| address.ip().is_loopback())
}

async fn addresses(target: &Target) -> Result<Vec<SocketAddr>> {
    let found = lookup_host((&*target.host, target.port)).await;
    let missing = |error| fault(&target.host, &format!("cannot be found: {error}"));
    found.map(Iterator::collect).map_err(missing)
}

fn request(target: &Target, body: Body<'_>) -> std::result::Result<Request<Full<Bytes>>, hyper::http::Error> {
    let request = Request::builder().uri(&*target.path).header(HOST, target.host_header());
    let request =
        request.header(CONNECTION, "close").header(USER_AGENT, concat!("tollgate/", env!("CARGO_PKG_VERSION")));
    let whole = |text: &str| Full::new(Bytes::copy_from_slice(text.as_bytes()));
    match body {
        Body::None => request.header(ACCEPT, "application/json").body(Full::default()),
        Body::Json(text) => {
            let request = request.method(Method::POST).header(CONTENT_TYPE, "application/json");
            request.header(ACCEPT, "application/json, text/event-stream").body(whole(text))
        }
        Body::Form(text, sender) => {
            let request = request.method(Method::POST).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            let mut request = request.header(ACCEPT, "application/json").body(whole(text))?;
            if let Some(sender) = sender {
                let mut value = HeaderValue::from_str(sender.reveal())?;
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            Ok(request)
        }
    }
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

async fn answer<S>(stream: S, request: Request<Full<Bytes>>) -> std::result::Result<Got, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender.
    tokio::spawn(async move { drop(connection.await) });
    let (head, body) = sender.send_request(request).await?.into_parts();
    let values = head.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let (status, challenge) = (head.status.as_u16(), Challenge::read(values));
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let body = match kind.starts_with("text/event-stream") {
        // Nothing that is wanted here comes as a stream, and that may never end.
        true => Bytes::new(),
        false => Limited::new(body, OAUTH_BODY_MAX).collect().await?.to_bytes(),
    };
    Ok(Got { status, body, challenge })
}

/// Something went wrong on the way, and may go well later. Queries may hold secrets, and are not shown.
fn fault(url: &str, what: &str) -> Error {
    refused_with(url, what).retry(Retry::Safe)
}

fn refused(url: &str, why: &str) -> Error {
    refused_with(url, &format!("is not asked: {why}"))
}

fn refused_with(url: &str, what: &str) -> Error {
    let shown: String = url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect();
    Error::new(Kind::Credential, format!("{} {what}", shown.escape_debug())).side(Side::Upstream)
}

/// Whether an address is one of the public network.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_public_v4(ip),
            None => is_public_v6(ip),
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = (a, b, c) == (192, 0, 0);
    let testing = a == 198 && (18..20).contains(&b);
    let special = a == 0 || a >= 224 || shared || protocol || testing;
    !(special || ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // Only 2000::/3 is given out; of it, the documentation range, Teredo and 6to4 hide other addresses.
    (a & 0xe000) == 0x2000 && (a, b) != (0x2001, 0xdb8) && (a, b) != (0x2001, 0) && a != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }

    fn http(url: &str) -> HttpSpec {
        HttpSpec { url: url.into(), headers: vec![], ca_file: None, oauth: None }
    }

    #[test]
    fn only_public_addresses_are_public() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn a_public_server_leads_into_no_private_network() {
        run(async {
            let outside = Fetch::new(&http("https://1.1.1.1/mcp"), None).await.unwrap();
            for url in ["https://127.0.0.1/x", "https://169.254.169.254/latest", "https://[::1]/x", "https://10.0.0.1/"]
            {
                let error = outside.admit(url).await.expect_err(url);
                assert!(error.context.contains("private network"), "{error}");
            }
            assert!(outside.admit("https://9.9.9.9/token").await.is_ok());
            let named = Fetch::new(&http("https://1.1.1.1/mcp"), Some("https://10.0.0.1")).await.unwrap();
            assert!(named.admit("https://10.0.0.1/token").await.is_ok(), "the operator named it");
            assert!(named.admit("https://10.0.0.2/token").await.is_err());
        });
    }

    #[test]
    fn clear_text_stays_on_this_machine() {
        run(async {
            let inside = Fetch::new(&http("http://127.0.0.1:1/mcp"), None).await.unwrap();
            assert!(inside.admit("http://127.0.0.1:2/token").await.is_ok());
            for url in ["http://10.0.0.1/token", "http://1.1.1.1/token", "ftp://127.0.0.1/", "file:///etc/passwd"] {
                let error = inside.send(url, Body::None).await.err().expect(url);
                assert!(error.context.contains("not asked"), "{error}");
            }
        });
    }

    #[test]
    fn only_the_origin_that_was_named_is_exempt() {
        run(async {
            let named = Fetch::new(&http("https://1.1.1.1/mcp"), Some("https://127.0.0.1:8443")).await.unwrap();
            assert!(named.admit("https://127.0.0.1:8443/token").await.is_ok());
            for url in ["https://127.0.0.1/token", "http://127.0.0.1:8443/token", "http://127.0.0.1:9/token"] {
                assert!(named.admit(url).await.is_err(), "{url}");
            }
            let over_tls = Fetch::new(&http("https://127.0.0.1/mcp"), None).await.unwrap();
            assert!(over_tls.admit("https://127.0.0.1:2/token").await.is_ok());
            assert!(over_tls.admit("http://127.0.0.1/token").await.is_err(), "clear text was never named");
            let public = Fetch::new(&http("https://1.1.1.1/mcp"), None).await.unwrap();
            assert!(public.named.is_empty() && !public.inside && !public.clear);
        });
    }

    #[test]
    fn an_error_shows_no_query() {
        let error = fault("https://h/x?secret=canary", "did not answer");
        assert!(!error.context.contains("canary") && error.context.contains("https://h/x"), "{error}");
    }
}
