//! How the token of each server stands. A shard whose request was refused reports that; what comes of it is told to
//! every shard. One piece of work at a time for each server, however many requests wait for it.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result, Retry, Side};
use crate::base::limits::OAUTH_SPACING_MS;
use crate::config::Compiled;
use crate::config::state::StateDir;
use crate::control::Fleet;
use crate::control::oauth::flow::{self, Obtained};
use crate::telemetry::events;
use crate::upstream::credential::{Refused, Standing};
use crate::upstream::oauth::{Account, Grant, OauthSpec, Secret, Token};
use crate::upstream::spec::{HttpSpec, ServerSpec};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

/// Time after which what failed is tried again.
const SPACING: Duration = Duration::from_millis(OAUTH_SPACING_MS);
/// Demands of one server that are kept on disk within one [`SPACING`]: one that demands something else each time is not
/// written down on and on.
const NOTES_MAX: u32 = 16;

/// What a piece of work came to.
pub(in crate::control) struct Done {
    /// The server as it was configured when the work began.
    spec: Arc<ServerSpec>,
    /// What it began with.
    before: Account,
    /// Whether the server has refused the token that there was.
    was_refused: bool,
    outcome: Result<Obtained>,
}

/// The tokens of all servers that want some.
pub(in crate::control) struct Keeper {
    state: StateDir,
    held: BTreeMap<Box<str>, Held>,
    /// The last serial given, of all servers together.
    serial: u64,
    done: Sender<Done>,
}

/// The token of one server.
struct Held {
    spec: Arc<ServerSpec>,
    account: Account,
    standing: Standing,
    is_busy: bool,
    /// When the last two tokens came, the newer one first.
    renewed: [Option<Instant>; 2],
    /// When what failed may be tried again.
    retry: Option<Instant>,
    /// Demands kept on disk since then.
    notes: (Instant, u32),
}

/// What to do about a refused request.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Get another token.
    Renew,
    /// Say why there is none, or none that is good enough; the token is gone or stays.
    Tell { trouble: Error, keeps_token: bool, again: bool },
}

impl Held {
    fn parts(&self) -> Option<(&HttpSpec, &OauthSpec)> {
        self.spec.oauth()
    }

    fn grant(&self) -> Grant {
        self.parts().map(|(_, oauth)| oauth.grant).unwrap_or_default()
    }

    /// Whether another token can be had without a person.
    fn renews_itself(&self) -> bool {
        self.grant() == Grant::ClientCredentials || self.account.token().is_some_and(|token| token.refresh.is_some())
    }

    /// What the operator has to do.
    fn ask_person(&self, why: &str) -> Error {
        wrong(format!("{why}: run `tollgate authorize {}`", self.spec.name))
    }

    /// What to do about a request that was refused with the standing of now.
    fn step(&self, refused: &Refused, now: Instant) -> Step {
        let tell = |trouble, keeps_token, again| Step::Tell { trouble, keeps_token, again };
        let has_token = self.standing.header.is_some();
        let (by_itself, demanded) = (self.grant() == Grant::ClientCredentials, &refused.challenge.scopes);
        if has_token && self.renewed[1].is_some_and(|at| now.duration_since(at) < SPACING) {
            let why = wrong("the server refuses one fresh token after the other; it is asked again soon".into());
            return tell(why.retry(Retry::Safe), false, true);
        }
        if refused.challenge.insufficient && has_token {
            let text = demanded.text().unwrap_or_else(|| "more".into());
            return match self.account.token() {
                Some(token) if token.scopes.contain(demanded) => {
                    let why = format!("the server demands scopes that its token was asked for with: {text}");
                    tell(wrong(why), true, false)
                }
                _ if by_itself => Step::Renew,
                _ => tell(self.ask_person(&format!("the server demands more scopes ({text})")), true, false),
            };
        }
        match (self.renews_itself(), has_token) {
            (true, _) => Step::Renew,
            (false, true) => tell(self.ask_person("the server no longer takes the gate's token"), false, false),
            (false, false) => tell(self.ask_person("the server wants a token, and the gate has none"), false, false),
        }
    }
}

/// An account without the token of an issuer that is not the one configured.
fn pinned(spec: &ServerSpec, mut account: Account) -> Account {
    let wanted = spec.oauth().and_then(|(_, oauth)| oauth.issuer.as_deref());
    if wanted.is_some_and(|wanted| account.issuer.as_deref() != Some(wanted)) {
        account.issuer = None;
    }
    account
}

