//! The event streams that stay open: legacy GET streams and modern `subscriptions/listen`. A stream keeps no timer and
//! no place in a queue of its own: its shard calls on it, in small groups, when there may be something to say.

use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::base::limits::VISIT_NOTICES_MAX;
use crate::rt::{task, time};
use crate::shard::Shard;
use crate::shard::interests::{self, Changes, Topic};
use crate::shard::messages::Visited;
use crate::shard::session::SessionKey;
use foldhash::HashMap;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Beats of the shard between two of one stream: so many groups are called on in turn, one at each beat. The time it
/// makes is shorter than common proxies keep a silent stream (50 seconds and more).
const GROUPS: usize = 30;
/// Time in which further changes become part of the first one's notice: a server that flaps causes no storm.
const COALESCE: Duration = Duration::from_millis(50);
/// Streams told of a change before the shard turns to other work.
const TOLD_AT_ONCE: usize = 64;

/// Why a stream is called on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// To look whether its list changed, or whether it must end.
    Look,
    /// To show that it is still there.
    Beat,
}

/// The streams of one shard.
#[derive(Default)]
pub(crate) struct Streams {
    members: RefCell<Vec<Option<Member>>>,
    free: RefCell<Vec<usize>>,
    per_key: RefCell<HashMap<KeyId, usize>>,
    /// The group whose turn is next.
    turn: Cell<usize>,
    /// A change is being gathered that every stream will be told of.
    gathering: Cell<bool>,
}

/// What a shard knows of one stream.
struct Member {
    key: KeyId,
    /// Whether it counts as open.
    counts: bool,
    /// Whether it tells its session what there is to tell; else it only reads what another has told.
    tells: bool,
    session: Option<SessionKey>,
    call: Option<Call>,
    waker: Option<Waker>,
    /// Pages that its client visited, of which it does not know yet.
    visits: Vec<Visited>,
}

/// One open stream in its shard's list, and in the count of its key.
pub(crate) struct OpenStream {
    shard: Rc<Shard>,
    key: KeyId,
    place: usize,
}

impl OpenStream {
    /// Enters a stream of `key`, and of a legacy session where it belongs to one.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where the key has as many on this shard as the configuration allows.
    pub(crate) fn new(shard: &Rc<Shard>, key: KeyId, session: Option<SessionKey>) -> Result<Self> {
        Self::enter(shard, (key, session), true)
    }

    /// Enters a connection that reads what is kept of a stream of a legacy session.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn reading(shard: &Rc<Shard>, key: KeyId, session: SessionKey) -> Result<Self> {
        Self::enter(shard, (key, Some(session)), false)
    }

    fn enter(shard: &Rc<Shard>, (key, session): (KeyId, Option<SessionKey>), tells: bool) -> Result<Self> {
        let most = shard.in_force().snapshot.settings.limits.streams_per_key_max;
        let place = shard.streams.enter((key, session), tells, most)?;
        shard.metrics.streams_open.inc();
        Ok(Self { shard: shard.clone(), key, place })
    }

    /// Enters what the stream wants to hear about.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where the streams of the key have as many as may be.
    pub(crate) fn want(&self, topics: &BTreeSet<Topic>) -> Result<()> {
        interests::enter(&self.shard, (self.place, self.key), topics)
    }

    /// Whether some of it has changed.
    pub(crate) fn has_news(&self) -> bool {
        self.shard.interests.has_news(self.place)
    }

    /// What has changed of that since the last time.
    pub(crate) fn news(&self) -> Changes {
        self.shard.interests.take(self.place)
    }

    /// Lets it no longer count as open: its client is gone.
    pub(crate) fn uncount(&self) {
        if self.shard.streams.uncount(self.place) {
            self.shard.metrics.streams_open.dec();
        }
    }

    /// Lets all that it wants to hear about count as changed.
    pub(crate) fn miss(&self) {
        self.shard.interests.miss(self.place);
    }

    /// Takes the pages that were visited since the last time.
    pub(crate) fn visits(&self) -> Vec<Visited> {
        self.shard.streams.take_visits(self.place)
    }

    /// Whether there are any.
    pub(crate) fn has_visits(&self) -> bool {
        let members = self.shard.streams.members.borrow();
        members[self.place].as_ref().is_some_and(|member| !member.visits.is_empty())
    }

    /// Calls on this stream itself.
    pub(crate) fn look(&self) {
        self.shard.streams.call(self.place, Call::Look);
    }

    /// Where it stands among the streams of its shard.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// Waits until the shard calls. A call is not lost while nobody waits; a look stands for a beat too.
    pub(crate) async fn called(&self) -> Call {
        poll_fn(|cx| self.shard.streams.poll(self.place, cx.waker())).await
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        interests::leave(&self.shard, self.place);
        if self.shard.streams.leave(self.place) {
            self.shard.metrics.streams_open.dec();
        }
    }
}

