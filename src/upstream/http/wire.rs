//! Requests to one HTTP server: its address, its fixed headers, our credential for it.

use crate::base::buf::Piece;
use crate::base::clock::Instant;
use crate::base::error::{Error, Kind, Result, Side};
use crate::base::limits::UPSTREAM_ERROR_MAX;
use crate::mcp::revision::Revision;
use crate::upstream::credential::{Credential, Standing};
use crate::upstream::oauth::Challenge;
use crate::upstream::spec::{HttpSpec, Target};
use crate::wire::http::{Client, Connect, Dial, Endpoint, HeaderBlock, Method, Request, Response};
use crate::wire::tls::{self, ClientConfig};
use smallvec::SmallVec;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

/// An answer of a server.
pub(super) type Answered = Response<<Dial as Connect>::Stream>;

/// The machine's certificate authorities, read once a shard and only where a server needs them.
#[derive(Default)]
pub(in crate::upstream) struct Trust(OnceCell<Arc<ClientConfig>>);

impl Trust {
    fn of(&self, spec: &HttpSpec) -> Result<Arc<ClientConfig>> {
        if spec.ca_file.is_some() {
            return tls::client_config(spec.ca_file.as_deref());
        }
        if let Some(config) = self.0.get() {
            return Ok(config.clone());
        }
        let config = tls::client_config(None)?;
        Ok(self.0.get_or_init(|| config).clone())
    }
}

/// Headers checked and rendered once: what every request of a server, or of one of its sessions, carries.
pub(super) struct Prepared {
    post: HeaderBlock,
    other: HeaderBlock,
}

/// What carries requests to one server.
pub(in crate::upstream) struct Wire {
    client: Client,
    spec: HttpSpec,
    endpoint: Endpoint,
    target: Target,
    bare: Rc<Prepared>,
    modern: Modern,
    /// Where its token comes from, if it wants one.
    credential: Option<Rc<Credential>>,
    /// What its tokens are for.
    resource: Box<str>,
}

/// What requests of the modern era carry: their revision, and with calls their method.
struct Modern {
    any: Prepared,
    call: Prepared,
}

impl Wire {
    /// Reads the URL and the fixed headers; connects nothing yet.
    ///
    /// # Errors
    /// `Kind::Config`: the URL, a header or `ca_file` cannot be used.
    pub(in crate::upstream) fn new(
        spec: &HttpSpec,
        client: Client,
        trust: &Trust,
        credential: Option<Rc<Credential>>,
    ) -> Result<Self> {
        let target = Target::parse(&spec.url)?;
        let tls = target.tls.then(|| trust.of(spec)).transpose()?;
        let endpoint = Endpoint::new(&target.host, target.port, tls);
        let bare = Rc::new(prepare(spec, &[])?);
        let revision = ("MCP-Protocol-Version", Revision::NEWEST_MODERN.as_str());
        let modern =
            Modern { any: prepare(spec, &[revision])?, call: prepare(spec, &[revision, ("Mcp-Method", CALL)])? };
        let resource = spec.resource().into();
        Ok(Self { client, spec: spec.clone(), endpoint, target, bare, modern, credential, resource })
    }

    /// The URL it goes to.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// What every request carries: what we accept, and our credential.
    pub(super) fn bare(&self) -> &Rc<Prepared> {
        &self.bare
    }

    /// What a request of the modern era carries beside its name, and its method where that is not in it.
    pub(super) fn modern(&self, method: &'static str) -> (&Prepared, Option<&'static str>) {
        if method == CALL { (&self.modern.call, None) } else { (&self.modern.any, Some(method)) }
    }

    /// What every request of a session carries beside that.
    ///
    /// # Errors
    /// A header cannot be sent.
    pub(super) fn prepare(&self, more: &[(&str, &str)]) -> Result<Rc<Prepared>> {
        prepare(&self.spec, more).map(Rc::new)
    }

    /// Sends a message; `deadline` holds for the whole answer.
    ///
    /// # Errors
    /// `Kind::Unreachable`, `Kind::Timeout`, `Kind::BadAnswer`: what came is not HTTP.
    pub(super) async fn post(
        &self,
        prepared: &Prepared,
        headers: &[(&str, &str)],
        body: Piece,
        deadline: Instant,
    ) -> Result<Answered> {
        let (method, path, prepared) = (Method::Post, &*self.target.path, &prepared.post);
        self.send(&Request { method, path, prepared, headers, body, idempotent: false }, deadline).await
    }