fn wrong(context: String) -> Error {
    Error::new(Kind::Credential, context).side(Side::Upstream)
}

fn header(token: &Token) -> Arc<Secret> {
    let value = zeroize::Zeroizing::new(format!("Bearer {}", token.access.reveal()));
    Arc::new(Secret::from(&**value))
}

impl Keeper {
    /// Nothing is held yet; what work comes to goes into `done`.
    pub(in crate::control) fn new(state: StateDir, done: Sender<Done>) -> Self {
        Self { state, held: BTreeMap::new(), serial: 0, done }
    }

    /// Takes up a configuration, and tokens that a command has put into the state directory.
    pub(in crate::control) fn follow(&mut self, compiled: &Compiled, fleet: &impl Fleet) {
        let mut before = std::mem::take(&mut self.held);
        for spec in &compiled.servers {
            let Some((http, _)) = spec.oauth() else { continue };
            let url = http.resource();
            let account = self.state.account(&spec.name, &url).unwrap_or_else(|error| {
                tracing::error!(server = &*spec.name, %error, "the kept token is not used");
                Account::new(&url)
            });
            let account = pinned(spec, account);
            let known = before.remove(&spec.name);
            let same = known.filter(|held| held.spec == *spec && held.account.token() == account.token());
            let is_new = same.is_none();
            let held = same.unwrap_or_else(|| Held::new(spec.clone(), account));
            self.held.insert(spec.name.clone(), held);
            if is_new {
                self.tell(&spec.name, fleet, Held::stand);
                if self.held.get(&spec.name).is_some_and(|held| held.standing.header.is_some()) {
                    events::token_taken(&spec.name);
                }
            }
        }
    }

    /// Changes how a server's token stands, and tells every shard.
    fn tell(&mut self, server: &str, fleet: &impl Fleet, change: impl FnOnce(&mut Held)) {
        let Some(held) = self.held.get_mut(server) else { return };
        change(held);
        self.serial += 1;
        held.standing.serial = self.serial;
        fleet.credential(server, &held.standing);
    }

    /// Takes the report of a request that was refused for its token.
    pub(in crate::control) fn refused(&mut self, server: &str, refused: &Refused, fleet: &impl Fleet) {
        let Some(held) = self.held.get_mut(server) else { return };
        if refused.serial < held.standing.serial {
            // That shard has missed what all were told.
            return fleet.credential(server, &held.standing);
        }
        if held.is_busy {
            return;
        }
        self.note(server, refused);
        let step = self.held.get(server).map(|held| held.step(refused, Instant::now()));
        match step {
            Some(Step::Renew) => self.renew(server, true),
            Some(Step::Tell { trouble, keeps_token, again }) => {
                self.tell(server, fleet, |held| {
                    // Each call that runs into it reports it: the log says so once.
                    if held.standing.trouble.as_ref() != Some(&trouble) {
                        events::token_trouble(server, &trouble);
                    }
                    held.standing.header = held.standing.header.take().filter(|_| keeps_token);
                    held.standing.trouble = Some(trouble);
                    held.retry = again.then(|| Instant::now() + SPACING);
                });
            }
            None => {}
        }
    }

    /// Keeps what a server demands: whoever authorizes the gate needs to know.
    fn note(&mut self, server: &str, refused: &Refused) {
        let Some(held) = self.held.get_mut(server).filter(|held| held.account.challenge != refused.challenge) else {
            return;
        };
        held.account.challenge = refused.challenge.clone();
        if held.notes.0.elapsed() >= SPACING {
            held.notes = (Instant::now(), 0);
        }
        held.notes.1 += 1;
        if held.notes.1 > NOTES_MAX {
            return;
        }
        let kept = self.state.change_account(server, &held.account.url, |account| {
            account.challenge = refused.challenge.clone();
        });
        if let Err(error) = kept {
            tracing::error!(server, %error, "what the server demands could not be kept");
        }
    }

    fn renew(&mut self, server: &str, was_refused: bool) {
        let Some(held) = self.held.get_mut(server) else { return };
        held.is_busy = true;
        let (spec, before, done) = (held.spec.clone(), held.account.clone(), self.done.clone());
        tokio::spawn(async move {
            let outcome = match spec.oauth() {
                Some((http, oauth)) => flow::renew(http, oauth, &before).await,
                None => return,
            };
            // Control ends before this does only when the process ends.
            let _ = done.send(Done { spec, before, was_refused, outcome }).await;
        });
    }

