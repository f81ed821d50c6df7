//! Keeps one server's list of tools fresh, at its home shard: probe, list all pages, report; again when the server says
//! so, when a call found the list wrong, when a connection came back, and from time to time.
//!
//! A server that is down is tried for ever with growing waits; nobody waits for it meanwhile.

use crate::base::clock::{Clock, Instant};
use crate::base::error::{Error, Kind, Result};
use crate::base::limits::{
    LIST_DEADLINE_MS, LIST_DEBOUNCE_MS, LIST_PAGES_MAX, LIST_SPACING_MS, RESTART_STABLE_MS, SERVER_LIST_BYTES_MAX,
    SERVER_TOOLS_MAX,
};
use crate::catalog::{self, ServerList};
use crate::mcp::revision::Era;
use crate::rt::time;
use crate::upstream::answer::Outcome;
use crate::upstream::health::Backoff;
use crate::upstream::leg::Verdict;
use crate::upstream::probe::{About, ToolsPage};
use crate::upstream::upstreams::Server;
use crate::upstream::wiring::{Opened, Transport};
use crate::wire::rpc;
use bytes::Bytes;
use futures_util::future::{Either, FutureExt, LocalBoxFuture, select};
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
    /// It answered: its whole list, and how to speak to it.
    Listed {
        /// To be learned by every shard.
        verdict: Verdict,
        /// What it says of itself.
        about: About,
        /// All its tools.
        list: ServerList,
    },
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
            Ok((opened, list)) => {
                outages.reset();
                server.report(News::Listed { verdict: opened.verdict, about: (*opened.about).clone(), list });
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
                tracing::debug!(server = &*server.wiring.spec.name, "cannot list the server's tools: {error}");
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

/// One listing, and what it says about the server's health.
async fn listed(server: &Server) -> Result<(Opened, ServerList)> {
    let limit = Duration::from_millis(LIST_DEADLINE_MS);
    let listed = time::timeout(limit, Box::pin(open_and_list(server))).await;
    let listed = listed.unwrap_or_else(|_| Err(Error::new(Kind::Timeout, "the server did not list its tools in time")));
    server.circuit.count(&listed);
    listed
}

async fn open_and_list(server: &Server) -> Result<(Opened, ServerList)> {
    let opened = server.transport.open().await?;
    let tools = if opened.about.tools { all_pages(server).await? } else { Vec::new() };
    let list = server_list(server, opened.verdict, tools);
    Ok((opened, list))
}

/// The list of a server whose tools have been fetched over a leg.
fn server_list(server: &Server, verdict: Verdict, tools: Vec<Bytes>) -> ServerList {
    let leg = match verdict.era {
        Era::Modern => catalog::Leg::Modern,
        Era::Legacy => catalog::Leg::Legacy,
    };
    ServerList { server: server.wiring.spec.name.clone(), leg, fetched_at: Clock::wall(), stale: false, tools }
}

/// Lists again outside the usual round: a call found that the list does not fit the server any more.
pub(super) async fn refetch(server: &Server) -> Result<ServerList> {
    let (opened, list) = Box::pin(listed(server)).await?;
    server.report(News::Listed { verdict: opened.verdict, about: (*opened.about).clone(), list: list.clone() });
    Ok(list)
}

async fn all_pages(server: &Server) -> Result<Vec<Bytes>> {
    let mut pages = Pages::default();
    for _ in 0..LIST_PAGES_MAX {
        let page = server.transport.list(pages.cursor.as_deref()).await?;
        if !pages.take(page)? {
            return Ok(pages.tools);
        }
    }
    Err(Error::new(Kind::BadAnswer, format!("the server's list of tools has more than {LIST_PAGES_MAX} pages")))
}

/// The pages of one list as they come.
#[derive(Default)]
struct Pages {
    tools: Vec<Bytes>,
    bytes: usize,
    cursor: Option<Bytes>,
}

impl Pages {
    /// Takes a page in; whether another one follows.
    fn take(&mut self, page: Outcome) -> Result<bool> {
        let read = ToolsPage::read(&page)?;
        let Outcome::Result(text) = &page else { return Ok(false) };
        let kept = Bytes::from_owner(text.clone());
        for tool in rpc::array_items(read.tools) {
            self.bytes += tool.len();
            if self.tools.len() >= SERVER_TOOLS_MAX || self.bytes > SERVER_LIST_BYTES_MAX {
                let context = format!("the server lists more than {SERVER_TOOLS_MAX} tools or 64 MiB of them");
                return Err(Error::new(Kind::BadAnswer, context));
            }
            self.tools.push(kept.slice_ref(tool));
        }
        // An empty cursor is a valid one.
        let next = read.next_cursor.map(|cursor| kept.slice_ref(cursor));
        if next.is_some() && next == self.cursor {
            return Err(Error::new(Kind::BadAnswer, "the server's list of tools gives the same cursor twice"));
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
