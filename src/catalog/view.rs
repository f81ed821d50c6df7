//! What one grant sees at one door, rendered to the bytes of a `tools/list` answer's array once per snapshot.

use super::{Catalog, Door, Grant, Grants};
use crate::base::ids::{GrantId, ServerId};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// A rendered list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// `[{tool},{tool}…]`: definitions byte for byte but for their name.
    pub array: Bytes,
    /// How many tools it holds.
    pub len: usize,
    /// SHA-256 of the bytes: another digest, another list.
    pub digest: [u8; 32],
}

impl View {
    /// Renders what a grant sees at a door.
    pub fn render(catalog: &Catalog, grant: &Grant, door: Door) -> Self {
        let mut array = Vec::with_capacity(Self::room(catalog, grant, door));
        let mut len = 0;
        array.push(b'[');
        for id in grant.tools(catalog, door) {
            if len > 0 {
                array.push(b',');
            }
            catalog.tool(id).write_as(catalog.listed_name(door, id), &mut array);
            len += 1;
        }
        array.push(b']');
        let digest = Sha256::digest(&array).into();
        Self { array: array.into(), len, digest }
    }

    fn room(catalog: &Catalog, grant: &Grant, door: Door) -> usize {
        let one = |id| catalog.tool(id).definition.len() + catalog.listed_name(door, id).len() + 1;
        2 + grant.tools(catalog, door).map(one).sum::<usize>()
    }
}

/// The views of one snapshot, each rendered when first asked for.
#[derive(Debug)]
pub struct Views(Box<[OfGrant]>);

#[derive(Debug, Default)]
struct OfGrant {
    all: OnceLock<View>,
    /// By server id; made when a single server's door is first used.
    servers: OnceLock<Box<[OnceLock<View>]>>,
}

impl Views {
    /// Room for the views of these grants.
    pub fn new(grants: &Grants) -> Self {
        Self((0..grants.len()).map(|_| OfGrant::default()).collect())
    }

    /// The view of a grant at a door; catalogue and grants must be those of this snapshot. An unknown server's door
    /// shows an empty list.
    pub fn get(&self, catalog: &Catalog, grants: &Grants, grant: GrantId, door: Door) -> &View {
        let own = &self.0[grant.0 as usize];
        let render = || View::render(catalog, grants.get(grant), door);
        match door {
            Door::All => own.all.get_or_init(render),
            Door::Server(id) => own.of_server(catalog, id).get_or_init(render),
        }
    }
}

impl OfGrant {
    fn of_server(&self, catalog: &Catalog, id: ServerId) -> &OnceLock<View> {
        let views = self.servers.get_or_init(|| (0..=catalog.servers_end()).map(|_| OnceLock::new()).collect());
        &views[usize::from(id.0).min(catalog.servers_end())]
    }
}