    /// Takes what a piece of work came to.
    pub(in crate::control) fn settle(&mut self, done: Done, fleet: &impl Fleet) {
        let Done { spec, before, was_refused, outcome } = done;
        let server = spec.name.clone();
        // What was begun under other words of the operator is not used under these.
        let Some(held) = self.held.get_mut(&server).filter(|held| held.spec == spec) else { return };
        held.is_busy = false;
        if held.account.url != before.url || held.account.token() != before.token() {
            // A reload has brought another token meanwhile; who waits is told of that.
            return self.tell(&server, fleet, |_| {});
        }
        match outcome {
            Ok(Obtained { issuer, client, token }) => {
                let keep = |account: &mut Account| {
                    // A command may have put another there since.
                    if pinned(&spec, account.clone()).token() == before.token() {
                        account.take(&issuer, client.clone(), token.clone());
                    }
                };
                // Kept before it is used: a refresh token that was spent is no good after a crash.
                let kept = self.state.change_account(&server, &before.url, keep);
                events::token_taken(&server);
                self.tell(&server, fleet, |held| {
                    match kept {
                        Ok(account) => held.account = pinned(&spec, account),
                        Err(error) => {
                            tracing::error!(server = &*server, %error, "the token is not kept for the next start");
                            keep(&mut held.account);
                        }
                    }
                    held.stand();
                    held.renewed = [Some(Instant::now()), held.renewed[0]];
                });
            }
            Err(error) => self.failed(&server, error, was_refused, fleet),
        }
    }

    /// No token came. One that is held is used on unless the server has refused it.
    fn failed(&mut self, server: &str, error: Error, was_refused: bool, fleet: &impl Fleet) {
        let again = error.retry == Retry::Safe;
        self.tell(server, fleet, |held| {
            let error = error.at("no token could be had");
            let by_person = held.grant() == Grant::AuthorizationCode && !again;
            let trouble = if by_person { held.ask_person(&error.context) } else { error };
            events::token_trouble(server, &trouble);
            held.standing.header = held.standing.header.take().filter(|_| !was_refused);
            held.standing.trouble = Some(trouble);
            held.retry = (!by_person).then(|| Instant::now() + SPACING);
        });
    }

    /// Renews tokens before their end, and tries again what failed.
    pub(in crate::control) fn look(&mut self, fleet: &impl Fleet) {
        let now = Instant::now();
        let idle = |held: &&Held| !held.is_busy;
        let names = |keeper: &Self, wanted: &dyn Fn(&Held) -> bool| -> Vec<Box<str>> {
            let held = keeper.held.values().filter(idle).filter(|held| wanted(held));
            held.map(|held| held.spec.name.clone()).collect()
        };
        for server in names(self, &|held| held.retry.is_some_and(|at| at <= now)) {
            self.tell(&server, fleet, |held| {
                held.retry = None;
                held.standing.trouble = None;
            });
        }
        for server in names(self, &Held::is_ending) {
            self.renew(&server, false);
        }
    }
}

impl Held {
    fn new(spec: Arc<ServerSpec>, account: Account) -> Self {
        let standing = Standing::default();
        Self { spec, account, standing, is_busy: false, renewed: [None; 2], retry: None, notes: (Instant::now(), 0) }
    }

    /// Lets the kept token stand.
    fn stand(&mut self) {
        self.standing.url = (&*self.account.url).into();
        self.standing.header = self.account.token().map(header);
        self.standing.trouble = None;
        self.retry = None;
    }

