//! Keeps one server's lists fresh, at its home shard: probe, list all pages, report; again when the server says so,
//! when a call found the list wrong, when a connection came back, and from time to time.
//!
//! A server that is down is tried for ever with growing waits; nobody waits for it meanwhile.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{
    LIST_DEADLINE_MS, LIST_DEBOUNCE_MS, LIST_PAGES_MAX, LIST_SPACING_MS, RESTART_STABLE_MS, SIDE_LIST_DEADLINE_MS,
};
use crate::catalog::{self, ListKind, ServerList};
use crate::mcp::revision::Era;
use crate::mcp::vendor;
use crate::rt::time;
use crate::upstream::answer::Outcome;
use crate::upstream::credential::Refused;
use crate::upstream::health::Backoff;
use crate::upstream::leg::Verdict;
use crate::upstream::probe::{About, ListPage};
use crate::upstream::upstreams::Server;
use crate::upstream::wiring::{Opened, Transport};
use crate::wire::rpc;
use bytes::Bytes;
use futures_util::future::{Either, FutureExt, LocalBoxFuture, join_all, select};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// News of one server, for the control thread.
#[derive(Clone, Debug)]
pub struct Report {
    /// The server's name.
    pub server: Box<str>,
    /// What is known now.
    pub news: News,
}

/// What a listing came to.
#[derive(Clone, Debug)]
pub enum News {
    /// It answered: its lists, and how to speak to it.
    Listed {
        /// To be learned by every shard.
        verdict: Verdict,
        /// What it says of itself.
        about: About,
        /// All that it lists.
        list: Box<ServerList>,
        /// Lists that it has and did not give this time: the last good ones stay.
        failed: Vec<ListKind>,
    },
    /// More is known of how to speak to it.
    Learned(Verdict),
    /// It wants another token than it was sent.
    Refused(Refused),
    /// It could not be listed; its last good list stays, marked as stale.
    Down(Error),
}

/// Time that something listened on must have lasted for its loss to be an accident.
const STABLE: Duration = Duration::from_millis(RESTART_STABLE_MS);

/// What is being listened on for changes.
type Watch = LocalBoxFuture<'static, Result<()>>;

/// Runs until it is dropped.
pub(super) async fn run(server: Rc<Server>) {
    let outages = Backoff::new(server.seed);
    let losses = Backoff::new(server.seed.rotate_left(7));
    let mut watch: Option<(Watch, Instant)> = None;
    loop {
        match Box::pin(listed(&server)).await {
            Ok((opened, lists)) => {
                outages.reset();
                server.report(lists.news(&opened));
                let (mut current, since) = watch.take().unwrap_or_else(|| (watching(&server, opened), Clock::now()));
                if rest(&server, &mut current).await == Woken::ForNews {
                    watch = Some((current, since));
                    continue;
                }
                if Clock::now().since(since) >= STABLE {
                    losses.reset();
                }
                time::sleep(losses.next()).await;
            }
            Err(error) => {
                watch = None;
                tracing::debug!(server = &*server.wiring.spec.name, "cannot list what the server has: {error}");
                server.report(News::Down(error));
                nudged_or(&server, outages.next()).await;
            }
        }
    }
}

/// Waits, but not beyond the moment when somebody finds that the server answers.
async fn nudged_or(server: &Server, wait: Duration) {
    select(pin!(time::sleep(wait)), pin!(server.wiring.list_changed.notified())).await;
}

/// What one listing gave.
struct Lists {
    list: ServerList,
    /// Lists that the server has and did not give.
    failed: Vec<ListKind>,
}

impl Lists {
    fn news(self, opened: &Opened) -> News {
        let about = (*opened.about).clone();
        News::Listed { verdict: opened.verdict, about, list: self.list.into(), failed: self.failed }
    }
}

/// One listing, and what it says about the server's health.
async fn listed(server: &Server) -> Result<(Opened, Lists)> {
    let limit = Duration::from_millis(LIST_DEADLINE_MS + SIDE_LIST_DEADLINE_MS);
    let listed = time::timeout(limit, Box::pin(open_and_list(server))).await;
    let listed = listed.unwrap_or_else(|_| Err(late(ListKind::Tools)));
    server.circuit.count(&listed);
    listed
}

/// Lists all that the server has: the tools, and then the rest side by side, for a server that dies of one of those has
/// given its tools by then. A list that fails costs the others nothing; where none comes, the server counts as down.
async fn open_and_list(server: &Server) -> Result<(Opened, Lists)> {
    let opened = server.transport.open().await?;
    let mut lists = Lists { list: empty_list(server, &opened), failed: Vec::new() };
    let kinds: Vec<ListKind> = opened.about.kinds().collect();
    let mut results = Vec::with_capacity(kinds.len());
    if let Some((first, rest)) = kinds.split_first() {
        results.push(one_list(server, *first).await);
        results.extend(join_all(rest.iter().map(|kind| one_list(server, *kind))).await);
    }
    let mut errors = Vec::new();
    for (kind, result) in kinds.iter().zip(results) {
        match result {
            Ok(entries) => *lists.list.of_mut(*kind) = entries,
            Err(error) => {
                lists.failed.push(*kind);
                errors.push(error);
            }
        }
    }
    if errors.len() < kinds.len() {
        for (kind, error) in lists.failed.iter().zip(&errors) {
            let (server, what) = (&*server.wiring.spec.name, kind.plural());
            tracing::warn!(server, ?error.context, "the list of {what} failed; the last good one stays");
        }
        return Ok((opened, lists));
    }
    errors.into_iter().next().map_or(Ok((opened, lists)), Err)
}

