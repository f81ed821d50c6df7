//! Keys and what they allow.

use super::groups;
use super::levels::{Levels, allowance, bounds, near};
use crate::base::clock::{Clock, WallTime};
use crate::base::ids::KeyId;
use crate::base::limits::{KEYS_MAX, PATTERNS_PER_KEY_MAX};
use crate::catalog::{Pattern, Rights, Sort};
use crate::config::document::Step;
use crate::config::file::{Anonymous, Config, Key};
use crate::config::notes::Notes;
use crate::config::report::Level;
use crate::config::words;
use crate::policy::{Mac, Team, VirtualKey};
use std::collections::HashMap;
use std::sync::Arc;

/// Where keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In the configuration file.
    Config,
    /// In the state directory. A pattern there may outlive its server, a key its team.
    State,
}

impl Home {
    /// How bad it is to name what is not there.
    pub(super) fn level(self) -> Level {
        match self {
            Self::Config => Level::Error,
            Self::State => Level::Warning,
        }
    }
}

/// What keys are compiled in.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    /// The whole file.
    pub(crate) config: &'a Config,
    /// The teams of the file and of the store.
    pub(crate) levels: &'a Levels,
    /// Where the keys are kept.
    pub(crate) home: Home,
}

/// A key with where it stands, as `file:line`.
pub(crate) struct Placed {
    /// The key.
    pub(crate) key: VirtualKey,
    /// Its place.
    pub(crate) place: String,
}

impl Placed {
    /// The key's id.
    pub(crate) fn id(&self) -> KeyId {
        self.key.id
    }
}

/// What a request without a key may use.
pub(crate) fn anonymous(written: &Config, notes: &mut Notes<'_>) -> Option<Rights> {
    let anonymous = written.anonymous.as_ref()?;
    let loopback = written.listen.address.parse::<std::net::SocketAddr>().map_or(true, |at| at.ip().is_loopback());
    if !loopback {
        let help = "listen on 127.0.0.1, or remove `[anonymous]` and give out keys";
        notes.error(&["anonymous".into()], "requests without a key are for loopback listeners only", help);
    }
    Some(rights(anonymous.into(), &["anonymous".into()], written, Home::Config, notes))
}

/// The keys of one document.
pub(crate) fn compile(keys: &[Key], around: &Around<'_>, notes: &mut Notes<'_>) -> Vec<Placed> {
    if keys.len() > KEYS_MAX {
        notes.error(&["keys".into()], format!("more than {KEYS_MAX} keys"), "remove those that are revoked");
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut compiler = KeyCompiler::new(*around);
    let mut out = Vec::new();
    for (at, key) in keys.iter().enumerate().take(KEYS_MAX) {
        let place = [Step::Key("keys"), Step::Index(at), "id".into()];
        if let Some(first) = seen.insert(&key.id, at).filter(|_| !key.id.is_empty()) {
            let what = format!("the id is that of key {} in this file", first + 1);
            notes.error(&place, what, "every key has its own id; make one with `tollgate key new`");
        }
        let place = format!("{} (key {})", notes.document.name, at + 1);
        out.extend(compiler.one(key, at, notes).map(|key| Placed { key, place }));
    }
    out
}

/// Compiles keys one after another; those with the same lists share their rights.
pub(crate) struct KeyCompiler<'a> {
    around: Around<'a>,
    known: hashbrown::HashMap<OwnLists, Arc<Rights>, foldhash::fast::RandomState>,
}

impl<'a> KeyCompiler<'a> {
    /// A compiler of keys in these surroundings.
    pub(crate) fn new(around: Around<'a>) -> Self {
        Self { around, known: hashbrown::HashMap::default() }
    }

