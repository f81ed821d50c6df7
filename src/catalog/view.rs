//! What one grant sees at one door of one list, rendered to the bytes of the answer's array, page by page, once per
//! snapshot.

use super::{Catalog, Door, Grant, Grants, Leg, ListKind};
use crate::base::ids::{GrantId, PromptId, ResourceId, ServerId, TemplateId, ToolId};
use crate::base::limits::{LIST_PAGE_MAX, VIEWS_BYTES_MAX};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// A rendered list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its pages in order, at least one.
    pub pages: Box<[Page]>,
    /// How many entries it holds.
    pub len: usize,
    /// SHA-256 of the bytes: another digest, another list.
    pub digest: [u8; 32],
}

/// At most `LIST_PAGE_MAX` entries of a list. A clone shares its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// `[{entry},{entry}…]`: definitions byte for byte but for their name or URI, and for the type of an input schema
    /// that has none.
    pub array: Bytes,
    /// The same for clients of 2025-11-25 and earlier; the very same bytes unless a tool has an output schema that
    /// they would refuse.
    pub legacy_array: Bytes,
}

/// The entries of one list at one door.
#[derive(Clone, Copy)]
struct Source<'a> {
    catalog: &'a Catalog,
    grant: &'a Grant,
    door: Door,
    kind: ListKind,
}

impl View {
    /// Renders what a grant sees of a list at a door.
    pub fn render(catalog: &Catalog, grant: &Grant, door: Door, kind: ListKind) -> Self {
        let source = Source { catalog, grant, door, kind };
        let seen: Vec<u32> = catalog.range(door, kind).filter(|at| grant.sees(kind, *at)).collect();
        let mut pages: Vec<Page> = seen.chunks(LIST_PAGE_MAX).map(|part| source.page(part)).collect();
        if pages.is_empty() {
            pages.push(source.page(&[]));
        }
        let mut digest = Sha256::new();
        pages.iter().for_each(|page| digest.update(&page.array));
        Self { len: seen.len(), pages: pages.into(), digest: digest.finalize().into() }
    }

    /// Bytes it holds.
    fn bytes(&self) -> usize {
        self.pages.iter().map(Page::bytes).sum()
    }
}

impl Page {
    fn bytes(&self) -> usize {
        let is_shared = self.array.as_ptr() == self.legacy_array.as_ptr();
        self.array.len() + if is_shared { 0 } else { self.legacy_array.len() }
    }
}

impl Source<'_> {
    fn page(self, entries: &[u32]) -> Page {
        let array = self.array(entries, Leg::Modern);
        let differs =
            self.kind == ListKind::Tools && entries.iter().any(|at| self.catalog.tool(ToolId(*at)).forms().differ());
        let legacy_array = if differs { self.array(entries, Leg::Legacy) } else { array.clone() };
        Page { array, legacy_array }
    }

    fn array(self, entries: &[u32], leg: Leg) -> Bytes {
        let room = 2 + entries.iter().map(|at| self.room(*at)).sum::<usize>();
        let mut array = Vec::with_capacity(room);
        array.push(b'[');
        for at in entries {
            if array.len() > 1 {
                array.push(b',');
            }
            self.write(*at, leg, &mut array);
        }
        array.push(b']');
        array.into()
    }

    fn write(self, at: u32, leg: Leg, out: &mut Vec<u8>) {
        let Self { catalog, grant, door, kind } = self;
        match kind {
            ListKind::Tools => {
                let id = ToolId(at);
                let shown = (catalog.listed_name(door, id, grant), grant.description(door, id));
                catalog.tool(id).forms().write_described(shown, leg, out);
            }
            ListKind::Prompts => {
                let prompt = catalog.prompt(PromptId(at));
                let name = if door == Door::All { &prompt.exposed } else { &prompt.unprefixed };
                prompt.form.write(name, out);
            }
            ListKind::Resources => {
                let resource = catalog.resource(ResourceId(at));
                match door == Door::All && resource.listed != resource.uri {
                    true => resource.form.write_quoted(&resource.listed, out),
                    false => resource.form.write_own(out),
                }
            }
            ListKind::Skills => {
                let skill = &catalog.skills[at as usize];
                out.extend_from_slice(if door == Door::All { &skill.listed } else { &skill.own });
            }
            ListKind::Templates => {
                let template = catalog.template(TemplateId(at));
                match door == Door::All && template.listed != template.text {
                    true => template.form.write_quoted(&template.listed, out),
                    false => template.form.write_own(out),
                }
            }
        }
    }

    /// About how many bytes [`Self::write`] appends, and the comma before them.
    fn room(self, at: u32) -> usize {
        let Self { catalog, grant, door, kind } = self;
        1 + match kind {
            ListKind::Tools => {
                let id = ToolId(at);
                let shown =
                    catalog.listed_name(door, id, grant).len() + grant.description(door, id).map_or(0, str::len);
                catalog.tool(id).forms().len() + shown
            }
            ListKind::Prompts => {
                let prompt = catalog.prompt(PromptId(at));
                prompt.form.len() + prompt.exposed.len()
            }
            ListKind::Resources => catalog.resource(ResourceId(at)).form.len(),
            ListKind::Templates => catalog.template(TemplateId(at)).form.len(),
            ListKind::Skills => catalog.skills[at as usize].listed.len(),
        }
    }
}