impl Streams {
    fn enter(&self, (key, session): (KeyId, Option<SessionKey>), tells: bool, most: usize) -> Result<usize> {
        let mut per_key = self.per_key.borrow_mut();
        let count = per_key.entry(key).or_default();
        if *count >= most {
            let words = "too many event streams of this key are open: close some, try later, or raise \
                         limits.streams_per_key_max";
            return Err(Error::new(Kind::Overloaded, words));
        }
        *count += 1;
        let (call, waker, visits) = (None, None, Vec::new());
        let member = Some(Member { key, counts: true, tells, session, call, waker, visits });
        let mut members = self.members.borrow_mut();
        Ok(match self.free.borrow_mut().pop() {
            Some(place) => {
                members[place] = member;
                place
            }
            None => {
                members.push(member);
                members.len() - 1
            }
        })
    }

    /// Gives a place back; says whether its stream still counted as open.
    fn leave(&self, place: usize) -> bool {
        let counts = self.uncount(place);
        if self.members.borrow_mut()[place].take().is_some() {
            self.free.borrow_mut().push(place);
        }
        counts
    }

    /// Lets a stream no longer count as open; says whether it did.
    fn uncount(&self, place: usize) -> bool {
        let mut members = self.members.borrow_mut();
        let Some(member) = members[place].as_mut().filter(|member| member.counts) else { return false };
        member.counts = false;
        let mut per_key = self.per_key.borrow_mut();
        if let Some(count) = per_key.get_mut(&member.key) {
            *count -= 1;
            if *count == 0 {
                per_key.remove(&member.key);
            }
        }
        true
    }

    fn poll(&self, place: usize, waker: &Waker) -> Poll<Call> {
        let mut members = self.members.borrow_mut();
        let Some(member) = &mut members[place] else { return Poll::Pending };
        match member.call.take() {
            Some(call) => Poll::Ready(call),
            None => {
                match &mut member.waker {
                    Some(known) => known.clone_from(waker),
                    unknown => *unknown = Some(waker.clone()),
                }
                Poll::Pending
            }
        }
    }

