//! Whole configurations, good and bad, with what is said about them.

use super::*;
use crate::base::clock::{Clock, Instant, WallTime};
use crate::config::Diff;
use crate::config::report::Level;
use crate::store::objects::{self, Expected, Outcome};
use crate::upstream::spec::TransportSpec;
use std::fmt::Write as _;

/// Compiles with `state` as the state directory's parent and a small environment.
fn compile_in(dir: &Path, text: &str) -> Result<Compiled, Report> {
    let lookup = Lookup::fixed(&[("TOKEN", "canary-env")], Some(dir), dir);
    Compiled::from_text(Path::new("t.toml"), text, &lookup, Purpose::Check)
}

fn compile(text: &str) -> Result<Compiled, Report> {
    let dir = tempfile::tempdir().expect("dir");
    compile_in(dir.path(), &format!("state.directory = \"s\"\n{text}"))
}

/// The findings of a text as `line:column level: what; help`, or of warnings where it compiles.
fn lines(text: &str) -> String {
    let report = match compile(text) {
        Ok(compiled) => compiled.warnings,
        Err(report) => report,
    };
    report.lines().iter().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "{}", line.replace("t.toml:", ""));
        out
    })
}

#[test]
fn the_example_files_compile() {
    for name in ["minimal.toml", "tollgate.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        let text = std::fs::read_to_string(&path).expect(name);
        let dir = tempfile::tempdir().expect("dir");
        let lookup = Lookup::fixed(&[], None, dir.path());
        let compiled = Compiled::from_text(&path, &text, &lookup, Purpose::Check);
        let compiled = compiled.unwrap_or_else(|report| panic!("{}", report.render(false)));
        assert!(compiled.warnings.is_empty(), "{}", compiled.warnings.render(false));
    }
}

#[test]
fn the_example_shows_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tollgate.toml");
    let text = std::fs::read_to_string(path).expect("file");
    let (written, faults) = Document::parse("t", &text).read::<Config>();
    assert_eq!(faults, []);
    assert_eq!(written, Config::default());
}

#[test]
fn what_the_example_shows_in_comments_is_valid_too() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tollgate.toml");
    let text = std::fs::read_to_string(path).expect("file");
    let is_toml = |line: &str| line.contains(" = ") || line.starts_with('[');
    let bare = |line: &str| line.trim_start_matches(['#', ' ']).to_owned();
    let lines = text.lines().filter(|line| !line.contains(':') || line.contains(" = "));
    let text: Vec<String> = lines.map(bare).filter(|line| is_toml(line)).collect();
    let (written, faults) = Document::parse("t", text.join("\n")).read::<Config>();
    assert_eq!(faults, [], "{}", text.join("\n"));
    assert_eq!((written.servers.len(), written.keys.len()), (2, 1));
    assert!(written.anonymous.is_some() && written.listen.tls.is_some());
}

#[test]
fn everything_wrong_is_said_at_once_with_carets() {
    let text = r#"[listen]
adress = "127.0.0.1:1"
address = "0.0.0.0:8080"
[runtime]
driver = "iouring"
shards = 5000
[anonymous]
allow = ["*/*"]
[servers.GitHub]
url = "ftp://x"
[servers.a]
url = "http://127.0.0.1:1/mcp"
headers = { authorization = "Bearer canary", host = "x" }
command = "sh"
[servers.b]
command = "bin/tool"
call_timeout_ms = "fast"
[[keys]]
id = "a"
mac = "canary"
allow = ["github", "guthub/*", "a/*"]
"#;
    let report = compile(text).expect_err("bad");
    let shown = report.render(false).replace("t.toml", "T");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/compile/golden/everything.txt");
    if std::env::var_os("TOLLGATE_WRITE_GOLDEN").is_some() {
        std::fs::write(golden, &shown).expect("golden");
    }
    assert_eq!(shown, std::fs::read_to_string(golden).unwrap_or_default());
    assert!(!shown.contains("canary"), "a secret is shown");
}