/// The views of one snapshot, each rendered when first asked for and kept while there is room: every grant may have as
/// many as there are doors and lists, and each as many bytes as all definitions together.
#[derive(Debug)]
pub struct Views {
    of_grants: Box<[OfGrant]>,
    /// Bytes that may still be kept.
    room: AtomicUsize,
}

/// A view that may have been rendered already.
type Place = OnceLock<Arc<View>>;

#[derive(Debug, Default)]
struct OfGrant {
    /// By [`ListKind`].
    all: [Place; ListKind::ALL.len()],
    /// By server id, and for each by [`ListKind`]; made when a single server's door is first used.
    servers: OnceLock<Box<[[Place; ListKind::ALL.len()]]>>,
}

impl Views {
    /// Room for the views of these grants.
    pub fn new(grants: &Grants) -> Self {
        Self::with_room(grants, VIEWS_BYTES_MAX)
    }

    fn with_room(grants: &Grants, room: usize) -> Self {
        Self { of_grants: (0..grants.len()).map(|_| OfGrant::default()).collect(), room: AtomicUsize::new(room) }
    }

    /// The view of a grant at a door; catalogue and grants must be those of this snapshot. An unknown server's door
    /// shows an empty list.
    pub fn get(&self, catalog: &Catalog, grants: &Grants, grant: GrantId, door: Door, kind: ListKind) -> Arc<View> {
        let own = &self.of_grants[grant.0 as usize];
        let places = match door {
            Door::All => &own.all,
            Door::Server(id) => own.of_server(catalog, id),
        };
        let place = &places[kind as usize];
        match place.get() {
            Some(kept) => kept.clone(),
            None => self.keep(place, View::render(catalog, grants.get(grant), door, kind).into()),
        }
    }

    /// Keeps a view if there is room. Where another shard was quicker, its view is the one.
    fn keep(&self, place: &Place, view: Arc<View>) -> Arc<View> {
        let bytes = view.bytes();
        let taken = self.room.fetch_update(Relaxed, Relaxed, |room| room.checked_sub(bytes));
        if taken.is_err() {
            return view;
        }
        if place.set(view.clone()).is_err() {
            self.room.fetch_add(bytes, Relaxed);
        }
        place.get().cloned().unwrap_or(view)
    }
}

