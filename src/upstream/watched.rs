//! Which of one server's resources and tasks somebody wants to hear about: the server is asked once for all of them,
//! and what it says of them goes to the shard.

use crate::base::buf::Piece;
use crate::base::error::Result;
use crate::base::limits::{SUBSCRIBE_SPACING_MS, SUBSCRIBE_WAIT_MS, TASK_NOTICE_MAX};
use crate::catalog::Offers;
use crate::mcp::task::Task;
use crate::rt::local::{Notify, OneReceiver};
use crate::rt::time;
use crate::upstream::answer::Outcome;
use crate::upstream::elicited::{Done, Elicited};
use crate::upstream::said::{Reply, Sink};
use crate::wire::rpc;
use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture, join, select};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// What a server may be asked to tell of, as it knows that itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A resource, by its URI.
    Resource(Box<str>),
    /// A task, by its id (2026-07-28 alone).
    Task(Box<str>),
}

impl Subject {
    /// A resource.
    pub fn resource(uri: &str) -> Self {
        Self::Resource(uri.into())
    }

    /// A task.
    pub fn task(id: &str) -> Self {
        Self::Task(id.into())
    }

    /// Whether a server that offers this tells of it.
    pub fn is_told_by(&self, offers: Offers) -> bool {
        match self {
            Self::Resource(_) => offers.subscribe,
            Self::Task(_) => offers.tasks,
        }
    }
}

/// Some of them.
pub type Subjects = Rc<BTreeSet<Subject>>;

/// What is heard of a server on the matter.
#[derive(Debug)]
pub enum Heard<'a> {
    /// Something that is wanted has changed; of a task, all that the server says of it: raw `params`.
    Changed(&'a Subject, Option<Bytes>),
    /// The server was asked for these, and now tells of those that it honoured, and of no others.
    Stands {
        /// What was wanted of it.
        asked: &'a Subjects,
        /// What it said it will tell of.
        honoured: &'a Subjects,
    },
    /// A page was visited that the client of this session was asked to visit, in a call that has ended: raw `params`.
    Visited([u8; 16], Bytes),
}

/// What is wanted of one server on its home shard.
pub(super) struct Watched {
    wanted: RefCell<Subjects>,
    /// What the newest stream was opened for, and the id of its request.
    asked: RefCell<(u64, Subjects)>,
    changed: Notify,
    acknowledged: Notify,
    elicited: Elicited,
    tell: Rc<dyn Fn(Heard<'_>)>,
}

impl Watched {
    /// Nothing is wanted yet. `tell` takes what is heard of the server.
    pub(super) fn new(tell: impl Fn(Heard<'_>) + 'static) -> Self {
        let (changed, acknowledged) = (Notify::new(), Notify::new());
        let (wanted, asked, elicited, tell) =
            (RefCell::default(), RefCell::default(), Elicited::default(), Rc::new(tell));
        Self { wanted, asked, changed, acknowledged, elicited, tell }
    }

    /// For a process or session that is not the one asked to tell: nothing is wanted of it, and it is heard only of
    /// what it has asked its own clients.
    pub(super) fn aside(&self) -> Rc<Self> {
        let tell = self.tell.clone();
        Rc::new(Self::new(move |heard| {
            if let Heard::Visited(..) = heard {
                tell(heard);
            }
        }))
    }

    /// Asks the client of a call: see [`Sink::ask`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn ask(
        &self,
        sink: &Sink,
        name: Option<&str>,
        method: &str,
        params: Piece,
    ) -> Result<OneReceiver<Reply>> {
        self.elicited.asked(sink, method, &params);
        sink.ask(name, method, params)
    }

    /// A call was answered: what its client is to visit is remembered.
    pub(super) fn answered(&self, sink: &Sink, outcome: &Outcome) {
        if let Outcome::Error(error) = outcome {
            self.elicited.answered(sink, error);
        }
    }

    /// The server says that a page was visited.
    pub(super) fn visited(&self, params: &[u8]) {
        if let Some(Done { client, params }) = self.elicited.done(params) {
            (self.tell)(Heard::Visited(client, params));
        }
    }

    /// From now on these are wanted and no others.
    pub(super) fn want(&self, subjects: Subjects) {
        if *self.wanted.borrow() != subjects {
            self.wanted.replace(subjects);
            self.changed.notify_one();
        }
    }

    /// What is wanted now.
    pub(super) fn wanted(&self) -> Subjects {
        self.wanted.borrow().clone()
    }

    /// Waits until something else is wanted.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The server says that a resource changed. What nobody asked for is not passed on.
    pub(super) fn updated(&self, uri: &str) {
        let subject = Subject::resource(uri);
        if self.wanted.borrow().contains(&subject) {
            (self.tell)(Heard::Changed(&subject, None));
        }
    }