    fn call(&self, place: usize, call: Call) {
        let mut members = self.members.borrow_mut();
        let Some(Some(member)) = members.get_mut(place) else { return };
        if member.call != Some(Call::Look) {
            member.call = Some(call);
        }
        let waker = member.waker.take();
        drop(members);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Places there are, taken or free.
    fn places(&self) -> usize {
        self.members.borrow().len()
    }

    /// Lets the next group beat. Places are given without gaps, so the groups are of one size.
    pub(crate) fn beat(&self) {
        let turn = self.turn.replace((self.turn.get() + 1) % GROUPS);
        (turn..self.places()).step_by(GROUPS).for_each(|place| self.call(place, Call::Beat));
    }

    /// Lets every stream look at once: the shard drains.
    pub(crate) fn look_all(&self) {
        (0..self.places()).for_each(|place| self.call(place, Call::Look));
    }

    fn is_of(&self, place: usize, session: &SessionKey) -> bool {
        self.members.borrow()[place].as_ref().is_some_and(|member| member.session.as_ref() == Some(session))
    }

    /// The places of the streams that tell a session something: those with a client first, then those that are kept
    /// for one to come back.
    pub(crate) fn places_of(&self, session: &SessionKey) -> Vec<usize> {
        let members = self.members.borrow();
        let places = members.iter().enumerate().filter_map(|(place, member)| Some((place, member.as_ref()?)));
        let own = places.filter(|(_, member)| member.tells && member.session.as_ref() == Some(session));
        let (mut open, kept): (Vec<_>, Vec<_>) = own.partition(|(_, member)| member.counts);
        open.extend(kept);
        open.into_iter().map(|(place, _)| place).collect()
    }

    /// A page was visited: one stream of the session that was asked says so. Where it has none here, another shard may.
    pub(crate) fn visited(&self, visited: Visited) {
        let Some(place) = self.places_of(&visited.session).into_iter().next() else { return };
        if let Some(member) = &mut self.members.borrow_mut()[place] {
            if member.visits.len() >= VISIT_NOTICES_MAX {
                tracing::warn!("word of a visited page was lost: its client reads its stream too slowly");
                return;
            }
            member.visits.push(visited);
        }
        self.look(place);
    }

    fn take_visits(&self, place: usize) -> Vec<Visited> {
        let mut members = self.members.borrow_mut();
        members[place].as_mut().map(|member| std::mem::take(&mut member.visits)).unwrap_or_default()
    }

    /// Lets one stream look.
    pub(crate) fn look(&self, place: usize) {
        self.call(place, Call::Look);
    }

    /// Lets the streams of a session that has ended look.
    pub(crate) fn look_of(&self, session: &SessionKey) {
        let places = (0..self.places()).filter(|place| self.is_of(*place, session));
        places.for_each(|place| self.call(place, Call::Look));
    }
}

/// Lets every stream look whether its list changed, soon, and group by group: other work goes on between them.
pub(crate) fn changed(shard: &Rc<Shard>) {
    if shard.streams.places() == 0 || shard.streams.gathering.replace(true) {
        return;
    }
    let shard = shard.clone();
    drop(task::spawn(async move {
        time::sleep(COALESCE).await;
        // What changes from now on is news that the streams told first may miss: it is gathered anew.
        shard.streams.gathering.set(false);
        for first in (0..shard.streams.places()).step_by(TOLD_AT_ONCE) {
            (first..first + TOLD_AT_ONCE).for_each(|place| shard.streams.call(place, Call::Look));
            task::yield_now().await;
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::sim;
    use bytes::Bytes;

    const MOST: usize = 20;

    fn enter(streams: &Streams, session: u8) -> usize {
        streams.enter((KeyId::ANONYMOUS, Some([session; 16])), true, MOST).expect("room")
    }

    /// Which of these are called on.
    fn called(streams: &Streams, places: &[usize]) -> Vec<usize> {
        let is_called = |place: &usize| streams.poll(*place, Waker::noop()).is_ready();
        places.iter().copied().filter(is_called).collect()
    }

    #[test]
    fn a_key_has_a_bounded_number_of_streams_and_gets_room_back() {
        let streams = Streams::default();
        let open: Vec<_> = (0..MOST).map(|_| enter(&streams, 0)).collect();
        assert!(streams.enter((KeyId::ANONYMOUS, None), true, MOST).is_err());
        assert!(streams.uncount(open[0]) && !streams.uncount(open[0]));
        enter(&streams, 0);
        assert!(
            streams.enter((KeyId::ANONYMOUS, None), true, MOST).is_err(),
            "a stream without its client makes room once"
        );
        let left: Vec<_> = open.into_iter().map(|place| streams.leave(place)).collect();
        assert!(!left[0] && left[1..].iter().all(|counted| *counted));
        assert!(streams.leave(MOST));
        assert!(streams.per_key.borrow().is_empty());
        enter(&streams, 0);
        assert_eq!(streams.places(), MOST + 1, "a place that was left is taken again");
    }

    #[test]
    fn each_stream_beats_once_in_a_round_and_the_beats_are_spread() {
        let streams = Streams::default();
        let open: Vec<_> =
            (0..2 * GROUPS).map(|_| streams.enter((KeyId::ANONYMOUS, None), true, 1000).expect("room")).collect();
        let mut beats = vec![0; open.len()];
        for _ in 0..GROUPS {
            streams.beat();
            let group = called(&streams, &open);
            assert_eq!(group.len(), 2, "{group:?}");
            group.into_iter().for_each(|place| beats[place] += 1);
        }
        assert!(beats.iter().all(|count| *count == 1), "{beats:?}");
    }

    #[test]
    fn a_look_is_kept_until_it_is_seen_and_stands_for_a_beat() {
        let streams = Streams::default();
        let place = enter(&streams, 1);
        streams.look_all();
        streams.beat();
        assert_eq!(streams.poll(place, Waker::noop()), Poll::Ready(Call::Look));
        assert!(streams.poll(place, Waker::noop()).is_pending());
    }

    #[test]
    fn an_ended_session_calls_on_its_own_streams_only() {
        let streams = Streams::default();
        let open = [enter(&streams, 1), enter(&streams, 2), enter(&streams, 1)];
        streams.look_of(&[1; 16]);
        assert_eq!(called(&streams, &open), [open[0], open[2]]);
    }

    #[test]
    fn a_visit_is_told_on_one_stream_of_its_session_and_few_wait() {
        let streams = Streams::default();
        let open = [enter(&streams, 2), enter(&streams, 1), enter(&streams, 1)];
        let visited = |session| Visited { server: "s".into(), session: [session; 16], params: Bytes::new() };
        streams.visited(visited(3));
        assert!(called(&streams, &open).is_empty());
        (0..=VISIT_NOTICES_MAX).for_each(|_| streams.visited(visited(1)));
        assert_eq!(called(&streams, &open), [open[1]]);
        assert_eq!(open.map(|place| streams.take_visits(place).len()), [0, VISIT_NOTICES_MAX, 0]);
        assert!(streams.take_visits(open[1]).is_empty());
    }

    /// A connection that reads what is kept says nothing of its own, and a client that is there hears before one that
    /// may come back.
    #[test]
    fn a_visit_is_told_where_somebody_hears() {
        let streams = Streams::default();
        let reading = streams.enter((KeyId::ANONYMOUS, Some([1; 16])), false, MOST).expect("room");
        let visited = || streams.visited(Visited { server: "s".into(), session: [1; 16], params: Bytes::new() });
        visited();
        assert!(called(&streams, &[reading]).is_empty() && streams.take_visits(reading).is_empty());
        let kept = enter(&streams, 1);
        streams.uncount(kept);
        visited();
        assert_eq!(called(&streams, &[reading, kept]), [kept], "somebody may read what it says");
        let open = enter(&streams, 1);
        visited();
        assert_eq!(called(&streams, &[reading, kept, open]), [open]);
        assert_eq!(streams.places_of(&[1; 16]), [open, kept]);
        streams.look_of(&[1; 16]);
        assert_eq!(called(&streams, &[reading, kept, open]), [reading, kept, open], "all end with their session");
    }

    #[test]
    fn a_waiting_stream_is_woken() {
        sim::run(1, async {
            let streams = Rc::new(Streams::default());
            let (place, other) = (enter(&streams, 1), streams.clone());
            let waiting = task::spawn(async move { poll_fn(|cx| other.poll(place, cx.waker())).await });
            task::yield_now().await;
            streams.look_of(&[1; 16]);
            assert_eq!(waiting.await, Call::Look);
        });
    }
}
