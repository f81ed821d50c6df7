//! What one grant sees at one door, rendered to the bytes of a `tools/list` answer's array once per snapshot.

use super::{Catalog, Door, Grant, Grants, Leg};
use crate::base::ids::{GrantId, ServerId};
use crate::base::limits::VIEWS_BYTES_MAX;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A rendered list. A clone shares its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// `[{tool},{tool}…]`: definitions byte for byte but for their name, and for the type of an input schema that has
    /// none.
    pub array: Bytes,
    /// The same for clients of 2025-11-25 and earlier; the very same bytes unless a tool has an output schema that
    /// they would refuse.
    pub legacy_array: Bytes,
    /// How many tools it holds.
    pub len: usize,
    /// SHA-256 of the bytes: another digest, another list.
    pub digest: [u8; 32],
}

impl View {
    /// Renders what a grant sees at a door.
    pub fn render(catalog: &Catalog, grant: &Grant, door: Door) -> Self {
        let tools = || grant.tools(catalog, door);
        let array = Self::write(catalog, grant, door, Leg::Modern);
        let differs = tools().any(|id| catalog.tool(id).forms().differ());
        let legacy_array = if differs { Self::write(catalog, grant, door, Leg::Legacy) } else { array.clone() };
        let digest = Sha256::digest(&array).into();
        Self { len: tools().count(), array, legacy_array, digest }
    }

    fn write(catalog: &Catalog, grant: &Grant, door: Door, leg: Leg) -> Bytes {
        let mut array = Vec::with_capacity(Self::room(catalog, grant, door));
        array.push(b'[');
        for id in grant.tools(catalog, door) {
            if array.len() > 1 {
                array.push(b',');
            }
            catalog.tool(id).forms().write(catalog.listed_name(door, id), leg, &mut array);
        }
        array.push(b']');
        array.into()
    }

    /// Bytes it holds.
    fn bytes(&self) -> usize {
        let is_shared = self.array.as_ptr() == self.legacy_array.as_ptr();
        self.array.len() + if is_shared { 0 } else { self.legacy_array.len() }
    }

    fn room(catalog: &Catalog, grant: &Grant, door: Door) -> usize {
        let one = |id| catalog.tool(id).forms().len() + catalog.listed_name(door, id).len() + 1;
        2 + grant.tools(catalog, door).map(one).sum::<usize>()
    }
}

/// The views of one snapshot, each rendered when first asked for and kept while there is room: every grant may have as
/// many as there are doors, and each as many bytes as all definitions together.
#[derive(Debug)]
pub struct Views {
    of_grants: Box<[OfGrant]>,
    /// Bytes that may still be kept.
    room: AtomicUsize,
}

#[derive(Debug, Default)]
struct OfGrant {
    all: OnceLock<View>,
    /// By server id; made when a single server's door is first used.
    servers: OnceLock<Box<[OnceLock<View>]>>,
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
    pub fn get(&self, catalog: &Catalog, grants: &Grants, grant: GrantId, door: Door) -> View {
        let own = &self.of_grants[grant.0 as usize];
        let place = match door {
            Door::All => &own.all,
            Door::Server(id) => own.of_server(catalog, id),
        };
        match place.get() {
            Some(kept) => kept.clone(),
            None => self.keep(place, View::render(catalog, grants.get(grant), door)),
        }
    }

    /// Keeps a view if there is room. Where another shard was quicker, its view is the one.
    fn keep(&self, place: &OnceLock<View>, view: View) -> View {
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
    fn of_server(&self, catalog: &Catalog, id: ServerId) -> &OnceLock<View> {
        let views = self.servers.get_or_init(|| (0..=catalog.servers_end()).map(|_| OnceLock::new()).collect());
        &views[usize::from(id.0).min(catalog.servers_end())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pattern, catalogue, plain, testing};
    use super::*;
    use serde_json::Value;

    fn grant(catalog: &Catalog, patterns: &[&str]) -> Grant {
        let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Grant::compile(&patterns, catalog)
    }

    #[test]
    fn a_view_holds_every_definition_byte_for_byte_but_for_its_name() {
        let servers = catalogue::any();
        let catalog = testing::build(&servers);
        let all = grant(&catalog, &["*/*"]);
        let view = View::render(&catalog, &all, Door::All);
        assert_eq!(view, View::render(&testing::build(&servers), &all, Door::All), "the same bytes every time");
        let expected: Vec<String> = catalog.tools().iter().map(replaced).collect();
        assert_eq!(view.array, format!("[{}]", expected.join(",")));
        let tools: Vec<Value> = serde_json::from_slice(&view.array).unwrap();
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
        let view = View::render(&catalog, &grant(&catalog, &["a/y", "b/*"]), Door::Server(ServerId(0)));
        assert_eq!(view.array, r#"[{"inputSchema":{"type":"object"},"name":"y"}]"#);
        let nothing = View::render(&catalog, &Grant::nothing(), Door::All);
        assert_eq!((nothing.array.as_ref(), nothing.len), (&b"[]"[..], 0));
    }

    #[test]
    fn legacy_clients_share_the_bytes_unless_a_tool_would_break_their_list() {
        let catalog = plain(&[("a", &["x"])]);
        let view = View::render(&catalog, &grant(&catalog, &["*/*"]), Door::All);
        assert_eq!(view.array.as_ptr(), view.legacy_array.as_ptr());
        let tool = r#"{"name":"x","inputSchema":{"type":"object"},"outputSchema":{"type":"array"}}"#;
        let catalog = testing::build(&[catalogue::Listed { server: "a".into(), tools: vec![tool.into()] }]);
        let view = View::render(&catalog, &grant(&catalog, &["*/*"]), Door::Server(ServerId(0)));
        assert_eq!(view.array, format!("[{tool}]"));
        assert_eq!(view.legacy_array, r#"[{"name":"x","inputSchema":{"type":"object"}}]"#);
    }

    #[test]
    fn the_digest_changes_with_the_list_alone() {
        let before = plain(&[("a", &["x"]), ("b", &["y"])]);
        let after = plain(&[("a", &["x"]), ("b", &["y", "z"])]);
        let digest = |catalog: &Catalog, pattern| View::render(catalog, &grant(catalog, &[pattern]), Door::All).digest;
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
            let one = views.get(&catalog, &grants, id, door);
            let two = views.get(&catalog, &grants, id, door);
            assert_eq!(one.len, len);
            assert_eq!(one.array.as_ptr(), two.array.as_ptr());
        }
    }

    #[test]
    fn a_view_for_which_there_is_no_room_is_rendered_anew() {
        let catalog = plain(&[("a", &["x"]), ("b", &["y"])]);
        let mut grants = Grants::new();
        let ids = ["a/*", "b/*"].map(|pattern| grants.intern(grant(&catalog, &[pattern])));
        let size = View::render(&catalog, grants.get(ids[0]), Door::All).bytes();
        let views = Views::with_room(&grants, size);
        let places = |id| [(); 2].map(|()| views.get(&catalog, &grants, id, Door::All));
        let [one, two] = places(ids[0]);
        assert_eq!((one.array.as_ptr(), one.len), (two.array.as_ptr(), 1), "the first is kept");
        let [one, two] = places(ids[1]);
        assert_ne!(one.array.as_ptr(), two.array.as_ptr());
        assert_eq!(one, two);
        assert_eq!(views.room.load(Relaxed), 0);
    }
}