#[test]
fn each_mistake_has_its_words() {
    let cases = [
        (
            "[listen]\naddress = \"localhost:80\"",
            "3:11: error: this is not an address to listen on; write `127.0.0.1:80`",
        ),
        ("[listen]\naddress = \":80\"", "write `0.0.0.0:80`"),
        ("[listen]\naddress = \"10.0.0.1:80\"", "3:11: error: keys would cross the network in clear text"),
        ("[listen]\naddress = \"0.0.0.0:80\"\ninsecure_any_address = true", "no `Host` would be allowed"),
        ("[listen]\ntls = { cert = \"nope.pem\" }", "`listen.tls` has no `key`"),
        ("[listen]\nallowed_hosts = [\"a\", \"http://b\"]", "3:23: error: this is not a host"),
        ("[listen]\nallowed_origins = [\"b\"]", "3:20: error: this is not an origin"),
        ("[admin]\naddress = \"0.0.0.0:1\"", "whoever reaches this address"),
        ("[admin]\naddress = \"127.0.0.1:8080\"", "this is the address that clients connect to"),
        ("[limits]\nbody_max_bytes = 1", "3:18: error: the number is out of its range; allowed: 1024 to 1073741824"),
        ("[limits]\nbody_max_bytes = -1", "the number is out of its range"),
        ("[journal]\ncommit_ms = 99999999999999999999", "the number is out of its range"),
        (
            "[servers.a__b]\nurl = \"http://h\"",
            "2:10: error: this is not a server name; 1 to 32 of a-z, 0-9 and -, such as `a-b`",
        ),
        ("[servers.a]", "2:10: error: the server has neither `url` nor `command`"),
        ("[servers.a]\nurl = \"http://h\"\ncwd = \"/\"", "4:1: error: `cwd` goes with `command`"),
        ("[servers.a]\nurl = \"http://h\"\nextensions = [\"thing\"]", "\"thing\" has no \"/\""),
        (
            "[servers.a]\nurl = \"http://h\"\nextensions = [\"io.modelcontextprotocol/ui\"]",
            "is an extension of MCP itself",
        ),
        ("[servers.a]\nurl = \"http://h\"\nextensions = [\"a/b\", \"a/b\"]", "is there twice"),
        ("[servers.a]\nurl = \"http://u:p@h\"", "must not hold a user name"),
        ("[servers.a]\nurl = \"${env:NOPE}\"", "3:7: error: the environment has no NOPE; set it"),
        ("[servers.a]\nurl = \"https://h\"\nca_file = \"nope.pem\"", "nope.pem cannot be read"),
        ("[servers.a]\nurl = \"https://h\"\nheaders = { x = \"a\\nb\" }", "the value cannot stand in a header"),
        ("[servers.a]\nurl = \"https://h\"\nheaders = { \"a b\" = \"\" }", "this is not a header name"),
        ("[servers.a]\nurl = \"https://h\"\nheaders = { A = \"\", a = \"\" }", "this header is given twice"),
        ("[servers.a]\nurl = \"https://h\"\nheaders = { Mcp-Name = \"\" }", "the gate writes this header itself"),
        ("[servers.a]\ncommand = \"a b\"", "this is not a program's name"),
        ("[servers.a]\ncommand = \"sh\"\nenv = { \"A=B\" = \"\" }", "this is not a variable's name"),
        ("[servers.a]\ncommand = \"no-such-program\"", "3:11: warning: no program `no-such-program` is there now"),
        ("[servers.a]\nurl = \"http://h.example\"\nheaders = { x = \"y\" }", "warning: the headers cross the network"),
        ("[anonymous]\nallow = [\"a/*\"]", "3:10: error: no server is called `a`"),
        ("[[keys]]\nid = \"anonymous\"", "this is not a key's id"),
        ("[[keys]]\nid = \"A\"\nmac = \"ab\"", "this is not a key's keyed hash"),
        ("[[keys]]\nexpires = \"soon\"", "this is not a time"),
        ("[[keys]]\nid = \"a\"\n[[keys]]\nid = \"a\"", "the id is that of key 1 in this file"),
        ("keys = 5", "expected a list in brackets, found a number"),
        ("[listen\naddress = 5", "error: "),
        ("a = 1\na = 2", "duplicate key"),
        ("\u{0}", "error: "),
        ("[x]", "unknown key `x`"),
    ];
    for (text, part) in cases {
        let lines = lines(text);
        assert!(lines.contains(part), "{text}\n--- has no\n{part}\n--- in\n{lines}");
    }
}

