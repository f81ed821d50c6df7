//! What is told always agrees with what the gate decides, whatever the patterns, ceilings, limits and keys.

use super::case::Case;
use crate::base::clock::{Clock, Instant, WallTime};
use crate::base::ids::KeyId;
use crate::catalog::{Door, ListKind, Offers, ServerList, Sort};
use crate::cli::known::Known;
use crate::config::{Compiled, Lookup, Purpose, Snapshot};
use crate::policy::{Asked, Charged, Found, Principal, Refused, Step, Team, Verdict};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

const SERVERS: &str = "[servers.a]\nurl = \"http://127.0.0.1\"\n[servers.b]\nurl = \"http://127.0.0.1\"\n\
                       [servers.new]\nurl = \"http://127.0.0.1\"\n\
                       [servers.off]\nurl = \"http://127.0.0.1\"\nenabled = false\n";
const NOW: WallTime = WallTime(1_800_000_000_000);

fn list(server: &str, [tools, prompts, resources]: [&[&str]; 3]) -> (String, ServerList) {
    let mut list = ServerList { fetched_at: WallTime(1), stale: false, ..ServerList::empty(server) };
    list.offers = Offers { prompts: true, resources: true, ..Offers::default() };
    list.tools =
        tools.iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}}).to_string().into()).collect();
    *list.of_mut(ListKind::Prompts) = prompts.iter().map(|name| json!({"name": name}).to_string().into()).collect();
    let resource = |uri: &&str| json!({"name": "n", "uri": uri}).to_string().into();
    *list.of_mut(ListKind::Resources) = resources.iter().map(resource).collect();
    (server.into(), list)
}

/// What these tables come to with two servers that have listed, one that has not, and one that is off.
fn known(tables: &str) -> Known {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("state.directory = \"s\"\n{tables}{SERVERS}");
    let lookup = Lookup::fixed(&[], None, dir.path());
    let compiled = Compiled::from_text(Path::new("t"), &text, &lookup, Purpose::Look);
    let compiled = compiled.unwrap_or_else(|report| panic!("{}\n{text}", report.render(false)));
    let lists = [
        list("a", [&["read", "write", "get_x"], &["sum", "get_p"], &["file:///a", "file:///d/b"]]),
        list("b", [&["read", "drop"], &["sum"], &["file:///a"]]),
    ];
    Known::of(compiled, lists.into())
}

fn key(more: &str) -> String {
    format!("[[keys]]\nid = \"k\"\nname = \"reader\"\nmac = \"{}\"\n{more}\n", "a0".repeat(32))
}

fn ask<'a>(known: &'a Known, key: &str, sort: Sort, name: &'a str) -> Case<'a> {
    Case::ask(known, KeyId::parse(key).unwrap(), (sort, name), (NOW, Instant(5)))
}

