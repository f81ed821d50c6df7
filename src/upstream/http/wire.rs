//! Requests to one HTTP server: its address, its fixed headers, our credential for it.

use crate::base::clock::Instant;
use crate::base::error::Result;
use crate::upstream::spec::{HttpSpec, Target};
use crate::wire::http::{Client, Connect, Dial, Endpoint, HeaderBlock, Method, Request, Response};
use crate::wire::tls::{self, ClientConfig};
use bytes::Bytes;
use std::cell::OnceCell;
use std::sync::Arc;

/// The headers of one request beside those every request carries.
pub(super) type Headers = Vec<(Box<str>, Box<str>)>;
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

/// What carries requests to one server.
pub(in crate::upstream) struct Wire {
    client: Client,
    endpoint: Endpoint,
    path: Box<str>,
    /// What every request carries: what we accept, and our credential.
    fixed: HeaderBlock,
    fixed_for_post: HeaderBlock,
}

impl Wire {
    /// Reads the URL and the fixed headers; connects nothing yet.
    ///
    /// # Errors
    /// `Kind::Config`: the URL, a header or `ca_file` cannot be used.
    pub(in crate::upstream) fn new(spec: &HttpSpec, client: Client, trust: &Trust) -> Result<Self> {
        let target = Target::parse(&spec.url)?;
        let tls = target.tls.then(|| trust.of(spec)).transpose()?;
        let fixed = fixed(spec, "text/event-stream")?;
        let mut fixed_for_post = self::fixed(spec, "application/json, text/event-stream")?;
        fixed_for_post.push("content-type", "application/json")?;
        let endpoint = Endpoint::new(&target.host, target.port, tls);
        Ok(Self { client, endpoint, path: target.path, fixed, fixed_for_post })
    }

    /// Sends a message; `deadline` holds for the whole answer.
    ///
    /// # Errors
    /// `Kind::Unreachable`, `Kind::Timeout`, `Kind::BadAnswer`: what came is not HTTP.
    pub(super) async fn post(&self, headers: &Headers, body: Bytes, deadline: Instant) -> Result<Answered> {
        self.send(Method::Post, &self.fixed_for_post, headers, body, deadline).await
    }

    /// Opens a session's own stream.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(super) async fn get(&self, headers: &Headers, deadline: Instant) -> Result<Answered> {
        self.send(Method::Get, &self.fixed, headers, Bytes::new(), deadline).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(super) async fn delete(&self, headers: &Headers, deadline: Instant) -> Result<Answered> {
        self.send(Method::Delete, &self.fixed, headers, Bytes::new(), deadline).await
    }

    async fn send(
        &self,
        method: Method,
        prepared: &HeaderBlock,
        headers: &Headers,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Answered> {
        let own: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let idempotent = method != Method::Post;
        let request = Request { method, path: &self.path, prepared, headers: &own, body, idempotent };
        self.client.send(&self.endpoint, &request, deadline).await
    }
}

fn fixed(spec: &HttpSpec, accept: &str) -> Result<HeaderBlock> {
    let mut block = HeaderBlock::new(&[("accept", accept), ("user-agent", USER_AGENT)])?;
    for (name, value) in &spec.headers {
        block.push(name, value)?;
    }
    Ok(block)
}

const USER_AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
