//! What a request needs to know of each key, by id: one line of cache a key, and its place told without a search.
//!
//! A perfect hash (hash, displace, compress): ids fall into small buckets, and each bucket has a number that sends its
//! ids to places nobody else has. So every look-up is one small number read and one slot, whoever asks: with 100,000
//! keys a search would wait for memory at each of its last steps, and one that probes would take longer for some than
//! for others.

use super::key::{KeyEntry, number};
use super::limits::ChainId;
use super::token::Mac;
use crate::base::clock::WallTime;
use crate::base::ids::GrantId;
use crate::invariant;
use std::cmp::Reverse;
use std::hash::BuildHasher;
use std::sync::Arc;

/// What is known of one key; of nobody where its id is [`NOBODY`].
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    /// The id as a number.
    pub(super) id: u128,
    /// The keyed digest of its token.
    pub(super) mac: Mac,
    /// From this moment on it is no longer taken; the end of time if it never expires.
    pub(super) expires: WallTime,
    /// What it may see.
    pub(super) grant: GrantId,
    /// Whether it was revoked.
    pub(super) revoked: bool,
    /// Whether any meter stands in its way.
    pub(super) metered: bool,
}

const _: () = assert!(size_of::<Slot>() == 64, "a slot fills one line of cache");

/// No id is this number: ids are text.
const NOBODY: u128 = u128::MAX;
/// Ids in a bucket, on average: more make the numbers fewer and harder to find.
const IDS_PER_BUCKET: usize = 4;
/// One free place for so many taken ones, for the last ids to find theirs.
const TAKEN_PER_FREE: usize = 4;

/// The slots of all keys.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    seed: u64,
    /// What sends the ids of each bucket to their places.
    displacements: Arc<[u16]>,
    slots: Arc<[Slot]>,
    /// By the places of slots: the meters of those that have any.
    chains: Arc<[Option<ChainId>]>,
}

impl Slots {
    /// Slots of keys whose ids differ. `stand_in` is the digest that an unknown id is compared with.
    pub(super) fn new(entries: &[KeyEntry], stand_in: Mac) -> Self {
        let (expires, grant) = (WallTime(u64::MAX), GrantId(0));
        let nobody = Slot { id: NOBODY, mac: stand_in, expires, grant, revoked: false, metered: false };
        let slots = vec![nobody; 1 + entries.len() + entries.len() / TAKEN_PER_FREE];
        let displacements = vec![0; entries.len() / IDS_PER_BUCKET + 1];
        let chains = vec![None; slots.len()];
        let (displacements, slots, chains) = (displacements.into(), slots.into(), chains.into());
        let mut table = Self { seed: 0, displacements, slots, chains };
        let seed = (0..).find(|seed| table.settle(*seed, entries));
        table.seed = invariant!(seed, "ids that differ have places that differ under some seed");
        for entry in entries {
            let (id, key) = (number(entry.key.id), &entry.key);
            let expires = key.expires.unwrap_or(WallTime(u64::MAX));
            let (revoked, metered) = (key.revoked, entry.chain.is_some());
            let slot = Slot { id, mac: key.mac, expires, grant: entry.grant, revoked, metered };
            let place = table.place(id);
            Arc::make_mut(&mut table.slots)[place] = slot;
            Arc::make_mut(&mut table.chains)[place] = entry.chain;
        }
        table
    }

    /// The same slots, where these ids are revoked too. One copy of 64 bytes a key: a few milliseconds for 100,000.
    pub(super) fn revoking(&self, ids: impl Iterator<Item = u128>) -> Self {
        let mut slots: Arc<[Slot]> = self.slots.iter().copied().collect();
        let own = Arc::make_mut(&mut slots);
        for id in ids {
            let slot = &mut own[self.place(id)];
            slot.revoked |= slot.id == id;
        }
        Self { slots, ..self.clone() }
    }

    /// The meters of a key that is here.
    pub(super) fn chain(&self, id: u128) -> Option<ChainId> {
        self.chains[self.place(id)]
    }

    /// The slot of an id. It may be another's, or nobody's: its id says so.
    pub(super) fn of(&self, id: u128) -> &Slot {
        &self.slots[self.place(id)]
    }

    fn place(&self, id: u128) -> usize {
        let hash = hash(self.seed, id);
        displaced(hash, self.displacements[scaled(hash, self.displacements.len())], self.slots.len())
    }

