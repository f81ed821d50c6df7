//! The token of one server on one shard: what control last said of it, and how a refused request waits for another.

use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::base::limits::OAUTH_WAIT_MS;
use crate::rt::local::Notify;
use crate::rt::time;
use crate::upstream::discover::{News, Report};
use crate::upstream::oauth::{Challenge, Secret};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How a server's token stands. Each change has a higher serial.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Counted up with every change.
    pub serial: u64,
    /// The URL that the token is for, without its query: none is sent to another.
    pub url: Arc<str>,
    /// The value of the `Authorization` header; nothing where there is no token.
    pub header: Option<Arc<Secret>>,
    /// Why there is no token, or not one that is good for everything.
    pub trouble: Option<Error>,
}

/// A request that a server refused for its token.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Which standing the request was made with.
    pub serial: u64,
    /// What the server demands.
    pub challenge: Challenge,
}

/// The token of one server on this shard.
pub(super) struct Credential {
    server: Box<str>,
    standing: RefCell<Rc<Standing>>,
    changed: Notify,
    report: Rc<dyn Fn(Report)>,
}

impl Credential {
    /// Nothing is known yet; `report` reaches control.
    pub(super) fn new(server: &str, report: Rc<dyn Fn(Report)>) -> Self {
        Self { server: server.into(), standing: RefCell::default(), changed: Notify::new(), report }
    }

    /// Takes in what control says. Whether there is another token now.
    pub(super) fn learn(&self, standing: Standing) -> bool {
        let before = self.standing.borrow().clone();
        if standing.serial <= before.serial {
            return false;
        }
        let is_another = standing.header.is_some() && standing.header != before.header;
        self.standing.replace(Rc::new(standing));
        self.changed.notify_all();
        is_another
    }

    /// What to send to this URL now.
    ///
    /// # Errors
    /// There is no token, and it is known why.
    pub(super) fn current(&self, url: &str) -> Result<Rc<Standing>> {
        let standing = self.standing.borrow().clone();
        match &standing.trouble {
            _ if *standing.url != *url => Ok(Rc::new(Standing { serial: standing.serial, ..Standing::default() })),
            Some(trouble) if standing.header.is_none() => Err(trouble.clone()),
            _ => Ok(standing),
        }
    }

    /// Waits for another token than the one that was refused.
    ///
    /// # Errors
    /// There is none, or it does not come in time.
    pub(super) async fn renew(&self, url: &str, used: &Standing, challenge: Challenge) -> Result<Rc<Standing>> {
        let news = News::Refused(Refused { serial: used.serial, challenge });
        if self.standing.borrow().serial <= used.serial {
            (self.report)(Report { server: self.server.clone(), news });
        }
        let newer = async {
            while self.standing.borrow().serial <= used.serial {
                self.changed.notified().await;
            }
        };
        let waited = time::timeout(Duration::from_millis(OAUTH_WAIT_MS), newer).await;
        waited.map_err(|_| {
            let context = "the server wants a token, and none came in time; try again later";
            Error::new(Kind::Credential, context).side(Side::Upstream).retry(Retry::Safe)
        })?;
        let standing = self.current(url)?;
        match &standing.trouble {
            Some(trouble) if standing.header == used.header => Err(trouble.clone()),
            _ => Ok(standing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::sim;
    use std::cell::Cell;

    const URL: &str = "https://h/mcp";

    fn standing(serial: u64, token: Option<&str>, trouble: Option<&'static str>) -> Standing {
        Standing {
            serial,
            url: URL.into(),
            header: token.map(|token| Arc::new(token.into())),
            trouble: trouble.map(|why| Error::new(Kind::Credential, why)),
        }
    }

    fn token(standing: &Standing) -> Option<&str> {
        standing.header.as_ref().map(|header| header.reveal())
    }

    fn credential() -> (Rc<Credential>, Rc<Cell<u32>>) {
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        (Rc::new(Credential::new("s", Rc::new(move |_| count.set(count.get() + 1)))), asked)
    }

    #[test]
    fn a_token_goes_to_the_url_it_is_for_and_no_other() {
        let (credential, _) = credential();
        assert_eq!(token(&credential.current(URL).unwrap()), None);
        assert!(credential.learn(standing(2, Some("t"), None)));
        assert!(!credential.learn(standing(1, Some("old"), None)), "what was said before does not come back");
        assert_eq!(token(&credential.current(URL).unwrap()), Some("t"));
        assert_eq!(token(&credential.current("https://evil/mcp").unwrap()), None);
        credential.learn(standing(3, None, Some("ask a person")));
        assert_eq!(credential.current(URL).unwrap_err().context, "ask a person");
        credential.learn(standing(4, Some("t"), Some("too few scopes")));
        assert_eq!(token(&credential.current(URL).unwrap()), Some("t"), "good for other requests");
    }

    #[test]
    fn a_refused_request_waits_for_another_token() {
        sim::run(1, async {
            let (credential, asked) = credential();
            credential.learn(standing(1, Some("old"), None));
            let used = credential.current(URL).unwrap();
            let waiting = credential.renew(URL, &used, Challenge::default());
            let renewal = async { credential.learn(standing(2, Some("new"), None)) };
            let (renewed, _) = futures_util::future::join(waiting, renewal).await;
            assert_eq!(token(&renewed.unwrap()), Some("new"));
            let late = credential.renew(URL, &used, Challenge::default()).await.unwrap();
            assert_eq!((token(&late), asked.get()), (Some("new"), 1), "what is newer already is not asked for");
            let used = credential.current(URL).unwrap();
            let refused = async { credential.learn(standing(3, Some("new"), Some("too few scopes"))) };
            let waiting = credential.renew(URL, &used, Challenge::default());
            let (renewed, _) = futures_util::future::join(waiting, refused).await;
            assert_eq!(renewed.unwrap_err().context, "too few scopes");
            let silent = credential.renew(URL, &credential.current(URL).unwrap(), Challenge::default()).await;
            assert!(silent.unwrap_err().context.contains("in time"));
        });
    }
}
