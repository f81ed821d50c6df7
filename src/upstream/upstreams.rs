//! All servers of one shard: started, changed and stopped by reload; found by name, and called.

use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::ids::{KeyId, ServerId};
use crate::base::limits::{SCOPE_IDLE_MS, STOP_DRAIN_MS};
use crate::catalog::{Catalog, HeaderParams};
use crate::mcp::revision::Era;
use crate::rt::local::Notify;
use crate::rt::{task, time};
use crate::upstream::answer::{Answer, Outcome, ScopeKey, UpstreamCall};
use crate::upstream::credential::{Credential, Standing};
use crate::upstream::discover::{self, News, Report};
use crate::upstream::health::Circuit;
use crate::upstream::http::{HttpServer, Trust, Wire};
use crate::upstream::leg::{Leg, Verdict};
use crate::upstream::operation::Operation;
use crate::upstream::said::Sink;
use crate::upstream::spec::{EraSetting, Scope, ServerSpec, TransportSpec};
use crate::upstream::stdio::StdioServer;
use crate::upstream::transport::AnyTransport;
use crate::upstream::watched::{Heard, Subjects, Watched};
use crate::upstream::wiring::{Ids, Transport, Wiring};
use crate::wire::http::Client;
use futures_util::future::{join_all, select};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The servers of one shard. Cheap to clone; it stays on its thread.
#[derive(Clone)]
pub struct Upstreams(Rc<All>);

struct All {
    client: Client,
    trust: Trust,
    report: Rc<dyn Fn(Report)>,
    heard: Rc<Hears>,
    ids: Rc<Ids>,
    servers: RefCell<HashMap<Box<str>, Rc<Server>, foldhash::fast::RandomState>>,
    credentials: RefCell<HashMap<Box<str>, Rc<Credential>>>,
}

impl All {
    /// The token of a server, which outlives a server that a reload starts anew.
    fn credential(&self, server: &str) -> Rc<Credential> {
        let mut all = self.credentials.borrow_mut();
        let made = || Rc::new(Credential::new(server, self.report.clone()));
        all.entry(server.into()).or_insert_with(made).clone()
    }
}

/// Takes what a server of this name says of what is wanted.
type Hears = dyn Fn(&str, Heard<'_>);

/// One server of the shard, found once and called often.
#[derive(Clone)]
pub struct Upstream(Rc<Server>);

/// Where a call must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On whichever shard it came to.
    Anywhere,
    /// On the one shard that this number picks (`number % shards`), because a process or a session lives there.
    Home(u64),
}

/// One server on one shard.
pub(super) struct Server {
    pub(super) wiring: Rc<Wiring>,
    pub(super) transport: AnyTransport,
    pub(super) circuit: Circuit,
    pub(super) seed: u64,
    home: Cell<bool>,
    stop: Notify,
    stopped: Cell<bool>,
    in_flight: Cell<u32>,
    idle: Notify,
    report: Rc<dyn Fn(Report)>,
}

impl Upstreams {
    /// No servers yet. `report` takes the news of those whose home is here, and `heard` what such a server says
    /// of resources that are wanted; neither may block.
    pub fn new(client: Client, report: impl Fn(Report) + 'static, heard: impl Fn(&str, Heard<'_>) + 'static) -> Self {
        Self(Rc::new(All {
            client,
            trust: Trust::default(),
            report: Rc::new(report),
            heard: Rc::new(heard),
            ids: Rc::default(),
            servers: RefCell::default(),
            credentials: RefCell::default(),
        }))
    }

    /// Brings the servers in line with a configuration: starts new ones, restarts changed ones, stops those that are
    /// gone; unchanged ones run on. `home` says for which of them this shard is the one that lists.
    pub fn apply(&self, specs: &[Arc<ServerSpec>], home: impl Fn(&str) -> bool) {
        let mut old = self.0.servers.take();
        let mut new = HashMap::default();
        for spec in specs {
            let home = home(&spec.name);
            let same = old.get(&spec.name).is_some_and(|server| server.fits(spec, home));
            let kept = if same { old.remove(&spec.name) } else { None };
            new.insert(spec.name.clone(), kept.unwrap_or_else(|| self.start(spec, home)));
        }
        self.0.servers.replace(new);
        self.0.credentials.borrow_mut().retain(|name, _| specs.iter().any(|spec| spec.name == *name));
        for gone in old.into_values() {
            gone.stopped.set(true);
            task::spawn(async move { gone.stop().await });
        }
    }

    /// Takes in what another shard found out about a server.
    pub fn learn(&self, server: &str, verdict: Verdict) {
        if let Ok(server) = self.server(server) {
            server.wiring.leg.learn(verdict);
        }
    }

    /// Takes in how the token of a server stands. One whose home is here is listed with it at once.
    pub fn credential(&self, server: &str, standing: Standing) {
        if self.0.credential(server).learn(standing) {
            self.relist(server);
        }
    }

    /// The server of this name.
    ///
    /// # Errors
    /// [`Kind::Internal`]: there is none, and nothing was sent.
    pub fn find(&self, server: &str) -> Result<Upstream> {
        self.server(server).map(Upstream)
    }

    /// Executes a tool of the server of this name: see [`Upstream::call`].
    ///
    /// # Errors
    /// As there, and as [`Self::find`].
    pub async fn call(&self, server: &str, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Answer> {
        self.find(server)?.call(call, sink).await
    }

    /// Asks for a fresh listing of a server whose home is here.
    pub fn relist(&self, server: &str) {
        if let Ok(server) = self.server(server) {
            server.wiring.list_changed.notify_one();
        }
    }

    /// Says which resources and tasks of a server whose home is here are to be listened for.
    pub fn want(&self, server: &str, subjects: Subjects) {
        if let Ok(server) = self.server(server) {
            server.wiring.watched.want(subjects);
        }
    }

    /// Whether calls to a server fail fast now because it is down.
    pub fn is_down(&self, server: &str) -> bool {
        self.server(server).is_ok_and(|server| server.circuit.is_open())
    }

    /// Stops all servers: processes are ended, sessions deleted. Waits until that is done.
    pub async fn close(&self) {
        let all = self.0.servers.take();
        all.values().for_each(|server| server.stopped.set(true));
        join_all(all.values().map(|server| server.stop())).await;
    }

    fn server(&self, name: &str) -> Result<Rc<Server>> {
        let found = self.0.servers.borrow().get(name).cloned();
        found.ok_or_else(|| Error::new(Kind::Internal, format!("no server {name} on this shard")).retry(Retry::Safe))
    }

    fn start(&self, spec: &Arc<ServerSpec>, home: bool) -> Rc<Server> {
        let server = Rc::new(Server::new(&self.0, spec, home));
        task::spawn(tend(server.clone()));
        server
    }
}