impl OfGrant {
    fn of_server(&self, catalog: &Catalog, id: ServerId) -> &[Place; ListKind::ALL.len()] {
        let views = self.servers.get_or_init(|| (0..=catalog.servers_end()).map(|_| Default::default()).collect());
        &views[usize::from(id.0).min(catalog.servers_end())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{GrantCompiler, Pattern, Rights, Sort, catalogue, plain, testing};
    use super::*;
    use serde_json::Value;

    fn grant(catalog: &Catalog, patterns: &[&str]) -> Grant {
        let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Grant::compile(&patterns, catalog)
    }

    fn tools(catalog: &Catalog, grant: &Grant, door: Door) -> View {
        View::render(catalog, grant, door, ListKind::Tools)
    }

    #[test]
    fn a_view_holds_every_definition_byte_for_byte_but_for_its_name() {
        let servers = catalogue::any();
        let catalog = testing::build(&servers);
        let all = grant(&catalog, &["*/*"]);
        let view = tools(&catalog, &all, Door::All);
        assert_eq!(view, tools(&testing::build(&servers), &all, Door::All), "the same bytes every time");
        let expected: Vec<String> = catalog.tools().iter().map(replaced).collect();
        assert_eq!(view.pages[0].array, format!("[{}]", expected.join(",")));
        let tools: Vec<Value> = serde_json::from_slice(&view.pages[0].array).unwrap();
        assert_eq!((tools.len(), view.len), (catalogue::TOOLS, catalogue::TOOLS));
    }

    /// The definition with its first `"name": "…"` on the outermost level replaced, by plain text search.
    fn replaced(tool: &super::super::Tool) -> String {
        if tool.forms().are_mended() {
            let mut mended = Vec::new();
            tool.forms().write(tool.exposed(), Leg::Modern, &mut mended);
            return String::from_utf8(mended).unwrap();
        }
        let text = std::str::from_utf8(tool.definition()).unwrap();
        let quoted = serde_json::to_string(tool.name()).unwrap();
        let spelled = [format!("\"name\": {quoted}"), format!("\"name\":{quoted}")];
        let old = spelled.iter().find(|old| text.contains(*old)).unwrap();
        text.replacen(old, &old.replace(&quoted, &format!("\"{}\"", tool.exposed())), 1)
    }

    #[test]
    fn one_servers_view_shows_its_tools_under_their_own_names() {
        let catalog = plain(&[("a", &["x", "y"]), ("b", &["z"])]);
        let view = tools(&catalog, &grant(&catalog, &["a/y", "b/*"]), Door::Server(ServerId(0)));
        assert_eq!(view.pages[0].array, r#"[{"inputSchema":{"type":"object"},"name":"y"}]"#);
        let nothing = tools(&catalog, &Grant::nothing(), Door::All);
        assert_eq!((nothing.pages[0].array.as_ref(), nothing.len), (&b"[]"[..], 0));
    }

    #[test]
    fn legacy_clients_share_the_bytes_unless_a_tool_would_break_their_list() {
        let catalog = plain(&[("a", &["x"])]);
        let view = tools(&catalog, &grant(&catalog, &["*/*"]), Door::All);
        assert_eq!(view.pages[0].array.as_ptr(), view.pages[0].legacy_array.as_ptr());
        let tool = r#"{"name":"x","inputSchema":{"type":"object"},"outputSchema":{"type":"array"}}"#;
        let catalog = testing::build(&[catalogue::Listed { server: "a".into(), tools: vec![tool.into()] }]);
        let view = tools(&catalog, &grant(&catalog, &["*/*"]), Door::Server(ServerId(0)));
        assert_eq!(view.pages[0].array, format!("[{tool}]"));
        assert_eq!(view.pages[0].legacy_array, r#"[{"name":"x","inputSchema":{"type":"object"}}]"#);
    }

    #[test]
    fn the_digest_changes_with_the_list_alone() {
        let before = plain(&[("a", &["x"]), ("b", &["y"])]);
        let after = plain(&[("a", &["x"]), ("b", &["y", "z"])]);
        let digest = |catalog: &Catalog, pattern| tools(catalog, &grant(catalog, &[pattern]), Door::All).digest;
        assert_eq!(digest(&before, "a/*"), digest(&after, "a/*"));
        assert_ne!(digest(&before, "b/*"), digest(&after, "b/*"));
    }

    #[test]
    fn a_view_is_rendered_once() {
        let catalog = plain(&[("a", &["x"]), ("b", &["y"])]);
        let mut grants = Grants::new();
        let id = grants.intern(grant(&catalog, &["*/*"]));
        let views = Views::new(&grants);
        for (door, len) in [(Door::All, 2), (Door::Server(ServerId(1)), 1), (Door::Server(ServerId(9)), 0)] {
            let one = views.get(&catalog, &grants, id, door, ListKind::Tools);
            let two = views.get(&catalog, &grants, id, door, ListKind::Tools);
            assert_eq!(one.len, len);
            assert_eq!(one.pages[0].array.as_ptr(), two.pages[0].array.as_ptr());
        }
    }

    #[test]
    fn a_view_for_which_there_is_no_room_is_rendered_anew() {
        let catalog = plain(&[("a", &["x"]), ("b", &["y"])]);
        let mut grants = Grants::new();
        let ids = ["a/*", "b/*"].map(|pattern| grants.intern(grant(&catalog, &[pattern])));
        let size = tools(&catalog, grants.get(ids[0]), Door::All).bytes();
        let views = Views::with_room(&grants, size);
        let places = |id| [(); 2].map(|()| views.get(&catalog, &grants, id, Door::All, ListKind::Tools));
        let [one, two] = places(ids[0]);
        assert_eq!((one.pages[0].array.as_ptr(), one.len), (two.pages[0].array.as_ptr(), 1), "the first is kept");
        let [one, two] = places(ids[1]);
        assert_ne!(one.pages[0].array.as_ptr(), two.pages[0].array.as_ptr());
        assert_eq!(one, two);
        assert_eq!(views.room.load(Relaxed), 0);
    }

    #[test]
    fn a_long_list_has_pages() {
        let names: Vec<String> = (0..LIST_PAGE_MAX + 1).map(|at| format!("t{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let catalog = plain(&[("a", &names)]);
        let view = tools(&catalog, &grant(&catalog, &["*/*"]), Door::All);
        let count = |page: &Page| serde_json::from_slice::<Vec<Value>>(&page.array).unwrap().len();
        let pages: Vec<usize> = view.pages.iter().map(count).collect();
        assert_eq!((pages.as_slice(), view.len), (&[LIST_PAGE_MAX, 1][..], LIST_PAGE_MAX + 1));
        assert_eq!(tools(&catalog, &Grant::nothing(), Door::All).pages.len(), 1);
    }

    #[test]
    fn each_list_has_a_view_of_its_own() {
        let catalog =
            testing::documents(&[("a", [&["p"], &["x:1"], &["x:{q}"]]), ("b", [&["p"], &["x:1"], &["x:{q}"]])]);
        let everything = |sort| [Pattern::parse_as(sort, "*/*").unwrap()].into();
        let rights = Rights {
            tools: Box::default(),
            prompts: everything(Sort::Prompts),
            resources: everything(Sort::Resources),
            ..Rights::default()
        };
        let grant = GrantCompiler::new(&catalog).compile(&rights);
        let at = |door, kind, member: &str| -> Vec<String> {
            let view = View::render(&catalog, &grant, door, kind);
            let entries: Vec<Value> = serde_json::from_slice(&view.pages[0].array).unwrap();
            entries.iter().map(|entry| entry[member].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(at(Door::All, ListKind::Prompts, "name"), ["a__p", "b__p"]);
        assert_eq!(at(Door::All, ListKind::Resources, "uri"), ["x:1", "x:1#tollgate=b"]);
        assert_eq!(at(Door::All, ListKind::Templates, "uriTemplate"), ["x:{q}", "x:{q}#tollgate=b"]);
        assert_eq!(at(Door::Server(ServerId(1)), ListKind::Resources, "uri"), ["x:1"]);
        assert_eq!(at(Door::Server(ServerId(1)), ListKind::Prompts, "name"), ["p"]);
        assert!(at(Door::All, ListKind::Tools, "name").is_empty());
    }
}