/// What the gate does with a request, step by step as its shards do.
fn gate(snapshot: &Snapshot, key: KeyId, case: &Case<'_>) -> Result<(), &'static str> {
    let principal = snapshot.keys.standing(key, NOW);
    let principal: Principal = principal.ok_or("refused")?;
    let (catalog, grant) = (&snapshot.catalog, snapshot.grant(principal.grant));
    let (door, name) = (case.subject.door, case.subject.name);
    let (tool, server) = match case.subject.sort {
        Sort::Tools => {
            let asked = Asked { name, door, grant, narrowing: None, approvals: &snapshot.approvals };
            let verdict = asked.admit(catalog).verdict;
            let holds = matches!(verdict, Verdict::Hold(_));
            assert!(!holds || case.explanation.need.is_some(), "{name}");
            assert!(holds || !matches!(verdict, Verdict::Allow(_)) || case.explanation.need.is_none(), "{name}");
            match verdict {
                Verdict::Allow(id) | Verdict::Hold(id) => (Some(id), catalog.tool(id).server),
                Verdict::Deny(reason) => return Err(reason.name()),
            }
        }
        Sort::Prompts => {
            let id = catalog.resolve_prompt(door, name, grant).ok_or("not_granted")?;
            (None, catalog.prompt(id).server)
        }
        Sort::Resources => (None, catalog.resolve_resource(door, name, grant).ok_or("not_granted")?.server),
    };
    let charged = Charged { chain: snapshot.keys.chain(&principal), tool, server };
    drop(snapshot.limits.take(&charged, Clock::now()).map_err(|refused: Refused| refused.reason())?);
    Ok(())
}

const NAMES: [(Sort, &[&str]); 3] = [
    (
        Sort::Tools,
        &["a__read", "b__read", "read", "a/get_x", "b/get_x", "write", "drop", "off/read", "new__x", "nope", "c/d"],
    ),
    (Sort::Prompts, &["a__sum", "sum", "b/sum", "get_p", "off/sum", "nope"]),
    (
        Sort::Resources,
        &[
            "file:///a",
            "file:///a#tollgate=b",
            "a/file:///a",
            "b/file:///a",
            "file:///d/b",
            "file:///no",
            "b/file:///d/../x",
            "new/file:///a",
            "off/x:y",
        ],
    ),
];

/// Holds every name of a key: what is told against what the gate does, and its parts against each other.
fn holds(known: &Known, key: &str) {
    let id = KeyId::parse(key).unwrap();
    for (sort, name) in NAMES.into_iter().flat_map(|(sort, names)| names.iter().map(move |name| (sort, *name))) {
        let case = ask(known, key, sort, name);
        let why = &case.explanation;
        let told = format!("{}{}", case.text(), case.json());
        // Meters count, so each request meets a snapshot of its own.
        let fresh = Known::of(known.compiled.clone(), known.lists.clone()).snapshot;
        let decided = gate(&fresh, id, &case);
        assert_eq!(decided.is_ok(), why.denied.is_none(), "{decided:?} {told}");
        let reason = if why.refusal.is_some() { "refused" } else { why.denied.unwrap_or_default() };
        assert_eq!(decided.err().unwrap_or_default(), reason, "{told}");
        let is_found = matches!(why.found, Found::One(_));
        let passes = why.steps.iter().all(Step::passes);
        let is_free = why.closed.is_none() && why.withheld.is_none();
        let follows = why.refusal.is_none() && is_found && passes && is_free;
        assert_eq!(follows, why.denied.is_none(), "the parts do not lead to the verdict: {told}");
        match why.denied {
            Some("unknown_tool") => assert!(!is_found, "{told}"),
            Some("not_granted") => assert!(!(is_found && passes), "{told}"),
            Some("rate_limited" | "too_many_at_once") => assert!(is_found && passes && why.closed.is_some(), "{told}"),
            _ => assert!(why.denied.is_none() || why.refusal.is_some(), "{told}"),
        }
        let verdict = if why.denied.is_some() { "deny" } else { ["allow", "hold"][usize::from(why.need.is_some())] };
        assert!(case.text().starts_with(verdict), "{told}");
        assert_eq!(case.json()["verdict"], verdict, "{told}");
    }
}

/// Patterns of each sort that may or may not cover what there is.
fn patterns() -> impl Strategy<Value = [Vec<String>; 3]> {
    let of = |names: &'static [&'static str]| {
        let one = (prop::sample::select(&["a", "b", "*", "new", "off"][..]), prop::sample::select(names));
        prop::collection::vec(one.prop_map(|(server, name)| format!("{server}/{name}")), 0..3)
    };
    let uris = of(&["*", "file:///*", "file:///d/*", "file:///a", "x:y"]);
    (of(&["*", "read", "get_*", "*e", "none"]), of(&["*", "sum", "get_*"]), uris).prop_map(Into::into)
}

fn lists(patterns: &[Vec<String>; 3], said: [bool; 3]) -> String {
    let mut out = String::new();
    for ((sort, patterns), _) in Sort::ALL.into_iter().zip(patterns).zip(said).filter(|(_, said)| *said) {
        writeln!(out, "{} = {patterns:?}", sort.field()).unwrap();
    }
    out
}