impl Upstream {
    /// Where a call of a scope must run, as far as is known.
    pub fn placement(&self, scope: &ScopeKey, client: Era) -> Placement {
        placement(&self.0.wiring.spec, self.0.wiring.leg.known(), scope, client)
    }

    /// Whether it may ask its client, with requests of its own, during a call of a client of this era.
    pub fn may_ask(&self, client: Era) -> bool {
        self.0.wiring.leg.era_for(client) != Some(Era::Modern)
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.0.wiring.spec.name
    }

    /// Whether the shard has let go of it: the server of its name is another now, or none.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.get()
    }

    /// Executes a tool. Events go into `sink` as they come. Dropping the future cancels the call at the server.
    ///
    /// # Errors
    /// [`Kind::Unreachable`]: the server is down (with [`Retry::Safe`] where nothing was sent); [`Kind::Timeout`];
    /// [`Kind::BadAnswer`]; [`Kind::Overloaded`]. What the server itself answers, errors included, is an [`Answer`].
    pub async fn call(&self, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Answer> {
        let server = &self.0;
        server.circuit.admit().map_err(|error| error.at(&server.wiring.spec.name))?;
        let answer = server.call(call, sink).await;
        let was_down = server.circuit.is_open();
        server.circuit.count(&answer);
        if was_down && !server.circuit.is_open() {
            server.wiring.list_changed.notify_one();
        }
        answer.map_err(|error| error.at(&server.wiring.spec.name))
    }
}

/// Where a call must run: stdio processes and stateful legacy sessions live on one shard each, and so does what may yet
/// turn out to be one.
pub fn placement(spec: &ServerSpec, verdict: Option<Verdict>, scope: &ScopeKey, client: Era) -> Placement {
    let local = match verdict {
        _ if spec.is_stdio() => true,
        Some(verdict) => verdict.stateful_for(client),
        // Whoever asks such a server first may open a session with it, which only its home shall hold.
        None => spec.era != EraSetting::Modern,
    };
    if local { Placement::Home(home_number(&spec.name, scope)) } else { Placement::Anywhere }
}

/// Picks the home shard of a server (with [`ScopeKey::Shared`]) or of one of its scopes: take it modulo the number of
/// shards. The same in every process.
pub fn home_number(server: &str, scope: &ScopeKey) -> u64 {
    let (key, session): (&str, &[u8]) = match scope {
        ScopeKey::Shared | ScopeKey::Gate => ("", b""),
        ScopeKey::Key(key) => (key.as_str(), b""),
        ScopeKey::Session(key, session) => (key.as_str(), session),
    };
    // FNV-1a, with a separator that no name holds.
    let bytes = server.bytes().chain([0]).chain(key.bytes()).chain(session.iter().copied());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}