    /// The key that is number `at` of its document.
    pub(crate) fn one(&mut self, key: &Key, at: usize, notes: &mut Notes<'_>) -> Option<VirtualKey> {
        let lists = Lists::from(key);
        let rights = match self.known.get(&lists) {
            Some(known) => known.clone(),
            None => {
                let (parent, before) = ([Step::Key("keys"), Step::Index(at)], notes.count());
                let mut rights = rights(lists, &parent, self.around.config, self.around.home, notes);
                let known_groups = (&self.around.levels.groups, self.around.config, self.around.home.level());
                rights.groups = groups::of_key(&key.groups, &parent, known_groups, notes);
                let rights = Arc::new(rights);
                if notes.count() == before {
                    self.known.insert(OwnLists(lists.0.map(<[String]>::to_vec), lists.1.to_vec()), rights.clone());
                }
                rights
            }
        };
        one(key, at, rights, &self.around, notes)
    }
}

/// The lists of one key, kept.
#[derive(PartialEq, Eq, Hash)]
struct OwnLists([Vec<String>; Sort::ALL.len()], Vec<String>);

impl hashbrown::Equivalent<OwnLists> for Lists<'_> {
    fn equivalent(&self, own: &OwnLists) -> bool {
        self.0 == own.0.each_ref().map(Vec::as_slice) && self.1 == own.1
    }
}

/// The lists of patterns of one key as written, by [`Sort`], and its groups. Many keys share few of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Lists<'a>([&'a [String]; Sort::ALL.len()], &'a [String]);

impl<'a> From<&'a Key> for Lists<'a> {
    fn from(key: &'a Key) -> Self {
        Self([&key.allow, &key.prompts, &key.resources], &key.groups)
    }
}

impl<'a> From<&'a Anonymous> for Lists<'a> {
    fn from(anonymous: &'a Anonymous) -> Self {
        Self([&anonymous.allow, &anonymous.prompts, &anonymous.resources], &[])
    }
}

fn rights(lists: Lists<'_>, parent: &[Step<'_>], config: &Config, home: Home, notes: &mut Notes<'_>) -> Rights {
    let mut rights = Rights::default();
    for (sort, written) in Sort::ALL.into_iter().zip(lists.0) {
        *rights.of_mut(sort) = patterns(written, (sort, sort.field(), parent), config, home, notes).into();
    }
    rights
}

fn one(key: &Key, at: usize, rights: Arc<Rights>, around: &Around<'_>, notes: &mut Notes<'_>) -> Option<VirtualKey> {
    let field = |name| [Step::Key("keys"), Step::Index(at), Step::Key(name)];
    let id = KeyId::parse(&key.id).filter(|id| *id != KeyId::ANONYMOUS);
    if id.is_none() {
        notes.error(&field("id"), "this is not a key's id", "1 to 16 of a-z and 0-9, as `tollgate key new` prints it");
    }
    let mac = Mac::from_hex(&key.mac);
    if mac.is_none() {
        let help = "64 lower-case hex digits, as `tollgate key new --json` prints them";
        notes.error(&field("mac"), "this is not a key's keyed hash", help);
    }
    let expires = key.expires.as_ref().map(|text| time(text));
    if expires == Some(None) {
        notes.error(&field("expires"), "this is not a time", "write it as `2027-02-20T00:00:00Z`");
    }
    let expires = expires.flatten();
    if around.home == Home::Config && expires.is_some_and(|at| at <= Clock::wall()) {
        notes.warning(&field("expires"), "the key has expired", "remove it, or make a new one");
    }
    let team = key.team.as_ref().map(|name| team(name, &field("team"), around, notes));
    let allowed = allowance(&bounds!(key), &field("")[..2], notes);
    let allowance = Some(allowed).filter(|allowed| !allowed.is_empty()).map(Arc::new);
    let (name, revoked) = (key.name.as_str().into(), key.revoked);
    Some(VirtualKey { id: id?, name, mac: mac?, expires, revoked, rights, team, allowance })
}

