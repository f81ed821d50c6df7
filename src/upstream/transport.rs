//! The transports, dispatched over statically.

use crate::base::error::Result;
use crate::catalog::ListKind;
use crate::upstream::answer::{Answer, Outcome, UpstreamCall};
use crate::upstream::http::HttpServer;
use crate::upstream::leg::Verdict;
use crate::upstream::probe::About;
use crate::upstream::said::Sink;
use crate::upstream::stdio::StdioServer;
use crate::upstream::wiring::{Opened, Transport};

/// Static dispatch over the transports.
pub(super) enum AnyTransport {
    Http(HttpServer),
    Stdio(StdioServer),
}

impl Transport for AnyTransport {
    async fn open(&self) -> Result<Opened> {
        match self {
            Self::Http(server) => server.open().await,
            Self::Stdio(server) => server.open().await,
        }
    }

    async fn other_leg(&self) -> Verdict {
        match self {
            Self::Http(server) => server.other_leg().await,
            Self::Stdio(server) => server.other_leg().await,
        }
    }

    async fn list(&self, kind: ListKind, cursor: Option<&[u8]>) -> Result<Outcome> {
        match self {
            Self::Http(server) => server.list(kind, cursor).await,
            Self::Stdio(server) => server.list(kind, cursor).await,
        }
    }

    async fn call(&self, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Answer> {
        match self {
            Self::Http(server) => server.call(call, sink).await,
            Self::Stdio(server) => Box::pin(server.call(call, sink)).await,
        }
    }

    async fn watch(&self, about: &About) -> Result<()> {
        match self {
            Self::Http(server) => server.watch(about).await,
            Self::Stdio(server) => server.watch(about).await,
        }
    }

    async fn tidy(&self) {
        match self {
            Self::Http(server) => server.tidy().await,
            Self::Stdio(server) => server.tidy().await,
        }
    }

    async fn close(&self) {
        match self {
            Self::Http(server) => server.close().await,
            Self::Stdio(server) => server.close().await,
        }
    }
}