#[test]
fn references_are_read_and_never_shown() {
    let text = r#"
[servers.a]
url = "https://h/${env:PART:-mcp}"
headers = { Authorization = "Bearer ${env:TOKEN}" }
[servers.off]
command = "${env:NOPE}"
enabled = false
"#;
    let compiled = compile(text).expect("good");
    assert_eq!(compiled.servers.len(), 1);
    let TransportSpec::Http(http) = &compiled.servers[0].transport else { panic!("http") };
    assert_eq!(&*http.url, "https://h/mcp");
    assert_eq!(http.headers, [("authorization".into(), "Bearer canary-env".into())]);
    let shown =
        format!("{compiled:?} {}", toml::to_string(&crate::config::mask::config(&compiled.written)).expect("toml"));
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn servers_keep_the_order_they_are_written_in() {
    let text = "[servers.z]\nurl = \"http://127.0.0.1\"\n[servers.a]\nurl = \"http://127.0.0.1\"\n";
    let compiled = compile(text).expect("good");
    let names: Vec<&str> = compiled.servers.iter().map(|server| &*server.name).collect();
    assert_eq!(names, ["z", "a"]);
}

const KEY: &str =
    "[[keys]]\nid = \"ID\"\nname = \"n\"\nmac = \"MAC\"\nallow = [\"gone/*\"]\nexpires = \"2020-01-01\"\n";

fn key(id: &str) -> String {
    KEY.replace("ID", id).replace("MAC", &"a0".repeat(32))
}

#[test]
fn a_stored_pattern_may_outlive_its_server_but_an_id_has_one_home() {
    let dir = tempfile::tempdir().expect("dir");
    let state = StateDir::new(dir.path().join("s"));
    state.create().expect("state");
    std::fs::write(state.keys_file(), key("a")).expect("keys");
    let compiled = compile_in(dir.path(), "state.directory = \"s\"").expect("good");
    assert_eq!(compiled.keys.len(), 1);
    assert!(compiled.warnings.lines()[0].contains("keys.toml:5:10: warning: no server is called `gone`"));
    let both = format!("state.directory = \"s\"\n{}", key("a").replace("gone/*", "*/*"));
    let report = compile_in(dir.path(), &both).expect_err("twice");
    assert!(report.lines().iter().any(|line| line.contains("key `a` is both in")), "{:?}", report.lines());
    std::fs::write(state.keys_file(), "keys = 1").expect("keys");
    let report = compile_in(dir.path(), "state.directory = \"s\"").expect_err("broken");
    assert!(report.lines()[0].contains("keys.toml:1:8: error: expected a list"), "{:?}", report.lines());
}

/// Stores keys as the file of an earlier version has them, and whatever else.
fn store(dir: &Path, keys: &str, others: &[(&str, &str, &str)]) -> StateDir {
    let state = StateDir::new(dir.join("s"));
    state.create().expect("state");
    std::fs::write(state.keys_file(), keys).expect("keys");
    let mut store = state.store().expect("store");
    for (kind, name, body) in others {
        let put = store.change(|tx| objects::put(tx, kind, name, body, Expected::Absent));
        assert_eq!(put, Ok(Outcome::Done(1)), "{name}");
    }
    state
}

#[test]
fn a_gate_does_not_serve_without_the_keys_it_cannot_read() {
    let dir = tempfile::tempdir().expect("dir");
    let text = "state.directory = \"s\"";
    let state = store(dir.path(), &key("a"), &[]);
    let first = compile_in(dir.path(), text).expect("good");
    assert_eq!(first.keys.len(), 1);
    let file = state.path().join(crate::store::STORE_FILE);
    let good = std::fs::read(&file).expect("store");
    for (wrong, words) in [(&b"\xff"[..], "is not a store of Tollgate, or damaged"), (b"", "is empty")] {
        std::fs::write(&file, wrong).expect("write");
        let looked = compile_in(dir.path(), text).expect("a look goes on");
        assert!(looked.keys.is_empty() && looked.warnings.unread_store().is_some());
        let lookup = Lookup::fixed(&[], None, dir.path());
        let refused = Compiled::from_text(Path::new("t.toml"), text, &lookup, Purpose::Serve).expect_err("no keys");
        let line = refused.lines().remove(0);
        assert!(line.contains("error: the store cannot be read") && line.contains(words), "{line}");
        assert_eq!(refused.kind(), Kind::Config);
        assert!(first.with_stored().is_err(), "the keys in use stay in use");
        assert_eq!(std::fs::read(&file).expect("kept"), wrong);
    }
    std::fs::write(&file, good).expect("write");
    assert_eq!(first.with_stored().expect("restored").keys.len(), 1);
    std::fs::write(state.keys_file(), b"\xff").expect("keys of an earlier version");
    assert!(first.with_stored().is_err(), "nor without those that it cannot take over");
}

#[test]
fn stored_teams_and_customers_bound_as_written_ones_do() {
    let dir = tempfile::tempdir().expect("dir");
    let keys = key("a") + "team = \"t\"\n" + &key("b") + "team = \"w\"\n";
    let team = ("team", "t", r#"{"customer":"c","rates":["1/day"]}"#);
    store(dir.path(), &keys, &[team, ("customer", "c", r#"{"allow":["a/*"]}"#)]);
    let servers = "[servers.gone]\nurl = \"http://h\"\n[servers.a]\nurl = \"http://h\"\n";
    let text = format!("state.directory = \"s\"\n[teams.w]\ncustomer = \"c\"\n{servers}");
    let compiled = compile_in(dir.path(), &text).expect("good");
    assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings.lines());
    let customer =
        |at: usize| compiled.keys[at].team.as_ref().and_then(|team| team.customer.clone()).expect("customer");
    assert!(Arc::ptr_eq(&customer(0), &customer(1)), "a written team may belong to a stored customer");
    assert_eq!(compiled.keys[0].team.as_ref().expect("team").allowance.rates[0].to_string(), "1/day");
}

#[test]
fn a_name_in_both_places_is_an_error_that_names_both() {
    let dir = tempfile::tempdir().expect("dir");
    store(dir.path(), "", &[("team", "t", "{}"), ("customer", "c", "{}")]);
    let report = compile_in(dir.path(), "state.directory = \"s\"\n[teams.t]\n[customers.c]\n").expect_err("both");
    for (line, at) in report.lines().iter().zip(["t.toml:2:8: error: team `t`", "t.toml:3:12: error: customer `c`"]) {
        assert!(line.contains(at) && line.contains("s/store.db"), "{line}");
    }
}

/// One object that cannot be used must neither stop the others nor be granted anything.
#[test]
fn a_stored_object_that_does_not_compile_is_left_out_alone() {
    let dir = tempfile::tempdir().expect("dir");
    let of = |id: &str, team: &str| format!("{}team = \"{team}\"\n", key(id).replace("gone", "a"));
    let keys = of("k1", "broken") + &of("k2", "orphan") + &of("k3", "below") + &of("k4", "absent") + &of("k5", "good");
    let wrong = [
        ("team", "broken", r#"{"rates":["often"]}"#),
        ("team", "orphan", r#"{"customer":"nobody"}"#),
        ("team", "below", r#"{"customer":"unread"}"#),
        ("customer", "unread", r#"{"new_field":1}"#),
        ("team", "good", "{}"),
        ("key", "k6", r#"{"id":"k6","mac":"short"}"#),
        ("key", "k7", "not json"),
    ];
    store(dir.path(), &keys, &wrong);
    let text = "state.directory = \"s\"\n[servers.a]\nurl = \"http://h\"\n";
    let compiled = compile_in(dir.path(), text).expect("the others go on");
    let sees = |key: &VirtualKey| {
        let team = key.team.as_ref().expect("team");
        team.ceilings().all(|ceiling| *ceiling == crate::catalog::Ceiling::default())
    };
    let seen: Vec<_> = compiled.keys.iter().map(|key| (key.id.as_str(), sees(key))).collect();
    assert_eq!(seen, [("k1", false), ("k2", false), ("k3", false), ("k4", false), ("k5", true)]);
    let lines = compiled.warnings.lines().join("\n");
    for words in [
        "store.db: customer `unread` does not read: unknown field `new_field`",
        "store.db: team `broken` is left out until this is mended: rates 1: this is not a rate",
        "store.db: team `orphan` is left out until this is mended: customer: no customer is called `nobody`",
        "store.db: key `k4`: team: no team is called `absent`: the key sees nothing",
        "store.db: key `k6` is left out until this is mended: mac: this is not a key's keyed hash",
        "store.db: key `k7` is left out until this is mended: key `k7` does not read",
    ] {
        assert!(lines.contains(words), "{words}\nis not in\n{lines}");
    }
}

/// A server goes that very many keys were given rights to: the reload must neither take minutes nor fill the log.
#[test]
fn many_findings_are_counted_and_errors_come_before_warnings() {
    let dir = tempfile::tempdir().expect("dir");
    let keys: String = (0..10_000).map(|at| key(&format!("k{at}"))).collect();
    store(dir.path(), &keys, &[]);
    let compiled = compile_in(dir.path(), "state.directory = \"s\"").expect("only warnings");
    let lines = compiled.warnings.lines();
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[100], "and 9900 more; mend these first");
    assert!(compiled.warnings.render(false).ends_with("and 9900 more; mend these first\n"));
    let both = format!("state.directory = \"s\"\n{}", key("k9999").replace("gone/*", "*/*"));
    let report = compile_in(dir.path(), &both).expect_err("an id has one home");
    assert_eq!(report.findings().filter(|finding| finding.level == Level::Error).count(), 1);
}

#[test]
fn what_is_stored_is_read_anew_on_its_own() {
    let dir = tempfile::tempdir().expect("dir");
    let state = store(dir.path(), "", &[]);
    let text = format!("state.directory = \"s\"\n[teams.w]\n{}team = \"w\"\n", key("own").replace("gone/*", "*/*"));
    let first = compile_in(dir.path(), &text).expect("good");
    store(dir.path(), &(key("new") + "revoked = true\n"), &[("team", "t", "{}")]);
    let second = first.with_stored().expect("keys");
    let keys: Vec<(&str, bool)> = second.keys.iter().map(|key| (key.id.as_str(), key.revoked)).collect();
    assert_eq!(keys, [("own", false), ("new", true)]);
    assert!(second.levels.teams.contains_key("t") && second.keys[0].team.is_some());
    store(dir.path(), &key("own"), &[]);
    assert!(second.with_stored().is_err(), "an id has one home");
    let deleted = state.store().expect("store").change(|tx| objects::delete(tx, "key", "own", 1));
    assert_eq!(deleted, Ok(Outcome::Done(1)));
    assert_eq!(second.with_stored().expect("keys").keys.len(), 2);
}

#[test]
fn the_state_directory_is_told_of_a_wrong_file_too() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("t.toml");
    for (text, told) in [
        ("x = 1\n[state]\ndirectory = \"s\"\n[servers.A]\n", Some(dir.path().join("s"))),
        ("x = 1", Some("/var/lib/tollgate".into())),
        ("[state]\ndirectory = 5", None),
        ("[state]\ndirectory = \"${env:TOLLGATE_NO_SUCH}\"", None),
    ] {
        std::fs::write(&path, text).expect("write");
        assert_eq!(Compiled::state_dir(&path).map(|state| state.path().to_owned()), told, "{text}");
    }
}

#[test]
fn no_secret_is_printed_for_debugging() {
    let dir = tempfile::tempdir().expect("dir");
    let text = "state.directory = \"s\"\n[servers.a]\nurl = \"http://127.0.0.1/?key=canary\"\n\
                headers = { x-api-key = \"canary\" }\n[servers.b]\ncommand = \"/bin/true\"\nargs = [\"canary\"]\n\
                env = { TOKEN = \"canary\" }\n";
    let compiled = compile_in(dir.path(), text).expect("good");
    let printed = format!("{:?} {:?} {:?}", compiled.written, compiled.servers, compiled.settings);
    assert!(printed.contains("TOKEN") && !printed.contains("canary"), "{printed}");
}

#[test]
fn what_hangs_on_the_open_listener_waits_for_a_restart() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("pem"), "").expect("pem");
    let of = |listen: &str, more: &str| {
        let text = format!("state.directory = \"s\"\n[listen]\n{listen}\n{more}");
        compile_in(dir.path(), &text).expect(listen)
    };
    let plain = of("allowed_hosts = [\"a\"]", "");
    let far = of("address = \"0.0.0.0:80\"\ninsecure_any_address = true\nallowed_hosts = [\"b\"]", "");
    let tls = of("allowed_hosts = [\"c\"]\ntls = { cert = \"pem\", key = \"pem\" }", "");
    let anyone = of("", "[anonymous]\nallow = [\"*/*\"]");
    assert_eq!(far.clone().on_listener_of(&plain).settings.listen, plain.settings.listen);
    let kept = tls.clone().on_listener_of(&plain).settings;
    assert!(kept.listen.tls.is_none() && kept.listen.hosts.allows("c"), "{kept:?}");
    assert_eq!(plain.clone().on_listener_of(&tls).settings.listen.tls, tls.settings.listen.tls);
    assert!(anyone.clone().on_listener_of(&plain).anonymous.is_some());
    assert!(anyone.on_listener_of(&far).anonymous.is_none());
}

#[test]
fn an_expired_key_is_pointed_out() {
    Clock::simulate(Instant(0), WallTime(1_790_000_000_000));
    let lines = lines(&key("a").replace("gone/*", "*/*"));
    Clock::end_simulation();
    assert!(lines.contains("7:11: warning: the key has expired"), "{lines}");
}

#[test]
fn a_secret_that_everybody_can_read_is_pointed_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("t.toml");
    let text = "state.directory = \"s\"\n[servers.a]\nurl = \"https://h\"\nheaders = { authorization = \"canary\" }\n";
    std::fs::write(&path, text).expect("write");
    for (mode, findings) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
        let compiled = Compiled::load(&path, Purpose::Check).expect("good");
        assert_eq!(compiled.warnings.findings().count(), findings, "{:?}", compiled.warnings.lines());
        assert!(compiled.warnings.findings().all(|finding| finding.level == Level::Warning));
        assert!(!compiled.warnings.render(true).contains("canary"));
    }
}

#[test]
fn looking_makes_nothing_and_serving_makes_the_pepper() {
    let dir = tempfile::tempdir().expect("dir");
    compile_in(dir.path(), "state.directory = \"s\"").expect("good");
    assert!(!dir.path().join("s").exists());
    let lookup = Lookup::fixed(&[], None, dir.path());
    let text = "state.directory = \"s\"";
    Compiled::from_text(Path::new("t.toml"), text, &lookup, Purpose::Serve).expect("good");
    assert!(dir.path().join("s/pepper").exists());
}

#[test]
fn a_missing_file_is_said_so() {
    let report = Compiled::load(Path::new("/nonexistent/t.toml"), Purpose::Check).expect_err("missing");
    assert!(report.lines()[0].contains("cannot be read"), "{:?}", report.lines());
}

#[test]
fn a_reload_says_what_it_changes() {
    let old = "[servers.a]\nurl = \"http://127.0.0.1\"\n[servers.b]\nurl = \"http://127.0.0.1\"\n";
    let new = "[listen]\naddress = \"127.0.0.1:9\"\nallowed_hosts = [\"h\"]\n[servers.b]\nurl = \"http://127.0.0.2\"\n\
               [servers.c]\nurl = \"http://127.0.0.1\"\n";
    let dir = tempfile::tempdir().expect("dir");
    let compile = |text: &str| compile_in(dir.path(), &format!("state.directory = \"s\"\n{text}")).expect("good");
    let (old, new) = (compile(old), compile(&format!("{new}{}", key("k").replace("gone/*", "*/*"))));
    let diff = Diff::between(&old, &new);
    let words = "servers added: c; servers removed: a; servers changed: b; keys added: k; settings changed: \
                 listen.allowed_hosts; needs a restart: listen.address";
    assert_eq!(diff.to_string(), words);
    assert!(Diff::between(&new, &new).is_empty());
    assert_eq!(Diff::between(&new, &new).to_string(), "nothing changed");
}

#[test]
fn arbitrary_text_never_panics() {
    let dir = tempfile::tempdir().expect("dir");
    let pieces = [
        "[servers.a]\n",
        "[[keys]]\n",
        "url = ",
        "\"${env:",
        "}\"",
        "\n",
        "allow = [\"a/*\"",
        "]",
        "headers = {",
        "}",
        "=",
        "\"",
        "x",
        "[listen]\n",
        "address = \"",
        "1e9",
        "-",
        "'''",
        "\u{0}",
        "\u{feff}",
        "é",
        "2020-01-01",
        ",",
        ".",
        "# ",
    ];
    bolero::check!().with_type::<(Vec<u8>, Vec<u8>)>().for_each(|(picks, raw)| {
        let mut text: String = picks.iter().take(64).map(|pick| pieces[usize::from(*pick) % pieces.len()]).collect();
        text.push_str(&String::from_utf8_lossy(raw));
        match compile_in(dir.path(), &text) {
            Ok(compiled) => drop(compiled.warnings.render(false)),
            Err(report) => assert!(report.has_errors() && !report.render(false).is_empty()),
        }
    });
}