    /// Sends a message to another path of the same server.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(super) async fn post_to(&self, path: &str, body: Piece, deadline: Instant) -> Result<Answered> {
        let (method, prepared, headers) = (Method::Post, &self.bare.post, &[]);
        self.send(&Request { method, path, prepared, headers, body, idempotent: false }, deadline).await
    }

    /// Opens a session's own stream, or resumes another.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(super) async fn get(
        &self,
        prepared: &Prepared,
        headers: &[(&str, &str)],
        deadline: Instant,
    ) -> Result<Answered> {
        self.without_body(Method::Get, prepared, headers, deadline).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(super) async fn delete(&self, prepared: &Prepared, deadline: Instant) -> Result<Answered> {
        self.without_body(Method::Delete, prepared, &[], deadline).await
    }

    async fn without_body(
        &self,
        method: Method,
        prepared: &Prepared,
        headers: &[(&str, &str)],
        deadline: Instant,
    ) -> Result<Answered> {
        let (path, prepared, body) = (&*self.target.path, &prepared.other, Piece::default());
        self.send(&Request { method, path, prepared, headers, body, idempotent: true }, deadline).await
    }

    async fn send(&self, request: &Request<'_>, deadline: Instant) -> Result<Answered> {
        match &self.credential {
            None => self.client.send(&self.endpoint, request, deadline).await,
            // Boxed, as few servers want tokens and each request would carry the room for it.
            Some(credential) => Box::pin(self.send_with(credential, request, deadline)).await,
        }
    }

    /// Sends with the token of now, and once more with another where the server refuses that: it has then executed
    /// nothing.
    async fn send_with(&self, credential: &Credential, request: &Request<'_>, deadline: Instant) -> Result<Answered> {
        let url = &self.resource;
        let used = credential.current(url)?;
        let mut answer = self.send_as(&used, request, deadline).await?;
        let Some(challenge) = refusal(&answer) else { return Ok(answer) };
        // Read to its end, so that the connection can be used again. What it says is in its head.
        let _ = answer.collect(UPSTREAM_ERROR_MAX).await;
        let renewed = credential.renew(url, &used, challenge).await?;
        let answer = self.send_as(&renewed, request, deadline).await?;
        match refusal(&answer) {
            None => Ok(answer),
            Some(_) => {
                let context = "the server refuses the token that it was just given; try again later";
                Err(Error::new(Kind::Credential, context).side(Side::Upstream))
            }
        }
    }

    async fn send_as(&self, standing: &Standing, request: &Request<'_>, deadline: Instant) -> Result<Answered> {
        let mut headers: SmallVec<[(&str, &str); 8]> = SmallVec::from_slice(request.headers);
        headers.extend(standing.header.as_ref().map(|header| ("authorization", header.reveal())));
        self.client.send(&self.endpoint, &Request { headers: &headers, ..request.clone() }, deadline).await
    }
}

/// What a server demands that refused a request for its token: with any 401, and with a 403 that says so.
fn refusal(answer: &Answered) -> Option<Challenge> {
    if !matches!(answer.status(), 401 | 403) {
        return None;
    }
    let headers = answer.head().all_headers().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    let challenge = Challenge::read(headers.map(|(_, value)| value));
    (answer.status() == 401 || challenge.insufficient).then_some(challenge)
}

fn prepare(spec: &HttpSpec, more: &[(&str, &str)]) -> Result<Prepared> {
    let block = |accept: &str| -> Result<HeaderBlock> {
        let mut block = HeaderBlock::new(&[("accept", accept), ("user-agent", USER_AGENT)])?;
        let own = spec.headers.iter().map(|(name, value)| (&**name, &**value));
        own.chain(more.iter().copied()).try_for_each(|(name, value)| block.push(name, value))?;
        Ok(block)
    };
    let mut post = block("application/json, text/event-stream")?;
    post.push("content-type", "application/json")?;
    Ok(Prepared { post, other: block("text/event-stream")? })
}

/// The method that most requests have.
const CALL: &str = "tools/call";
const USER_AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
