//! What a legacy server asks outside of a call's own stream: on the stream of its session, where it names no call. It
//! can be about a call only where just one is under way whose client can be asked; else nobody could tell whose it is.

use crate::base::buf::Piece;
use crate::rt::local::{Closed, Notify, OneReceiver};
use crate::upstream::patience::{Hold, Holds, QUESTION};
use crate::upstream::said::{Reply, Sink};
use crate::upstream::watched::Watched;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The calls of one session whose clients can be asked, and whether its stream is listened to.
#[derive(Default)]
pub(super) struct Asks {
    calls: RefCell<Vec<(u64, Asking)>>,
    count: Cell<u64>,
    listening: Cell<bool>,
    /// Rung when nobody listens to it any more.
    free: Notify,
    /// Rung when the session is let go of.
    pub(super) ended: Notify,
}

/// One such call.
#[derive(Clone)]
struct Asking {
    sink: Sink,
    /// Its patience waits as long as its client may take to answer.
    holds: Rc<Holds>,
}

/// A call that is under way; dropping it takes it out.
pub(super) struct UnderWay {
    asks: Rc<Asks>,
    number: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.asks.calls.borrow_mut().retain(|(number, _)| *number != self.number);
    }
}

/// Who listens to the stream of a session; dropping it lets another.
pub(super) struct Listening(Rc<Asks>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.set(false);
        self.0.free.notify_one();
    }
}

impl Asks {
    /// Begins to listen; nothing where another does, as a session has but one such stream.
    pub(super) fn begin(self: &Rc<Self>) -> Option<Listening> {
        (!self.listening.replace(true)).then(|| Listening(self.clone()))
    }

    /// Begins to listen as soon as no other does.
    pub(super) async fn begin_in_turn(self: &Rc<Self>) -> Listening {
        loop {
            if let Some(listening) = self.begin() {
                return listening;
            }
            self.free.notified().await;
        }
    }

    /// Enters a call.
    pub(super) fn enter(self: &Rc<Self>, sink: &Sink, holds: Rc<Holds>) -> UnderWay {
        let number = self.count.replace(self.count.get() + 1);
        self.calls.borrow_mut().push((number, Asking { sink: sink.clone(), holds }));
        UnderWay { asks: self.clone(), number }
    }

    /// Asks the client of the only call that is under way; nothing where there is none, or more. The call is held as
    /// long as what is given second.
    pub(super) fn ask(
        &self,
        name: Option<&str>,
        (method, params): (&str, Piece),
        watched: &Watched,
    ) -> Result<(OneReceiver<Reply>, Hold), Closed> {
        let call = match &self.calls.borrow()[..] {
            [(_, call)] => call.clone(),
            _ => return Err(Closed),
        };
        let answer = watched.ask(&call.sink, name, method, params).map_err(|_| Closed)?;
        Ok((answer, call.holds.begin(QUESTION)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::said::{Said, relay};

    #[test]
    fn a_question_belongs_to_the_only_call_there_is() {
        let asks = Rc::new(Asks::default());
        let watched = Watched::new(|_| ());
        let ask = || asks.ask(Some("q"), ("roots/list", Piece::default()), &watched);
        assert!(ask().is_err(), "nobody calls");
        let (sink, mut said) = relay();
        let first = asks.enter(&sink, Rc::default());
        assert!(ask().is_ok());
        let Some(Said::Question(question)) = said.try_next() else { panic!("no question") };
        assert_eq!(question.name.as_deref(), Some("q"));
        let second = asks.enter(&sink, Rc::default());
        assert!(ask().is_err(), "it could be either's");
        drop(first);
        assert!(ask().is_ok());
        drop(second);
        assert!(ask().is_err());
    }
}