impl Server {
    fn new(all: &All, spec: &Arc<ServerSpec>, home: bool) -> Self {
        let (name, heard) = (spec.name.clone(), all.heard.clone());
        let wiring = Rc::new(Wiring {
            spec: spec.clone(),
            leg: Leg::new(spec.era),
            ids: all.ids.clone(),
            list_changed: Rc::new(Notify::new()),
            watched: Rc::new(Watched::new(move |said| heard(&name, said))),
        });
        let seed = home_number(&spec.name, &ScopeKey::Shared);
        let transport = match &spec.transport {
            TransportSpec::Http(http) => {
                let credential = http.oauth.as_ref().map(|_| all.credential(&spec.name));
                let wire = Wire::new(http, all.client.clone(), &all.trust, credential).map(Rc::new);
                AnyTransport::Http(HttpServer::new(wiring.clone(), wire))
            }
            TransportSpec::Stdio(_) => AnyTransport::Stdio(StdioServer::new(wiring.clone(), seed)),
        };
        let (home, report) = (Cell::new(home), all.report.clone());
        Self {
            wiring,
            transport,
            circuit: Circuit::new(seed),
            seed,
            home,
            stop: Notify::new(),
            stopped: Cell::new(false),
            in_flight: Cell::new(0),
            idle: Notify::new(),
            report,
        }
    }

    fn fits(&self, spec: &ServerSpec, home: bool) -> bool {
        *self.wiring.spec == *spec && self.home.get() == home
    }

    /// Sends news to the control thread.
    pub(super) fn report(&self, news: News) {
        (self.report)(Report { server: self.wiring.spec.name.clone(), news });
    }

    /// Calls; where a modern server finds a mirrored header wrong, our list is old: fetched again, and tried once more.
    /// Nothing has run then, as headers are judged before the call.
    async fn call(&self, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Answer> {
        let _counted = InFlight::enter(self);
        if self.wiring.leg.known().is_some_and(|verdict| verdict.leaves_open(call.client)) {
            // Boxed, as it is done once.
            Box::pin(self.find_other_leg()).await;
        }
        let answer = self.transport.call(call, sink).await?;
        if !is_header_mismatch(&answer) {
            return Ok(answer);
        }
        // Boxed, as it is rare and each call would carry the room for it.
        let again = Box::pin(self.call_with_fresh_headers(call, sink)).await?;
        Ok(again.unwrap_or(answer))
    }

    /// Finds out whether a modern server takes `initialize` too, and tells every shard.
    async fn find_other_leg(&self) {
        let found = time::timeout(self.wiring.spec.probe_timeout, self.transport.other_leg()).await;
        let verdict = found.unwrap_or(Verdict::MODERN_ALONE);
        self.wiring.leg.learn(verdict);
        self.report(News::Learned(verdict));
    }

    async fn call_with_fresh_headers(&self, call: &UpstreamCall<'_>, sink: &Sink) -> Result<Option<Answer>> {
        let Operation::Tool { name, arguments, .. } = call.operation else { return Ok(None) };
        let Some(header_params) = self.fresh_header_params(name).await? else { return Ok(None) };
        let operation = Operation::Tool { name, arguments, header_params: &header_params };
        self.transport.call(&UpstreamCall { operation, ..*call }, sink).await.map(Some)
    }

    async fn fresh_header_params(&self, tool: &str) -> Result<Option<HeaderParams>> {
        let list = discover::refetch(self).await?;
        let catalog = Catalog::build(&[(ServerId(0), &self.wiring.spec.name, &list)]);
        let tool = catalog.tools().iter().find(|known| known.name() == tool);
        Ok(tool.map(|tool| tool.header_params().clone()))
    }

    /// Stops listing at once, and the rest when its calls have ended or had their time.
    async fn stop(&self) {
        self.stop.notify_one();
        let calls_end = pin!(async {
            while self.in_flight.get() > 0 {
                self.idle.notified().await;
            }
        });
        let _ = time::timeout(Duration::from_millis(STOP_DRAIN_MS), calls_end).await;
        self.transport.close().await;
    }
}

/// Counts a call while it runs, however it ends.
struct InFlight<'a>(&'a Server);

impl<'a> InFlight<'a> {
    fn enter(server: &'a Server) -> Self {
        server.in_flight.set(server.in_flight.get() + 1);
        Self(server)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
        self.0.idle.notify_one();
    }
}

/// Whether a modern server refused a call because a mirrored header was missing or wrong (2026-07-28).
fn is_header_mismatch(answer: &Answer) -> bool {
    let code = match &answer.outcome {
        Outcome::Error(error) => crate::upstream::incoming::error_code(error),
        Outcome::Result(_) => 0,
    };
    answer.era == Era::Modern && code == i64::from(Kind::HeaderMismatch.rpc_code())
}

/// Runs what a server needs in the background until it is stopped.
async fn tend(server: Rc<Server>) {
    let work = pin!(async {
        let tidy = async {
            loop {
                time::sleep(Duration::from_millis(SCOPE_IDLE_MS / 10)).await;
                server.transport.tidy().await;
            }
        };
        if server.home.get() {
            select(pin!(discover::run(server.clone())), pin!(tidy)).await;
        } else {
            tidy.await
        }
    });
    select(pin!(server.stop.notified()), work).await;
}

/// The scope a call runs in, given whose it is.
pub fn scope_key(scope: Scope, key: KeyId, session: Option<[u8; 16]>) -> ScopeKey {
    match (scope, session) {
        (Scope::Shared, _) => ScopeKey::Shared,
        (Scope::PerSession, Some(session)) => ScopeKey::Session(key, session),
        (Scope::PerKey | Scope::PerSession, _) => ScopeKey::Key(key),
    }
}
