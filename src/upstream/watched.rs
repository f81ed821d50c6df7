//! Which of one server's resources somebody wants to hear about: the server is asked once for all of them, and what it
//! says of them goes to the shard.

use crate::base::error::Result;
use crate::base::limits::{SUBSCRIBE_SPACING_MS, SUBSCRIBE_WAIT_MS};
use crate::rt::local::Notify;
use crate::rt::time;
use crate::wire::rpc;
use futures_util::future::{Either, LocalBoxFuture, join, select};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// URIs as their server knows them.
pub type Uris = Rc<BTreeSet<Box<str>>>;

/// What is heard of a server on the matter.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A resource that is wanted has changed.
    Updated(&'a str),
    /// The server now tells of these, and of no others.
    Stands(&'a Uris),
}

/// What is wanted of one server on its home shard.
pub(super) struct Watched {
    wanted: RefCell<Uris>,
    changed: Notify,
    acknowledged: Notify,
    tell: Box<dyn Fn(Heard<'_>)>,
}

impl Watched {
    /// Nothing is wanted yet. `tell` takes what is heard of the server.
    pub(super) fn new(tell: impl Fn(Heard<'_>) + 'static) -> Self {
        Self { wanted: RefCell::default(), changed: Notify::new(), acknowledged: Notify::new(), tell: Box::new(tell) }
    }

    /// What is said here is heard by nobody: by a process or session that is not the one asked to tell.
    pub(super) fn unheard() -> Rc<Self> {
        Rc::new(Self::new(|_| ()))
    }

    /// From now on these are wanted and no others.
    pub(super) fn want(&self, uris: Uris) {
        if *self.wanted.borrow() != uris {
            self.wanted.replace(uris);
            self.changed.notify_one();
        }
    }

    /// What is wanted now.
    pub(super) fn wanted(&self) -> Uris {
        self.wanted.borrow().clone()
    }

    /// Waits until something else is wanted.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The server says that a resource changed. What nobody asked for is not passed on.
    pub(super) fn updated(&self, uri: &str) {
        if self.wanted.borrow().contains(uri) {
            (self.tell)(Heard::Updated(uri));
        }
    }

    /// The server has said which resources it tells of, as a raw array.
    pub(super) fn acknowledged(&self, honoured: &[u8]) {
        self.acknowledged.notify_all();
        let named = rpc::array_items(honoured).filter_map(rpc::string).map(|uri| Box::from(&*uri));
        let wanted = self.wanted();
        (self.tell)(Heard::Stands(&Rc::new(named.filter(|uri| wanted.contains(uri)).collect())));
    }

    /// The server tells of these from now on.
    fn stands(&self, uris: &Uris) {
        (self.tell)(Heard::Stands(uris));
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
    listen: impl Fn(Uris) -> LocalBoxFuture<'a, Result<()>>,
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
/// a server that refuses one subscription still has others.
pub(super) async fn subscribe(watched: &Watched, ask: impl AsyncFn(Wish, &str) -> Result<()>) -> Result<()> {
    let mut held = Uris::default();
    loop {
        let wanted = watched.wanted();
        for uri in wanted.difference(&held) {
            ask(Wish::Begin, uri).await?;
        }
        for uri in held.difference(&wanted) {
            ask(Wish::End, uri).await?;
        }
        watched.stands(&wanted);
        held = wanted;
        watched.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{sim, task};
    use std::cell::Cell;

    fn uris(all: &[&str]) -> Uris {
        Rc::new(all.iter().map(|uri| Box::from(*uri)).collect())
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
        watched.acknowledged(br#"["a:1","a:9"]"#);
        assert_eq!(*heard.borrow(), [r#"Updated("a:1")"#, r#"Stands({"a:1"})"#]);
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
                let listen = |uris: Uris| -> LocalBoxFuture<'static, Result<()>> {
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