    /// Whether the token in use is to be renewed now. Where that failed for good, it is used as long as it lasts.
    fn is_ending(&self) -> bool {
        let is_well = self.standing.header.is_some() && self.standing.trouble.is_none();
        let token = self.account.token().filter(|_| is_well && self.renews_itself());
        token.and_then(|token| token.renew_in(Clock::wall())) == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::oauth::{Challenge, Scopes};
    use crate::upstream::spec::TransportSpec;

    const NOW: Duration = Duration::from_secs(100);

    fn held(grant: Grant, token: Option<(&str, bool)>) -> Held {
        let oauth = Some(Box::new(OauthSpec { grant, ..OauthSpec::default() }));
        let http = HttpSpec { url: "https://h/mcp".into(), headers: vec![], ca_file: None, oauth };
        let mut account = Account::new("https://h/mcp");
        if let Some((scopes, refreshes)) = token {
            let refresh = refreshes.then(|| "r".into());
            let token = Token { access: "t".into(), refresh, expires: None, scopes: Scopes::parse(scopes) };
            account.take("https://as", None, token);
        }
        let mut held = Held::new(Arc::new(ServerSpec::new("api", TransportSpec::Http(http))), account);
        held.stand();
        held
    }

    fn refused(scopes: &str, insufficient: bool) -> Refused {
        let challenge = Challenge { resource_metadata: None, scopes: Scopes::parse(scopes), insufficient };
        Refused { serial: 1, challenge }
    }

    fn told(step: Step) -> (String, bool, bool) {
        match step {
            Step::Tell { trouble, keeps_token, again } => (trouble.context.into_owned(), keeps_token, again),
            Step::Renew => panic!("renewed"),
        }
    }

    fn now() -> Instant {
        Instant::now() + NOW
    }

    #[test]
    fn what_needs_no_person_is_renewed() {
        for held in [
            held(Grant::ClientCredentials, None),
            held(Grant::ClientCredentials, Some(("a", false))),
            held(Grant::AuthorizationCode, Some(("a", true))),
        ] {
            assert_eq!(held.step(&refused("a", false), now()), Step::Renew);
        }
    }

    #[test]
    fn without_a_way_of_its_own_the_gate_names_the_command() {
        for held in [held(Grant::AuthorizationCode, None), held(Grant::AuthorizationCode, Some(("a", false)))] {
            let (why, keeps_token, again) = told(held.step(&refused("a", false), now()));
            assert!(why.contains("`tollgate authorize api`") && !keeps_token && !again, "{why}");
        }
    }

    #[test]
    fn more_scopes_are_asked_for_and_the_same_ones_only_once() {
        let person = held(Grant::AuthorizationCode, Some(("read", true)));
        let (why, keeps_token, _) = told(person.step(&refused("write", true), now()));
        assert!(why.contains("write") && why.contains("authorize") && keeps_token, "{why}");
        let (why, keeps_token, _) = told(person.step(&refused("read", true), now()));
        assert!(!why.contains("authorize") && keeps_token, "{why}");
        let own = held(Grant::ClientCredentials, Some(("read", false)));
        assert_eq!(own.step(&refused("write", true), now()), Step::Renew);
        assert!(told(own.step(&refused("read", true), now())).1);
    }

    #[test]
    fn a_token_of_another_issuer_is_not_sent() {
        let mut held = held(Grant::ClientCredentials, Some(("a", false)));
        assert!(pinned(&held.spec, held.account.clone()).token().is_some(), "none is configured");
        for (issuer, is_sent) in [("https://as", true), ("https://other", false)] {
            let oauth = Some(Box::new(OauthSpec { issuer: Some(issuer.into()), ..OauthSpec::default() }));
            let http = HttpSpec { url: "https://h/mcp".into(), headers: vec![], ca_file: None, oauth };
            held.spec = Arc::new(ServerSpec::new("api", TransportSpec::Http(http)));
            assert_eq!(pinned(&held.spec, held.account.clone()).token().is_some(), is_sent, "{issuer}");
        }
    }

    #[test]
    fn a_token_is_renewed_before_its_end_unless_that_failed() {
        let mut held = held(Grant::AuthorizationCode, Some(("a", true)));
        assert!(!held.is_ending(), "its end is not known");
        let mut token = held.account.token().unwrap().clone();
        token.expires = Some(Clock::wall().0);
        held.account.take("https://as", None, token);
        assert!(held.is_ending());
        held.standing.trouble = Some(held.ask_person("no token could be had"));
        assert!(!held.is_ending(), "nobody is asked on and on");
    }

    #[test]
    fn a_server_that_refuses_each_token_is_not_asked_on() {
        let mut held = held(Grant::ClientCredentials, Some(("a", false)));
        held.renewed = [Some(now()), None];
        assert_eq!(held.step(&refused("a", false), now()), Step::Renew, "some tokens are short-lived");
        held.renewed = [Some(now()), Some(now())];
        let (why, keeps_token, again) = told(held.step(&refused("a", false), now()));
        assert!(why.contains("one fresh token after the other") && !keeps_token && again, "{why}");
        assert_eq!(held.step(&refused("a", false), now() + SPACING), Step::Renew);
    }
}