    /// The server says how a task stands, in raw `params`. What nobody asked for is not passed on, nor what is no task.
    pub(super) fn task(&self, params: &[u8]) {
        let Ok(task) = Task::read(params) else { return };
        let subject = Subject::task(&task.id);
        if !self.wanted.borrow().contains(&subject) {
            return;
        }
        if params.len() > TASK_NOTICE_MAX {
            tracing::warn!(bytes = params.len(), "word of a task is too long to be passed on: its client has to ask");
            return;
        }
        (self.tell)(Heard::Changed(&subject, Some(Bytes::copy_from_slice(params))));
    }

    /// A stream is being opened for these, by the request with this id.
    pub(super) fn asking(&self, id: u64, subjects: &Subjects) {
        self.asked.replace((id, subjects.clone()));
    }

    /// The server has said what a stream tells of, in a raw object. An older stream's word says nothing of what was
    /// asked for since; a server that does not name the stream means the newest.
    pub(super) fn acknowledged(&self, stream: Option<u64>, honoured: &[u8]) {
        let (newest, asked) = self.asked.borrow().clone();
        if stream.is_some_and(|stream| stream != newest) {
            return;
        }
        self.acknowledged.notify_all();
        let named = |member, subject: fn(&str) -> Subject| {
            let items = rpc::field(honoured, member).into_iter().flat_map(rpc::array_items);
            items.filter_map(rpc::string).map(move |text| subject(&text))
        };
        let named = named("resourceSubscriptions", Subject::resource).chain(named("taskIds", Subject::task));
        self.stands(&asked, &Rc::new(named.filter(|subject| asked.contains(subject)).collect()));
    }

    /// The server was asked for some and tells of some of them from now on.
    pub(super) fn stands(&self, asked: &Subjects, honoured: &Subjects) {
        (self.tell)(Heard::Stands { asked, honoured });
    }
}

/// Least time between two streams; what else is wanted meanwhile is asked for together.
const SPACING: Duration = Duration::from_millis(SUBSCRIBE_SPACING_MS);
/// Time a stream is still heard while its successor is not acknowledged.
const OVERLAP: Duration = Duration::from_millis(SUBSCRIBE_WAIT_MS);

/// Keeps one stream open that tells of what is wanted: opened anew when that changes, and the old one heard until the
/// new one can be trusted to stand. Ends when the stream does.
pub(super) async fn follow<'a>(
    watched: &Watched,
    listen: impl Fn(Subjects) -> LocalBoxFuture<'a, Result<()>>,
) -> Result<()> {
    let mut current = listen(watched.wanted());
    loop {
        let old = match select(current, pin!(watched.changed())).await {
            Either::Left((ended, _)) => return ended,
            Either::Right(((), old)) => old,
        };
        let next = listen(watched.wanted());
        let stands = time::timeout(OVERLAP, watched.acknowledged.notified());
        let pause = pin!(join(time::sleep(SPACING), stands));
        current = match select(next, select(old, pause)).await {
            Either::Left((ended, _)) => return ended,
            // An old stream that ends by itself leaves the rest of the spacing out, which costs nothing.
            Either::Right((_, next)) => next,
        };
    }
}

/// A change of what a legacy session is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To hear of a resource.
    Begin,
    /// No longer to.
    End,
}

/// Keeps a legacy session's subscriptions in line with what is wanted, starting from none. Runs until `ask` fails, for
/// a server that refuses one subscription still has others. Of tasks it cannot tell.
pub(super) async fn subscribe(watched: &Watched, ask: impl AsyncFn(Wish, &str) -> Result<()>) -> Result<()> {
    let mut held = Subjects::default();
    loop {
        let asked = watched.wanted();
        let wanted = asked.iter().filter(|subject| matches!(subject, Subject::Resource(_))).cloned();
        let wanted: Subjects = Rc::new(wanted.collect());
        for uri in resources(wanted.difference(&held)) {
            ask(Wish::Begin, uri).await?;
        }
        for uri in resources(held.difference(&wanted)) {
            ask(Wish::End, uri).await?;
        }
        watched.stands(&asked, &wanted);
        held = wanted;
        watched.changed().await;
    }
}

/// The URIs of the resources among these.
pub(super) fn resources<'a>(subjects: impl IntoIterator<Item = &'a Subject>) -> impl Iterator<Item = &'a str> {
    subjects.into_iter().filter_map(|subject| match subject {
        Subject::Resource(uri) => Some(&**uri),
        Subject::Task(_) => None,
    })
}