/// The team that a key names. Where it is not there, the key may do nothing.
fn team(name: &str, place: &[Step<'_>], around: &Around<'_>, notes: &mut Notes<'_>) -> Arc<Team> {
    if let Some(team) = around.levels.teams.get(name) {
        return team.clone();
    }
    let level = around.home.level();
    if !notes.counts_only(level) {
        let what = format!("no team is called `{}`", words::visible(name));
        let help = near(name, around.levels.teams.keys().map(|name| &**name));
        match level {
            Level::Error => notes.error(place, what, help),
            Level::Warning => notes.warning(place, format!("{what}: the key sees nothing"), help),
        }
    }
    Arc::new(Team::gone(name))
}

/// Patterns of one sort in a field of the table at `parent`, each of a server that is there.
pub(super) fn patterns(
    written: &[String],
    (sort, field, parent): (Sort, &'static str, &[Step<'_>]),
    config: &Config,
    home: Home,
    notes: &mut Notes<'_>,
) -> Vec<Pattern> {
    let place = |at: usize| {
        let mut path = parent.to_vec();
        path.extend([Step::Key(field), Step::Index(at)]);
        path
    };
    if written.len() > PATTERNS_PER_KEY_MAX {
        notes.error(&place(0), format!("more than {PATTERNS_PER_KEY_MAX} patterns"), sort.advice());
    }
    let mut out = Vec::new();
    for (at, text) in written.iter().enumerate() {
        match Pattern::parse_as(sort, text) {
            Err(error) => notes.error(&place(at), error.context, ""),
            Ok(pattern) => {
                let unknown = pattern.server().filter(|name| !config.servers.contains_key(*name));
                if let Some(name) = unknown {
                    note_unknown_server(name, &place(at), config, home, notes);
                }
                out.push(pattern);
            }
        }
    }
    out
}

fn note_unknown_server(name: &str, place: &[Step<'_>], config: &Config, home: Home, notes: &mut Notes<'_>) {
    let level = home.level();
    if notes.counts_only(level) {
        return;
    }
    let what = format!("no server is called `{}`", words::visible(name));
    let help = match words::nearest(name, config.servers.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a pattern starts with the name of a server in this file".into(),
    };
    match level {
        Level::Error => notes.error(place, what, help),
        Level::Warning => notes.warning(place, what, help),
    }
}

/// A time as RFC 3339 writes it, or a day, which counts from its first moment in UTC.
pub(crate) fn time(text: &str) -> Option<WallTime> {
    let moment = text.parse::<jiff::Timestamp>().ok();
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp());
    let looks_like_day = text.len() == "2027-02-20".len();
    let moment = if looks_like_day { day() } else { moment };
    moment.and_then(|moment| u64::try_from(moment.as_millisecond()).ok()).map(WallTime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Compiled, Lookup, Purpose};
    use std::path::Path;

    #[test]
    fn patterns_of_every_sort_are_looked_at() {
        let text = "[anonymous]\nallow = [\"a/*\"]\nprompts = [\"b/*\"]\nresources = [\"a\"]\n\
                    [servers.a]\nurl = \"http://h\"\n";
        let compile = |text: &str| {
            let text = format!("state.directory = \"s\"\n{text}");
            let dir = tempfile::tempdir().expect("dir");
            Compiled::from_text(Path::new("t"), &text, &Lookup::fixed(&[], None, dir.path()), Purpose::Check)
        };
        let shown = compile(text).expect_err("two patterns are wrong").lines().join("\n");
        for words in
            ["t:4:12: error: no server is called `b`", "resources pattern \"a\" has no \"/\": write \"server/uri\""]
        {
            assert!(shown.contains(words), "{shown}");
        }
        let good = text.replace("b/*", "a/x").replace("[\"a\"]", "[\"a/file:///d/*\"]");
        let rights = compile(&good).expect("good").anonymous.expect("anonymous");
        let written = Sort::ALL.map(|sort| rights.of(sort)[0].to_string());
        assert_eq!(written, ["a/*", "a/x", "a/file:///d/*"]);
    }

    #[test]
    fn times_are_moments_or_days() {
        assert_eq!(time("1970-01-02T00:00:00Z"), Some(WallTime(86_400_000)));
        assert_eq!(time("1970-01-02T01:00:00+01:00"), Some(WallTime(86_400_000)));
        assert_eq!(time("1970-01-02"), Some(WallTime(86_400_000)));
        for bad in ["", "tomorrow", "2027-13-01", "2027-02-20T00:00:00", "1960-01-01", "90d"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
