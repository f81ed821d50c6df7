//! A catalogue of 508 tools: may this one be called, and what does the list of all of them cost a request.

#[path = "../../tests/support/catalogue.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which also use the rest of it")]
mod catalogue;

use bytes::Bytes;
use catalogue::Listed;
use tollgate::base::clock::WallTime;
use tollgate::base::ids::{GrantId, ServerId};
use tollgate::base::limits::LIST_TTL_MS;
use tollgate::catalog::{Catalog, Door, Grant, Grants, ListKind, Pattern, ServerList, View, Views};
use tollgate::mcp::list::{self, Around};
use tollgate::mcp::model::Model;
use tollgate::mcp::revision::Era;
use tollgate::policy::{Approvals, Asked, Verdict};

/// What one snapshot knows of tools, for a key that may call those of every other server.
pub(crate) struct Tools {
    catalog: Catalog,
    grants: Grants,
    everything: GrantId,
    half: Grant,
    views: Views,
    approvals: Approvals,
    model: Model,
    /// Every tool's name as clients send it, in the catalogue's order.
    names: Vec<String>,
}

impl Tools {
    /// The generated catalogue: the same on every machine.
    pub(crate) fn generated() -> Self {
        Self::of(&catalogue::generated())
    }

    fn of(listed: &[Listed]) -> Self {
        let lists: Vec<_> = listed.iter().map(list).collect();
        let servers: Vec<_> = (0..).map(ServerId).zip(&lists).map(|(id, list)| (id, &*list.server, list)).collect();
        let catalog = Catalog::build(&servers);
        assert_eq!(catalog.tools().len(), catalogue::TOOLS, "{:?}", catalog.warnings());
        let everything = Grant::compile(&[pattern("*/*")], &catalog);
        let half: Vec<_> = lists.iter().step_by(2).map(|list| pattern(&format!("{}/*", list.server))).collect();
        let half = Grant::compile(&half, &catalog);
        let mut grants = Grants::new();
        let everything = grants.intern(everything);
        let names = catalog.tools().iter().map(|tool| tool.exposed().to_owned()).collect();
        let views = Views::new(&grants);
        let (approvals, model) = (Approvals::default(), Model::new("1.0.0", None));
        let tools = Self { catalog, grants, everything, half, views, approvals, model, names };
        tools.answer();
        tools
    }

    /// Asks for every tool of the catalogue by its name; how many of them may be called.
    pub(crate) fn decide_all(&self) -> usize {
        let allowed = |name: &&String| {
            let asked = Asked { name, door: Door::All, grant: &self.half, narrowing: None, approvals: &self.approvals };
            matches!(asked.admit(&self.catalog).verdict, Verdict::Allow(_))
        };
        self.names.iter().filter(allowed).count()
    }

    /// The parts of a `tools/list` answer: the view rendered before, with the client's id in front.
    pub(crate) fn answer(&self) -> [Bytes; 3] {
        let view = self.views.get(&self.catalog, &self.grants, self.everything, Door::All, ListKind::Tools);
        let Around { head, tail } =
            list::around(&self.model, Era::Modern, ListKind::Tools, b"1234", (LIST_TTL_MS, None));
        [head.into(), view.pages[0].array.clone(), tail.into()]
    }
}

/// What only wall time is taken of: rendering is done once a snapshot, and most of its instructions under callgrind are
/// SHA-256 without the processor's help.
#[allow(dead_code, reason = "for wall time only")]
impl Tools {
    /// The catalogue recorded from real servers, where it lies beside the repository.
    pub(crate) fn recorded() -> Option<Self> {
        catalogue::recorded().map(|listed| Self::of(&listed))
    }

    /// Renders the view of all tools.
    pub(crate) fn render(&self) -> View {
        View::render(&self.catalog, self.grants.get(self.everything), Door::All, ListKind::Tools)
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("a pattern")
}

fn list(listed: &Listed) -> ServerList {
    let tools = listed.tools.iter().map(|tool| tool.clone().into()).collect();
    ServerList { fetched_at: WallTime(1), stale: false, tools, ..ServerList::empty(&listed.server) }
}
