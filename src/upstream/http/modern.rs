//! The modern leg (2026-07-28): stateless requests whose headers mirror their bodies.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::HEAD_MAX;
use crate::catalog::HeaderParam;
use crate::mcp::headers;
use crate::mcp::revision::Era;
use crate::upstream::answer::{Outcome, UpstreamCall};
use crate::upstream::http::exchange::{Exchange, ServerRequest, incomplete};
use crate::upstream::http::reply::{Refusal, Reply};
use crate::upstream::http::wire::Wire;
use crate::upstream::incoming::printable;
use crate::upstream::message::{self, Ask};
use crate::upstream::operation::Operation;
use crate::upstream::patience::Patience;
use crate::upstream::probe::{About, Probed, judge_discover};
use crate::upstream::said::Sink;
use crate::upstream::watched::{Subjects, follow};
use crate::upstream::wiring::Wiring;
use smallvec::SmallVec;
use std::pin::pin;
use std::time::Duration;

/// Most bytes of a head that mirrored arguments may take.
const MIRRORED_MAX: usize = HEAD_MAX / 2;

/// A header's name and value.
type Mirrored<'a> = (&'a str, String);

/// The modern leg of one server.
pub(super) struct Modern<'a> {
    pub(super) wiring: &'a Wiring,
    pub(super) wire: &'a Wire,
}

impl Modern<'_> {
    /// Asks what the server is. Only an answer is evidence: an outage or a refused credential is an error.
    pub(super) async fn probe(&self) -> Result<Probed> {
        let ask = message::discover(self.wiring.ids.mint());
        let patience = Patience::fixed(self.wiring.spec.probe_timeout);
        match self.send(&ask, &[], &patience).await? {
            Reply::Accepted => Ok(Probed::Legacy),
            Reply::Messages(messages) => {
                match self.exchange(&ask, &Sink::nowhere(), &patience).finish(messages, refuse).await {
                    Ok(outcome) => judge_discover(&outcome),
                    Err(error) if error.kind == Kind::BadAnswer => Ok(Probed::Legacy),
                    Err(error) => Err(error),
                }
            }
            Reply::Refused(refusal) => probed_by_refusal(refusal),
        }
    }

    /// One request that is no call.
    pub(super) async fn ask(&self, ask: &Ask<'_>, patience: &Patience) -> Result<Outcome> {
        self.request(ask, &[], &Sink::nowhere(), patience).await
    }

    /// One call.
    pub(super) async fn call(&self, call: &UpstreamCall<'_>, sink: &Sink, patience: &Patience) -> Result<Outcome> {
        let mirrored = match call.operation {
            Operation::Tool { header_params, arguments, .. } => mirrored(header_params, arguments)?,
            _ => Vec::new(),
        };
        let ask = message::call(self.wiring.ids.mint(), Era::Modern, call);
        self.request(&ask, &mirrored, sink, patience).await
    }

    async fn request(
        &self,
        ask: &Ask<'_>,
        mirrored: &[Mirrored<'_>],
        sink: &Sink,
        patience: &Patience,
    ) -> Result<Outcome> {
        let mut reply = self.send(ask, mirrored, patience).await?;
        // Looked at where it stands: taken apart, the future of every call would keep the parts beside the whole.
        let Reply::Messages(messages) = &mut reply else { return self.unanswered(reply) };
        let answered = self.exchange(ask, sink, patience).read(messages, &refuse).await?;
        reply.wind_up();
        answered.ok_or_else(incomplete)
    }

    /// A JSON-RPC error is an answer whatever the status. Any other 4xx does not fit a modern server: the verdict goes.
    fn unanswered(&self, reply: Reply) -> Result<Outcome> {
        let Reply::Refused(refusal) = reply else {
            return Err(Error::new(Kind::BadAnswer, "the server took a request without answering it"));
        };
        if let Some(error) = refusal.error.clone().filter(|_| !refusal.is_credential()) {
            return Ok(Outcome::Error(error));
        }
        if !refusal.is_credential() && !refusal.is_outage() {
            self.wiring.leg.forget();
        }
        Err(refusal.into_error())
    }

    /// Listens for changes of its lists and of what is watched until the server ends that.
    pub(super) async fn watch(&self, about: &About) -> Result<()> {
        follow(&self.wiring.watched, |subjects| Box::pin(self.listen(about, subjects))).await
    }

    async fn listen(&self, about: &About, asked: Subjects) -> Result<()> {
        let Some(subjects) = about.listened_for(&self.wiring.watched, &asked) else {
            return std::future::pending().await;
        };
        let ask = message::listen(self.wiring.ids.mint(), about.changes, &subjects);
        self.wiring.watched.asking(ask.id, &asked);
        let opening = Patience::opening(self.wiring.spec.probe_timeout);
        match self.send(&ask, &[], &opening).await? {
            Reply::Messages(messages) => {
                let forever = Patience::fixed(Duration::MAX);
                self.exchange(&ask, &Sink::nowhere(), &forever).finish(messages, refuse).await.map(drop)
            }
            Reply::Accepted => Err(Error::new(Kind::BadAnswer, "the server opened no stream of changes")),
            Reply::Refused(refusal) => Err(refusal.into_error()),
        }
    }

    fn exchange<'a>(&'a self, ask: &Ask<'_>, sink: &'a Sink, patience: &'a Patience) -> Exchange<'a> {
        Exchange { id: ask.id, sink, patience, list_changed: &self.wiring.list_changed, watched: &self.wiring.watched }
    }

    async fn send(&self, ask: &Ask<'_>, mirrored: &[Mirrored<'_>], patience: &Patience) -> Result<Reply> {
        let name = ask.name.map(headers::encode);
        let (prepared, method) = self.wire.modern(ask.method);
        let mut headers: SmallVec<[(&str, &str); 8]> = SmallVec::new();
        headers.extend(method.map(|method| ("Mcp-Method", method)));
        headers.extend(name.as_deref().map(|name| ("Mcp-Name", name)));
        headers.extend(mirrored.iter().map(|(name, value)| (*name, &**value)));
        let response = pin!(self.wire.post(prepared, &headers, ask.body.clone(), patience.cap()));
        patience.wait(pin!(Reply::of(response, self.wiring.spec.answer_max))).await?
    }
}

/// What a refused probe says.
fn probed_by_refusal(refusal: Refusal) -> Result<Probed> {
    if refusal.is_credential() || refusal.is_outage() || (300..400).contains(&refusal.status) {
        return Err(refusal.into_error());
    }
    match refusal.error {
        Some(error) => judge_discover(&Outcome::Error(error)),
        None => Ok(Probed::Legacy),
    }
}

/// A modern server must never ask anything down a stream: nobody could answer it there.
async fn refuse(request: ServerRequest) -> Result<()> {
    let method = printable(&request.method, 60);
    Err(Error::new(Kind::BadAnswer, format!("the server sent the request {method} where none is allowed")))
}

/// The `Mcp-Param-*` headers of a call: one for each annotated argument that is there.
fn mirrored<'a>(params: &'a [HeaderParam], arguments: Option<&[u8]>) -> Result<Vec<Mirrored<'a>>> {
    let headers = headers::derive_params(params, arguments);
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if bytes > MIRRORED_MAX {
        let context = format!("arguments that travel in headers are longer than {MIRRORED_MAX} bytes in all");
        return Err(Error::new(Kind::InvalidParams, context));
    }
    Ok(headers)
}