/// A table's ceilings and limits.
fn level() -> impl Strategy<Value = String> {
    let limits = prop::sample::select(
        &["", "", "", "rates = [\"5/minute\"]\n", "rates = [\"1/hour\", \"0/day\"]\n", "concurrency_max = 0\n"][..],
    );
    (patterns(), any::<[bool; 3]>(), limits).prop_map(|(patterns, said, limits)| lists(&patterns, said) + limits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn what_is_told_agrees_with_what_is_decided(
        own in patterns(),
        own_limit in prop::sample::select(&["", "", "rates = [\"0/second\"]\n", "concurrency_max = 3\n"][..]),
        levels in (level(), level(), level()),
        is_under in any::<[bool; 2]>(),
        state in 0..6,
    ) {
        let mut more = format!("{}{own_limit}", lists(&own, [true; 3]));
        let mut tables = String::new();
        if is_under[0] {
            let customer = if is_under[1] { "customer = \"c\"\n" } else { "" };
            more.push_str("team = \"t\"\n");
            write!(tables, "[customers.c]\n{}[teams.t]\n{customer}{}", levels.0, levels.1).unwrap();
        }
        more.push_str(match state { 0 => "revoked = true\n", 1 => "expires = \"2020-01-01\"\n", _ => "" });
        write!(tables, "{}[anonymous]\n{}", key(&more), lists(&own, [true; 3])).unwrap();
        if levels.2.contains("rates") {
            write!(tables, "[[tool_limits]]\nname = \"l\"\ntools = [\"*/*e\"]\nrates = [\"0/hour\"]\n").unwrap();
        }
        if levels.1.contains("rates") {
            write!(tables, "[[approval.rules]]\ntools = [\"*/*e\", \"a/get_*\"]\n").unwrap();
        }
        let mut known = known(&tables);
        if state == 2 {
            known.compiled.keys[0].team = Some(Arc::new(Team::gone("x")));
            known = Known::of(known.compiled, known.lists);
        }
        for key in ["k", "anonymous", "nobody"] {
            holds(&known, key);
        }
    }
}

#[test]
fn each_cause_is_told_in_words() {
    let tables = "[customers.acme]\nallow = [\"a/*\"]\nrates = [\"9/day\"]\n\
                  [teams.t]\ncustomer = \"acme\"\nallow = [\"a/*\", \"b/*\"]\nconcurrency_max = 2\n";
    let tables = format!("{tables}{}", key("allow = [\"a/get_*\", \"b/*\"]\nteam = \"t\"\nrates = [\"5/minute\"]"));
    let known = known(&tables);
    let text = |name| ask(&known, "k", Sort::Tools, name).text();
    let expected = "allow: key k may call a__get_x\n\n\
        key       k (reader) is valid and never expires\n\
        tool      a/get_x, listed as a__get_x\n\
        grant     `a/get_*` in `allow` covers it\n\
        team      t: `a/*` in `allow` covers it\n\
        customer  acme: `a/*` in `allow` covers it\n\
        limit     key k: 5/minute\n\
        limit     team t: 2 at once\n\
        limit     customer acme: 9/day\n";
    assert_eq!(text("a__get_x"), expected);
    let cases = [
        ("a/read", "deny (not_granted): key k may not see a/read, and hears that there is no such tool"),
        ("a/read", "grant     no pattern in `allow` covers it; the nearest is `a/get_*`"),
        ("b__drop", "customer  acme: no pattern in `allow` covers it\n"),
        ("off/read", "deny (unknown_tool): nothing is known by the name off/read"),
        ("off/read", "tool      server off is disabled: see `enabled`"),
        ("new__read", "tool      server new has not been listed yet: a gate keeps its lists when it has run"),
        ("b/raed", "tool      server b had no tool of this name at 1970-01-01T00:00:00Z; did you mean b__read?"),
        ("b/raed", "grant     `b/*` in `allow` covers it"),
        ("a__geet_x", "did you mean a__get_x?"),
        ("zzz", "tool  no server has listed a tool of this name\n"),
    ];
    for (name, words) in cases {
        assert!(text(name).contains(words), "`{words}` is not in:\n{}", text(name));
    }
    let nobody = ask(&known, "anonymous", Sort::Tools, "a__read").text();
    assert!(nobody.starts_with("deny (missing): requests without a key are refused\n"), "{nobody}");
}

#[test]
fn a_call_that_must_be_approved_is_told() {
    let rules = "[[approval.rules]]\ntools = [\"a/get_*\"]\napproval = \"free\"\n\
                 [[approval.rules]]\ntools = [\"a/*\"]\nexpires_s = 60\n";
    let known = known(&format!("{rules}{}", key("allow = [\"*/*\"]")));
    let held = ask(&known, "k", Sort::Tools, "a__write");
    assert!(held.text().starts_with("hold: key k may call a__write, each time once somebody has approved that call\n"));
    let words = "approval  rule 2 of `approval.rules` covers it: an approval is good for 60 s and one call\n";
    assert!(held.text().contains(words), "{}", held.text());
    assert_eq!((held.json()["verdict"].as_str(), &held.json()["approval"]["rule"]), (Some("hold"), &json!(2)));
    assert_eq!(ask(&known, "k", Sort::Tools, "a__get_x").word(), "allow");
}

#[test]
fn keys_and_teams_that_are_no_more_are_told() {
    let text = |more: &str| {
        let known = known(&key(&format!("allow = [\"*/*\"]\n{more}")));
        ask(&known, "k", Sort::Tools, "a__read").text()
    };
    assert!(text("revoked = true").contains("k (reader) was revoked"));
    let expired = text("expires = \"2020-01-01\"");
    assert!(expired.starts_with("deny (expired): requests with key k are refused\n"), "{expired}");
    assert!(expired.contains("k (reader) expired at 2020-01-01T00:00:00Z"), "{expired}");
    assert!(text("expires = \"2090-01-01\"").contains("is valid until 2090-01-01T00:00:00Z"));
    let closed = text("rates = [\"5/minute\", \"0/day\"]");
    assert!(closed.starts_with("deny (rate_limited): key k may see a__read, and a limit is closed\n"), "{closed}");
    assert!(closed.contains("limit  key k: 5/minute, 0/day: 0/day lets nothing through"), "{closed}");
    let mut orphan = known(&key("allow = [\"*/*\"]"));
    orphan.compiled.keys[0].team = Some(Arc::new(Team::gone("old")));
    let orphan = Known::of(orphan.compiled, orphan.lists);
    let told = ask(&orphan, "k", Sort::Tools, "a__read");
    assert!(told.text().contains("team   old: the configuration has no such team: its keys see nothing"));
    assert_eq!(told.json()["levels"][1]["gone"], true);
}

#[test]
fn a_name_that_several_bear_is_told_apart() {
    let known = known(&key("allow = [\"*/*\"]\nprompts = [\"b/*\"]\nresources = [\"*/*\"]"));
    let case = ask(&known, "k", Sort::Tools, "read");
    assert!(case.text().contains("tool  say which: a__read, b__read"), "{}", case.text());
    assert_eq!(case.json()["could_be"], json!(["a__read", "b__read"]));
    let prompt = ask(&known, "k", Sort::Prompts, "sum");
    assert_eq!((prompt.json()["found"]["server"].as_str(), prompt.word().as_str()), (Some("b"), "allow"));
    let other = ask(&known, "k", Sort::Resources, "file:///unlisted");
    assert!(other.text().contains("say which: a/file:///unlisted, b/file:///unlisted"), "{}", other.text());
    assert_eq!(ask(&known, "k", Sort::Resources, "b/file:///unlisted").word(), "allow");
}

#[test]
fn an_entry_that_was_left_out_is_told() {
    let known = known(&key("allow = [\"*/*\"]"));
    let mut lists: BTreeMap<_, _> = known.lists;
    lists.extend([list("b", [&["read", "read"], &[], &[]])]);
    lists.get_mut("b").unwrap().tools.push(r#"{"name":"bad","inputSchema":7}"#.into());
    let known = Known::of(known.compiled, lists);
    let text = ask(&known, "k", Sort::Tools, "b/bad").text();
    assert!(text.contains("its server lists it, and it is left out: \"bad\""), "{text}");
    assert_eq!(ask(&known, "k", Sort::Tools, "b/read").word(), "allow");
    assert_eq!(known.snapshot.catalog.behind(Door::All).count(), 4);
}