    /// Finds a displacement for each bucket, the fullest first; gives up where a bucket has none under this seed.
    fn settle(&mut self, seed: u64, entries: &[KeyEntry]) -> bool {
        let mut buckets = vec![Vec::new(); self.displacements.len()];
        for entry in entries {
            let hash = hash(seed, number(entry.key.id));
            buckets[scaled(hash, self.displacements.len())].push(hash);
        }
        let mut order: Vec<usize> = (0..buckets.len()).collect();
        order.sort_by_key(|bucket| Reverse(buckets[*bucket].len()));
        let mut taken = vec![false; self.slots.len()];
        order.into_iter().all(|bucket| {
            let displacement = (0..=u16::MAX).find(|by| take_all(&mut taken, &buckets[bucket], *by));
            Arc::make_mut(&mut self.displacements)[bucket] = displacement.unwrap_or_default();
            displacement.is_some()
        })
    }
}

/// Takes the places of a bucket's ids, or none of them where one is taken.
fn take_all(taken: &mut [bool], hashes: &[u64], displacement: u16) -> bool {
    for (at, hash) in hashes.iter().enumerate() {
        let place = displaced(*hash, displacement, taken.len());
        if std::mem::replace(&mut taken[place], true) {
            let places = hashes[..at].iter().map(|hash| displaced(*hash, displacement, taken.len()));
            places.collect::<Vec<_>>().into_iter().for_each(|place| taken[place] = false);
            return false;
        }
    }
    true
}

fn hash(seed: u64, id: u128) -> u64 {
    foldhash::quality::FixedState::with_seed(seed).hash_one(id)
}

/// The place of a hash under a displacement. The multiplications carry every bit of both into the upper ones.
fn displaced(hash: u64, displacement: u16, places: usize) -> usize {
    let moved = hash ^ u64::from(displacement).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    scaled(moved.wrapping_mul(0xD6E8_FEB8_6659_FD93), places)
}

/// A hash brought to a place below `end`, by its upper bits.
fn scaled(hash: u64, end: usize) -> usize {
    let place = (u128::from(hash) * end as u128) >> 64;
    invariant!(usize::try_from(place), "it is less than `end`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::KeyId;
    use crate::policy::VirtualKey;
    use std::collections::BTreeSet;

    fn entry(id: &str, grant: u32) -> KeyEntry {
        let (id, mac) = (KeyId::parse(id).unwrap(), Mac([1; 32]));
        let (rights, team, allowance) = (Arc::default(), None, None);
        let key = VirtualKey { id, name: "k".into(), mac, expires: None, revoked: false, rights, team, allowance };
        KeyEntry { key, grant: GrantId(grant), chain: None }
    }

    fn check(ids: &BTreeSet<String>) {
        let entries: Vec<_> = (0..).zip(ids).map(|(grant, id)| entry(id, grant)).collect();
        let slots = Slots::new(&entries, Mac([9; 32]));
        for entry in &entries {
            let slot = slots.of(number(entry.key.id));
            assert_eq!((slot.id, slot.grant), (number(entry.key.id), entry.grant));
        }
        assert_eq!(slots.slots.iter().filter(|slot| slot.id != NOBODY).count(), entries.len());
        assert!(slots.slots.iter().filter(|slot| slot.id == NOBODY).all(|slot| slot.mac == Mac([9; 32])));
    }

    #[test]
    fn every_id_has_its_own_slot_however_many_there_are() {
        for count in [0, 1, 2, 3, 4, 5, 8, 100, 20_000] {
            check(&(0..count).map(|number| format!("k{number}")).collect());
        }
    }

    #[test]
    fn what_is_revoked_later_is_revoked_alone() {
        let entries: Vec<_> = (0..100).map(|at| entry(&format!("k{at}"), at)).collect();
        let slots = Slots::new(&entries, Mac([9; 32]));
        let id = |at: usize| number(entries[at].key.id);
        let later = slots.revoking([id(7), number(KeyId::parse("absent").unwrap())].into_iter());
        let revoked = |slots: &Slots| (0..100).filter(|at| slots.of(id(*at)).revoked).collect::<Vec<_>>();
        assert_eq!((revoked(&slots), revoked(&later)), (vec![], vec![7]));
    }

    #[test]
    fn any_ids_have_their_own_slots() {
        bolero::check!().with_type::<BTreeSet<[u8; 3]>>().for_each(|texts| {
            let letter = |byte: &u8| char::from(b'a' + byte % 26);
            check(&texts.iter().map(|text| text.iter().map(letter).collect()).collect());
        });
    }
}
