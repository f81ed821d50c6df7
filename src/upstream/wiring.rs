//! What the parts of one server share: its spec, what is known of it, and our ids.

use crate::base::error::Result;
use crate::catalog::ListKind;
use crate::rt::local::Notify;
use crate::upstream::answer::{Answer, Outcome, UpstreamCall};
use crate::upstream::leg::{Leg, Verdict};
use crate::upstream::probe::About;
use crate::upstream::said::Sink;
use crate::upstream::spec::ServerSpec;
use crate::upstream::watched::Watched;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// Mints the ids of our requests: counted up, so that none is given twice on one shard.
#[derive(Default)]
pub(super) struct Ids(Cell<u64>);

impl Ids {
    /// A fresh id. It is also the progress token of its request.
    pub(super) fn mint(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// What the parts of one server share on one shard.
pub(super) struct Wiring {
    /// The server as configured.
    pub(super) spec: Arc<ServerSpec>,
    /// What era it speaks.
    pub(super) leg: Leg,
    /// Our ids, of the whole shard.
    pub(super) ids: Rc<Ids>,
    /// Rung when one of the server's lists may have changed.
    pub(super) list_changed: Rc<Notify>,
    /// Which of its resources are listened for.
    pub(super) watched: Rc<Watched>,
}

/// What opening a server for listing found.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    /// Its era.
    pub(super) verdict: Verdict,
    /// What it says of itself.
    pub(super) about: Rc<About>,
}

/// One way to reach a server.
#[allow(async_fn_in_trait, reason = "transports never leave their thread")]
pub(super) trait Transport {
    /// Makes sure that the server can be listed: finds out its era, opens the session or process that lists it.
    async fn open(&self) -> Result<Opened>;

    /// Whether a server that was found modern takes `initialize` too.
    async fn other_leg(&self) -> Verdict;

    /// One page of one of its lists, from a raw cursor on.
    async fn list(&self, kind: ListKind, cursor: Option<&[u8]>) -> Result<Outcome>;

    /// One call of a tool. Dropping the future cancels the call.
    async fn call(&self, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Answer>;

    /// Listens for changes of its lists and of the resources that are `watched` until what it listens on ends; what it
    /// hears rings `list_changed`.
    async fn watch(&self, about: &About) -> Result<()>;

    /// Ends sessions or processes that have been idle for long.
    async fn tidy(&self);

    /// Ends all sessions or processes.
    async fn close(&self);
}