/// The ids of the tasks among these.
pub(super) fn tasks<'a>(subjects: impl IntoIterator<Item = &'a Subject>) -> impl Iterator<Item = &'a str> {
    subjects.into_iter().filter_map(|subject| match subject {
        Subject::Task(id) => Some(&**id),
        Subject::Resource(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{sim, task};
    use std::cell::Cell;

    fn uris(all: &[&str]) -> Subjects {
        Rc::new(all.iter().map(|uri| Subject::resource(uri)).collect())
    }

    #[test]
    fn only_what_is_wanted_is_passed_on() {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let told = heard.clone();
        let watched = Watched::new(move |heard| told.borrow_mut().push(format!("{heard:?}")));
        watched.updated("a:1");
        watched.want(uris(&["a:1"]));
        watched.updated("a:1");
        watched.updated("a:2");
        assert_eq!(*heard.borrow(), [r#"Changed(Resource("a:1"), None)"#]);
    }

    #[test]
    fn word_of_a_task_is_passed_on_whole_if_it_is_wanted() {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let told = heard.clone();
        let watched = Watched::new(move |heard| {
            if let Heard::Changed(subject, said) = heard {
                told.borrow_mut().push((subject.clone(), said.unwrap()));
            }
        });
        let wanted = [Subject::task("t1"), Subject::resource("t2")];
        watched.want(Rc::new(wanted.into_iter().collect()));
        let said = br#"{ "taskId":"t\u0031","status":"working","x":1.0e0 }"#;
        watched.task(said);
        watched.task(br#"{"taskId":"t2","status":"working"}"#);
        watched.task(br#"{"taskId":"t1"}"#);
        let long = format!(r#"{{"taskId":"t1","status":"working","x":"{}"}}"#, "x".repeat(TASK_NOTICE_MAX));
        watched.task(long.as_bytes());
        assert_eq!(*heard.borrow(), [(Subject::task("t1"), Bytes::from_static(said))]);
    }

    #[test]
    fn what_a_server_refuses_to_tell_of_is_known_and_an_older_stream_says_nothing_of_it() {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let told = heard.clone();
        let watched = Watched::new(move |heard| {
            if let Heard::Stands { asked, honoured } = heard {
                told.borrow_mut().push((asked.clone(), honoured.clone()));
            }
        });
        let all: Subjects = Rc::new([Subject::resource("a:1"), Subject::task("t1")].into_iter().collect());
        watched.asking(7, &uris(&["a:1"]));
        watched.asking(8, &all);
        let word = br#"{"resourceSubscriptions":["a:1","a:9"],"taskIds":[]}"#;
        watched.acknowledged(Some(7), word);
        assert!(heard.borrow().is_empty());
        watched.acknowledged(Some(8), word);
        watched.acknowledged(None, br#"{"taskIds":["t1"]}"#);
        let of_task: Subjects = Rc::new([Subject::task("t1")].into_iter().collect());
        assert_eq!(*heard.borrow(), [(all.clone(), uris(&["a:1"])), (all, of_task)]);
    }

    #[test]
    fn a_legacy_session_is_told_of_each_change_of_mind() {
        sim::run(1, async {
            let watched = Rc::new(Watched::new(|_| ()));
            let asked: Rc<RefCell<Vec<(Wish, String)>>> = Rc::default();
            let (theirs, log) = (watched.clone(), asked.clone());
            watched.want(uris(&["a:1", "a:2"]));
            let running = task::spawn(async move {
                subscribe(&theirs, async |wish, uri| {
                    log.borrow_mut().push((wish, uri.to_owned()));
                    Ok(())
                })
                .await
            });
            time::sleep(OVERLAP).await;
            watched.want(uris(&["a:2", "a:3"]));
            time::sleep(OVERLAP).await;
            let all = asked.borrow().iter().count();
            assert_eq!(all, 4);
            assert_eq!(asked.borrow()[2..], [(Wish::Begin, "a:3".to_owned()), (Wish::End, "a:1".to_owned())]);
            drop(running);
        });
    }

    #[test]
    fn a_burst_of_wishes_is_one_more_stream() {
        sim::run(1, async {
            let watched = Rc::new(Watched::new(|_| ()));
            let opened: Rc<RefCell<Vec<usize>>> = Rc::default();
            let open = Rc::new(Cell::new(0));
            let (theirs, log, count) = (watched.clone(), opened.clone(), open.clone());
            let following = task::spawn(async move {
                let listen = |uris: Subjects| -> LocalBoxFuture<'static, Result<()>> {
                    log.borrow_mut().push(uris.len());
                    count.set(count.get() + 1);
                    let gone = Gone(count.clone());
                    Box::pin(async move {
                        let _gone = gone;
                        std::future::pending().await
                    })
                };
                follow(&theirs, listen).await
            });
            time::sleep(OVERLAP).await;
            let all = ["a:1", "a:2", "a:3", "a:4"];
            for count in 1..=all.len() {
                watched.want(uris(&all[..count]));
                task::yield_now().await;
            }
            time::sleep(OVERLAP * 4).await;
            assert_eq!(*opened.borrow(), [0, 1, 4]);
            assert_eq!(open.get(), 1, "the old ones are closed");
            drop(following);
        });
    }

    struct Gone(Rc<Cell<usize>>);

    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
}