/// The lists of a server before any has come.
fn empty_list(server: &Server, opened: &Opened) -> ServerList {
    let leg = match opened.verdict.era {
        Era::Modern => catalog::Leg::Modern,
        Era::Legacy => catalog::Leg::Legacy,
    };
    let (fetched_at, offers, spec) = (Clock::wall(), opened.about.offers, &server.wiring.spec);
    let said = opened.about.extensions.as_deref().unwrap_or_default();
    let members = vendor::allowed(said, spec.extensions.iter().map(|name| &**name));
    let extensions = (!members.is_empty()).then(|| [b"{", &*members, b"}"].concat().into());
    ServerList { leg, fetched_at, stale: false, offers, extensions, ..ServerList::empty(&spec.name) }
}

/// Lists again outside the usual round: a call found that the list does not fit the server any more.
pub(super) async fn refetch(server: &Server) -> Result<ServerList> {
    let (opened, lists) = Box::pin(listed(server)).await?;
    let list = lists.list.clone();
    server.report(lists.news(&opened));
    Ok(list)
}

/// One list. The lists beside the tools have less time; and templates are part of what "resources" means to some
/// servers only, so that not to know them is to have none.
async fn one_list(server: &Server, kind: ListKind) -> Result<Vec<Bytes>> {
    let limit = if kind == ListKind::Tools { LIST_DEADLINE_MS } else { SIDE_LIST_DEADLINE_MS };
    let pages = time::timeout(Duration::from_millis(limit), pin!(all_pages(server, kind))).await;
    match pages.unwrap_or_else(|_| Err(late(kind))) {
        Err(error) if kind == ListKind::Templates && error.kind == Kind::MethodNotFound => Ok(Vec::new()),
        listed => listed,
    }
}

fn late(kind: ListKind) -> Error {
    Error::new(Kind::Timeout, format!("the server did not list its {} in time", kind.plural()))
}

async fn all_pages(server: &Server, kind: ListKind) -> Result<Vec<Bytes>> {
    let mut pages = Pages::of(kind);
    for _ in 0..LIST_PAGES_MAX {
        let page = server.transport.list(kind, pages.cursor.as_deref()).await?;
        if !pages.take(page)? {
            return Ok(pages.entries);
        }
    }
    let context = format!("the server's list of {} has more than {LIST_PAGES_MAX} pages", kind.plural());
    Err(Error::new(Kind::BadAnswer, context))
}

/// The pages of one list as they come.
struct Pages {
    kind: ListKind,
    entries: Vec<Bytes>,
    bytes: usize,
    cursor: Option<Bytes>,
}

impl Pages {
    fn of(kind: ListKind) -> Self {
        Self { kind, entries: Vec::new(), bytes: 0, cursor: None }
    }

    /// Takes a page in; whether another one follows.
    fn take(&mut self, page: Outcome) -> Result<bool> {
        let read = ListPage::read(&page, self.kind)?;
        let Outcome::Result(text) = &page else { return Ok(false) };
        let kept = Bytes::from_owner(text.clone());
        let (most, bytes_most, plural) = (self.kind.most(), self.kind.bytes_most(), self.kind.plural());
        for entry in rpc::array_items(read.entries) {
            self.bytes += entry.len();
            if self.entries.len() >= most || self.bytes > bytes_most {
                let context = format!("the server lists more than {most} {plural} or {bytes_most} bytes of them");
                return Err(Error::new(Kind::BadAnswer, context));
            }
            self.entries.push(kept.slice_ref(entry));
        }
        // An empty cursor is a valid one.
        let next = read.next_cursor.map(|cursor| kept.slice_ref(cursor));
        if next.is_some() && next == self.cursor {
            let context = format!("the server's list of {plural} gives the same cursor twice");
            return Err(Error::new(Kind::BadAnswer, context));
        }
        self.cursor = next;
        Ok(self.cursor.is_some())
    }
}

fn watching(server: &Rc<Server>, opened: Opened) -> Watch {
    let server = server.clone();
    Box::pin(async move { server.transport.watch(&opened.about).await })
}

/// Why a rest has ended.
#[derive(PartialEq, Eq)]
enum Woken {
    /// A change, or time for another look.
    ForNews,
    /// What was listened on has ended.
    ByLoss,
}

async fn rest(server: &Server, watch: &mut Watch) -> Woken {
    let soonest = Clock::now() + Duration::from_millis(LIST_SPACING_MS);
    let change = pin!(async {
        nudged_or(server, server.wiring.spec.refresh).await;
        // A burst of changes is one listing, and a server that cannot stop is listed now and then.
        let gathered = Clock::now() + Duration::from_millis(LIST_DEBOUNCE_MS);
        time::sleep_until(gathered.max(soonest)).await;
        let _ = server.wiring.list_changed.notified().now_or_never();
    });
    match select(change, watch).await {
        Either::Left(_) => Woken::ForNews,
        Either::Right((ended, _)) => {
            if let Err(error) = ended {
                tracing::debug!(server = &*server.wiring.spec.name, "no longer hears of changes: {error}");
            }
            Woken::ByLoss
        }
    }
}
