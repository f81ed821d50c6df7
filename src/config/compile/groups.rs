//! Groups: patterns that read, names that are nobody else's, and whose they are.

use super::keys::{Home, patterns};
use super::levels::{check_count, check_name, near};
use crate::base::limits::{ALIAS_DESCRIPTION_MAX, GROUPS_PER_LEVEL_MAX, PATTERNS_PER_KEY_MAX, TOOL_NAME_MAX};
use crate::catalog::{Alias, Group, Lists, Sort};
use crate::config::document::Step;
use crate::config::file::{self, Config};
use crate::config::notes::Notes;
use crate::config::report::Level;
use crate::config::words;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The groups of a configuration, by name.
pub(crate) type Groups = BTreeMap<Box<str>, Arc<Group>>;

const ALIAS_HELP: &str = "write the one tool as `\"server/tool\" = \"…\"`, as its server calls it";

/// All groups of a configuration file.
pub(super) fn compile(written: &Config, notes: &mut Notes<'_>) -> Groups {
    check_count("groups", written.groups.len(), notes);
    let mut out = Groups::new();
    for (name, group) in &written.groups {
        check_name("groups", name, notes);
        let parent: [Step<'_>; 2] = ["groups".into(), name.as_str().into()];
        let read = |lists: [(&'static str, &[String]); Sort::ALL.len()], notes: &mut Notes<'_>| {
            let mut out = Lists::default();
            for (sort, (field, list)) in Sort::ALL.into_iter().zip(lists) {
                out.set(sort, patterns(list, (sort, field, &parent), written, Home::Config, notes).into());
            }
            out
        };
        let gives = [("tools", &*group.tools), ("prompts", &group.prompts), ("resources", &group.resources)];
        let excludes = [
            ("exclude_tools", &*group.exclude_tools),
            ("exclude_prompts", &group.exclude_prompts),
            ("exclude_resources", &group.exclude_resources),
        ];
        let before = notes.count();
        let (gives, excludes) = (read(gives, notes), read(excludes, notes));
        if gives.is_empty() && notes.count() == before {
            notes.warning(&parent, "the group gives nothing", "give it `tools`, `prompts` or `resources`");
        }
        let mut compiled = Group { name: name.as_str().into(), gives, excludes, aliases: Box::default() };
        if notes.count() == before {
            compiled.aliases = aliases(&compiled, group, &parent, notes).into();
        }
        out.insert(compiled.name.clone(), Arc::new(compiled));
    }
    out
}

fn aliases(group: &Group, written: &file::Group, parent: &[Step<'_>; 2], notes: &mut Notes<'_>) -> Vec<Alias> {
    if written.rename.len() + written.describe.len() > PATTERNS_PER_KEY_MAX {
        let what = format!("more than {PATTERNS_PER_KEY_MAX} tools are renamed or described");
        notes.error(parent, what, "split the group");
    }
    let mut all: BTreeMap<(&str, &str), Alias> = BTreeMap::new();
    let mut taken: HashMap<&str, &str> = HashMap::new();
    for (tool, name) in &written.rename {
        let place = [parent[0], parent[1], "rename".into(), tool.as_str().into()];
        check_new_name(name, &place, notes);
        if let Some(other) = taken.insert(name, tool) {
            let line = notes.document.line(&[parent[0], parent[1], "rename".into(), other.into()]);
            let what =
                format!("`{}` is the name of `{}` on line {line} too", words::visible(name), words::visible(other));
            notes.error(&place, what, "give each its own name");
        }
        if let Some(alias) = alias(group, tool, ("rename", parent), &mut all, notes) {
            alias.name = Some(name.as_str().into());
        }
    }
    for (tool, text) in &written.describe {
        let place = [parent[0], parent[1], "describe".into(), tool.as_str().into()];
        let is_plain = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
        if text.is_empty() || text.len() > ALIAS_DESCRIPTION_MAX || !text.chars().all(is_plain) {
            let help = format!("1 to {ALIAS_DESCRIPTION_MAX} bytes of text");
            notes.error(&place, "this is no description", help);
        }
        if let Some(alias) = alias(group, tool, ("describe", parent), &mut all, notes) {
            alias.description = Some(text.as_str().into());
        }
    }
    all.into_values().collect()
}

/// What is kept of one tool, where the group gives it.
fn alias<'a, 'b>(
    group: &Group,
    tool: &'a str,
    (table, parent): (&'static str, &[Step<'_>; 2]),
    all: &'b mut BTreeMap<(&'a str, &'a str), Alias>,
    notes: &mut Notes<'_>,
) -> Option<&'b mut Alias> {
    let place = [parent[0], parent[1], Step::Key(table)];
    let Some((server, own)) = tool.split_once('/').filter(|_| !tool.contains('*')) else {
        notes.key_error(&place, tool, "this names no tool", ALIAS_HELP);
        return None;
    };
    let part = group.part(Sort::Tools);
    if part.covering(Sort::Tools, server, own).is_none() {
        let help = match part.excluding(Sort::Tools, server, own) {
            Some(pattern) => format!("`{pattern}` in `exclude_tools` keeps it out"),
            None => "add it to `tools`, or remove this".into(),
        };
        notes.key_error(&place, tool, format!("the group does not give `{}`", words::visible(tool)), help);
        return None;
    }
    let new = || Alias { server: server.into(), tool: own.into(), name: None, description: None };
    Some(all.entry((server, own)).or_insert_with(new))
}

/// A new name is none that the gate itself could give a tool, now or once its server lists it: all of those hold `__`.
fn check_new_name(name: &str, place: &[Step<'_>], notes: &mut Notes<'_>) {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !(1..=TOOL_NAME_MAX).contains(&name.len()) || !name.bytes().all(is_letter) {
        let help = format!("1 to {TOOL_NAME_MAX} of A-Z, a-z, 0-9, _ and -");
        notes.error(place, "this cannot be the name of a tool", help);
        return;
    }
    let Some((server, tool)) = name.split_once("__") else { return };
    let what = match notes.document.has(&["servers".into(), server.into()]) {
        true => {
            let line = notes.document.line(&["servers".into(), server.into()]);
            format!("`{name}` is the name of `{server}/{tool}`, a tool of the server on line {line}")
        }
        false => format!("`{name}` holds `__`, as the names of servers' tools do"),
    };
    notes.error(place, what, "write a name without `__`");
}

/// The groups that a key, a team or a customer names. What is not there gives nothing.
pub(super) fn named(
    written: &[String],
    parent: &[Step<'_>],
    (groups, config, level): (&Groups, &Config, Level),
    notes: &mut Notes<'_>,
) -> Box<[Arc<Group>]> {
    let place = |at: usize| [parent, &["groups".into(), Step::Index(at)]].concat();
    if written.len() > GROUPS_PER_LEVEL_MAX {
        notes.error(&place(0), format!("more than {GROUPS_PER_LEVEL_MAX} groups"), "join some of them");
    }
    let mut out: Vec<Arc<Group>> = Vec::new();
    for (at, name) in written.iter().enumerate().take(GROUPS_PER_LEVEL_MAX) {
        match groups.get(name.as_str()) {
            Some(group) if out.iter().all(|known| known.name != group.name) => out.push(group.clone()),
            Some(_) => {}
            None => {
                let what = format!("no group is called `{}`", words::visible(name));
                say(level, &place(at), what, near(name, config.groups.keys().map(String::as_str)), notes);
            }
        }
    }
    out.into()
}

/// The groups of a key, whose names must not contradict each other: where they do, none of them counts.
pub(super) fn of_key(
    written: &[String],
    parent: &[Step<'_>],
    (groups, config, level): (&Groups, &Config, Level),
    notes: &mut Notes<'_>,
) -> Box<[Arc<Group>]> {
    let named = named(written, parent, (groups, config, level), notes);
    let Some(clash) = clash(&named) else { return named };
    let what = match level {
        Level::Error => clash,
        Level::Warning => format!("{clash}: the key has none of its groups"),
    };
    let place = [parent, &["groups".into()]].concat();
    say(level, &place, what, "mend one of the groups, or take one from the key", notes);
    Box::default()
}

/// What two of these groups say that cannot both hold.
fn clash(groups: &[Arc<Group>]) -> Option<String> {
    let mut by_name: HashMap<&str, (&Group, &Alias)> = HashMap::new();
    let mut by_tool: HashMap<(&str, &str), (&Group, &Alias)> = HashMap::new();
    for (group, alias) in groups.iter().flat_map(|group| group.aliases.iter().map(move |alias| (&**group, alias))) {
        let tool = (&*alias.server, &*alias.tool);
        if let Some((other, known)) = by_tool.insert(tool, (group, alias)) {
            let differ = |one: &Option<_>, two: &Option<_>| one.is_some() && two.is_some() && one != two;
            let both = format!("groups `{}` and `{}`", other.name, group.name);
            if differ(&known.name, &alias.name) {
                return Some(format!("{both} rename `{}/{}` to different names", tool.0, tool.1));
            }
            if differ(&known.description, &alias.description) {
                return Some(format!("{both} describe `{}/{}` in different words", tool.0, tool.1));
            }
        }
        let Some(name) = &alias.name else { continue };
        match by_name.insert(name, (group, alias)) {
            Some((other, known)) if (&*known.server, &*known.tool) != tool => {
                let tools = format!("`{}/{}` and `{}/{}`", known.server, known.tool, tool.0, tool.1);
                return Some(format!(
                    "groups `{}` and `{}` give {tools} the same name `{name}`",
                    other.name, group.name
                ));
            }
            _ => {}
        }
    }
    None
}

fn say(level: Level, place: &[Step<'_>], what: String, help: impl Into<String>, notes: &mut Notes<'_>) {
    match level {
        _ if notes.counts_only(level) => {}
        Level::Error => notes.error(place, what, help),
        Level::Warning => notes.warning(place, what, help),
    }
}

#[cfg(test)]
mod tests {
    use crate::base::clock::WallTime;
    use crate::base::ids::Epoch;
    use crate::catalog::drift::Withheld;
    use crate::catalog::{Door, ListKind, ServerList};
    use crate::config::{Compiled, Lookup, Purpose, Snapshot};
    use crate::policy::Switches;
    use bytes::Bytes;
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    fn compile(groups: &str) -> Result<Compiled, String> {
        let servers = "[servers.a]\nurl = \"http://h\"\n[servers.b]\nurl = \"http://h\"\n";
        let text = format!("state.directory = \"s\"\n{groups}{servers}");
        let dir = tempfile::tempdir().expect("dir");
        let lookup = Lookup::fixed(&[], None, dir.path());
        Compiled::from_text(Path::new("t"), &text, &lookup, Purpose::Check).map_err(|report| report.lines().join("\n"))
    }

    fn key(id: &str, more: &str) -> String {
        format!("[[keys]]\nid = \"{id}\"\nmac = \"{}\"\n{more}\n", "a0".repeat(32))
    }

    fn snapshot(compiled: &Compiled) -> Snapshot {
        snapshot_with(compiled, None)
    }

    /// One in which this tool of server `a` is withheld.
    fn snapshot_with(compiled: &Compiled, withheld: Option<usize>) -> Snapshot {
        let tool = |name: &&str| Bytes::from(format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}}}"#));
        let list = |server: &str, tools: &[&str]| {
            let tools = tools.iter().map(tool).collect();
            (server.to_owned(), ServerList { fetched_at: WallTime(1), tools, ..ServerList::empty(server) })
        };
        let mut lists = BTreeMap::from([list("a", &["read", "write", "delete_x"]), list("b", &["read"])]);
        let why = Withheld { is_quarantined: false, why: "changed".into() };
        lists.get_mut("a").expect("the list").withheld.extend(withheld.map(|at| (at, why)));
        Snapshot::build(compiled, &lists, Epoch(1), None)
    }

    /// What each key sees at the door of all servers, and at the door of group `g`.
    fn seen(compiled: &Compiled) -> Vec<(String, Option<String>)> {
        let snapshot = snapshot(compiled);
        let view = |grant| {
            let grant = snapshot.grant(grant);
            let names = grant.tools(&snapshot.catalog, Door::All);
            names.map(|id| snapshot.catalog.listed_name(Door::All, id, grant)).collect::<Vec<_>>().join(" ")
        };
        let entries = snapshot.keys.entries().iter();
        entries.map(|entry| (view(entry.grant), snapshot.grant(entry.grant).behind("g").map(view))).collect()
    }

    const GROUP: &str = "[groups.g]\ntools = [\"a/*\"]\nexclude_tools = [\"a/delete_*\"]\n\
                         [groups.g.rename]\n\"a/read\" = \"look\"\n[groups.h]\ntools = [\"b/*\"]\n";

    #[test]
    fn groups_give_under_their_names_and_below_every_ceiling() {
        let text = [
            GROUP,
            "[teams.t]\ngroups = [\"g\"]\n[teams.u]\nallow = [\"a/read\"]\ngroups = [\"h\"]\n",
            &key("k1", "groups = [\"g\"]"),
            &key("k2", "groups = [\"g\"]\nallow = [\"a/delete_x\", \"b/*\"]"),
            &key("k3", "allow = [\"*/*\"]\nteam = \"t\""),
            &key("k4", "groups = [\"g\"]\nteam = \"u\""),
            &key("k5", "allow = [\"*/*\"]"),
            &key("k6", "allow = [\"a/read\", \"a/write\"]"),
        ];
        let compiled = compile(&text.concat()).expect("good");
        let pair = |all: &str, behind: Option<&str>| (all.to_owned(), behind.map(str::to_owned));
        let expected = [
            pair("look a__write", Some("look a__write")),
            pair("look a__write a__delete_x b__read", Some("look a__write")),
            pair("a__read a__write", Some("look a__write")),
            pair("look", Some("look")),
            pair("a__read a__write a__delete_x b__read", None),
            pair("a__read a__write", None),
        ];
        assert_eq!(seen(&compiled), expected);
    }

    #[test]
    fn a_renamed_tool_has_one_name_and_views_are_shared() {
        let text = format!("{GROUP}{}{}", key("k1", "groups = [\"g\"]"), key("k2", "groups = [\"g\"]"));
        let snapshot = snapshot(&compile(&text).expect("good"));
        let grants: Vec<_> = snapshot.keys.entries().iter().map(|entry| entry.grant).collect();
        assert_eq!(grants[0], grants[1]);
        let behind = snapshot.grant(grants[0]).behind("g").expect("its door");
        assert_eq!(snapshot.grant(behind).group(), Some("g"));
        let of = |grant| snapshot.view(grant, Door::All, ListKind::Tools);
        assert_eq!(of(behind).pages[0].array.as_ptr(), of(behind).pages[0].array.as_ptr());
        let named = |name: &str| snapshot.catalog.resolve(Door::All, name, snapshot.grant(grants[0]));
        assert_eq!(named("look").map(|id| snapshot.catalog.tool(id).name()), Some("read"));
        assert_eq!((named("a__read"), named("write").is_some()), (None, true));
        assert_eq!(named("read"), None, "its own name is nobody's that may be called");
    }

    #[test]
    fn what_is_withheld_or_off_comes_back_through_no_group_and_no_name() {
        let compiled = compile(&format!("{GROUP}{}", key("k", "groups = [\"g\"]"))).expect("good");
        let look = |snapshot: &Snapshot| {
            let grant = snapshot.grant(snapshot.keys.entries()[0].grant);
            [grant, snapshot.grant(grant.behind("g").expect("its door"))].map(|grant| {
                let id = snapshot.catalog.resolve(Door::All, "look", grant).expect("the name is still the tool's");
                let own = snapshot.catalog.resolve(Door::All, "a__read", grant);
                (grant.allows(id), grant.withholds(id), own, grant.len())
            })
        };
        assert_eq!(look(&snapshot(&compiled)), [(true, false, None, 2); 2]);
        let held = snapshot_with(&compiled, Some(0));
        assert_eq!(look(&held), [(false, true, None, 1); 2]);
        let excluded = look_up(&snapshot_with(&compiled, Some(2)), "delete_x");
        assert_eq!(excluded, [(false, false); 2], "what a group excludes is not withheld but not there");
        let tool = ("a".into(), "read".into());
        let off = Switches { tools: [tool].into(), ..Switches::default() };
        assert_eq!(look(&snapshot(&compiled).switched(&Arc::new(off), Epoch(2))), [(false, false, None, 1); 2]);
        let off = Switches { servers: ["a".into()].into(), ..Switches::default() };
        assert_eq!(look(&snapshot(&compiled).switched(&Arc::new(off), Epoch(2))), [(false, false, None, 0); 2]);
    }

    /// Whether the key may see a tool of server `a`, and whether it is withheld from it, at both of its doors.
    fn look_up(snapshot: &Snapshot, tool: &str) -> [(bool, bool); 2] {
        let grant = snapshot.grant(snapshot.keys.entries()[0].grant);
        let server = snapshot.catalog.server_id("a").expect("the server");
        let id = snapshot.catalog.tool_of(server, tool).expect("the tool");
        [grant, snapshot.grant(grant.behind("g").expect("its door"))]
            .map(|grant| (grant.allows(id), grant.withholds(id)))
    }

    #[test]
    fn names_that_clash_are_refused_with_both_places() {
        let group = |more: &str| format!("[groups.g]\ntools = [\"a/*\"]\n{more}\n");
        let two = "[groups.g]\ntools = [\"*/*\"]\n[groups.h]\ntools = [\"*/*\"]\n";
        let held = key("k", "groups = [\"g\", \"h\"]");
        let cases = [
            (
                group("rename = { \"a/x\" = \"n\", \"a/y\" = \"n\" }"),
                "t:4:33: error: `n` is the name of `a/x` on line 4 too",
            ),
            (group("rename = { \"a/x\" = \"b__y\" }"), "`b__y` is the name of `b/y`, a tool of the server on line 7"),
            (group("rename = { \"a/x\" = \"x__y\" }"), "`x__y` holds `__`"),
            (group("rename = { \"a/x\" = \"a b\" }"), "this cannot be the name of a tool"),
            (group("rename = { \"b/x\" = \"n\" }"), "the group does not give `b/x`"),
            (group("exclude_tools = [\"*/x\"]\nrename = { \"a/x\" = \"n\" }"), "`*/x` in `exclude_tools` keeps it out"),
            (group("rename = { \"a/*\" = \"n\" }"), "this names no tool"),
            (group("describe = { \"a/x\" = \"\" }"), "this is no description"),
            (
                format!("{two}rename = {{ \"a/x\" = \"m\" }}\n[groups.g.rename]\n\"a/x\" = \"n\"\n{held}"),
                "groups `g` and `h` rename `a/x` to different names",
            ),
            (
                format!("{two}rename = {{ \"b/x\" = \"n\" }}\n[groups.g.rename]\n\"a/x\" = \"n\"\n{held}"),
                "groups `g` and `h` give `a/x` and `b/x` the same name `n`",
            ),
            (
                format!("{two}describe = {{ \"a/x\" = \"n\" }}\n[groups.g.describe]\n\"a/x\" = \"m\"\n{held}"),
                "groups `g` and `h` describe `a/x` in different words",
            ),
            (key("k", "groups = [\"nosuch\"]"), "no group is called `nosuch`"),
            ("[teams.t]\ngroups = [\"nosuch\"]\n".into(), "no group is called `nosuch`"),
            ("[groups.UP]\ntools = [\"a/*\"]\n".into(), "this name cannot be used"),
            ("[groups.g]\ntools = [\"c/*\"]\n".into(), "no server is called `c`"),
        ];
        for (text, expected) in cases {
            let told = compile(&text).expect_err("bad");
            assert!(told.contains(expected), "{expected} is not in:\n{told}\n{text}");
        }
    }
}
