//! Servers that want tokens: a fake one with its authorization server, and the person who allows the gate there.

use crate::gate::{ANYONE, Home, Process, binary, eventually};
use crate::http;
use crate::mcp::Client;
use crate::oauth_fake::{CANARY, Fake};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::thread::scope;
use std::time::Duration;

/// Longest wait for a server to be listed.
const LISTED: Duration = Duration::from_secs(20);

fn home(fake: &Fake, oauth: &str) -> Home {
    let url = fake.url();
    Home::new(&format!("{ANYONE}[servers.api]\nurl = \"{url}\"\n[servers.api.oauth]\n{oauth}"))
}

/// Runs `tollgate authorize`, and does in the browser what a person does. Gives whether it worked and what it said.
fn authorize(home: &Home) -> (bool, String) {
    let mut command = Command::new(binary());
    command.args(["authorize", "api", "--config"]).arg(home.config()).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut page = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut page).unwrap();
    if !page.is_empty() {
        let to = visit(page.trim());
        visit(&to);
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().success(), said)
}

/// Opens a page; where it leads on to, or nothing.
fn visit(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("no page: {url}"));
    let (host, path) = rest.split_once('/').unwrap();
    let answer = http::get(host.parse().unwrap(), &format!("/{path}"));
    answer.header("location").unwrap_or_default().to_owned()
}

fn call(home: &Home) -> Value {
    Client::new(home.listen).call("api__read", json!({})).answer()
}

fn wait_until_listed(home: &Home) {
    let client = Client::new(home.listen);
    eventually("the server is listed", LISTED, || !client.tools().is_empty());
}

/// A gate that was allowed at the fake.
fn authorized<'a>(home: &'a Home, fake: &Fake) -> Process<'a> {
    let gate = home.start();
    let (worked, said) = authorize(home);
    assert!(worked, "{said}");
    wait_until_listed(home);
    assert_eq!(fake.counts.codes.load(Relaxed), 1);
    gate
}

fn is_answered(answer: &Value) -> bool {
    answer["result"]["content"].is_array()
}

#[test]
fn a_person_allows_the_gate_once_and_a_killed_one_needs_nobody() {
    let fake = Fake::start();
    let home = home(&fake, "");
    let gate = home.start();
    eventually("the gate says what to do", LISTED, || home.log_tail().contains("run `tollgate authorize api`"));
    let (worked, said) = authorize(&home);
    assert!(worked && said.contains("takes the token up"), "{said}");
    wait_until_listed(&home);
    assert!(is_answered(&call(&home)), "{}", call(&home));
    gate.kill();
    let gate = home.start();
    wait_until_listed(&home);
    assert!(is_answered(&call(&home)), "{}", call(&home));
    assert_eq!(fake.counts.codes.load(Relaxed), 1, "nobody was asked again");
    assert_eq!(fake.counts.registrations.load(Relaxed), 1);
    gate.stop();
}

#[test]
fn a_token_that_has_ended_is_renewed_once_for_all_calls() {
    let fake = Fake::start();
    let home = home(&fake, "");
    let gate = authorized(&home, &fake);
    fake.end_tokens();
    let answers: Vec<Value> = scope(|scope| {
        #[allow(clippy::needless_collect, reason = "all of them are started before one is waited for")]
        let callers: Vec<_> = (0..24).map(|_| scope.spawn(|| call(&home))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(answers.iter().all(is_answered), "{answers:?}");
    assert_eq!(fake.counts.refreshes.load(Relaxed), 1);
    // The refresh token was another's afterwards, and that one was kept.
    gate.kill();
    fake.end_tokens();
    let gate = home.start();
    eventually("the next one is used", LISTED, || is_answered(&call(&home)));
    assert_eq!((fake.counts.refreshes.load(Relaxed), fake.counts.codes.load(Relaxed)), (2, 1));
    gate.stop();
}

#[test]
fn a_gate_that_is_no_longer_allowed_says_what_to_do() {
    let fake = Fake::start();
    let home = home(&fake, "");
    let gate = authorized(&home, &fake);
    fake.revoke();
    let refused = call(&home)["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(refused.contains("invalid_grant") && refused.contains("run `tollgate authorize api`"), "{refused}");
    let asked = fake.counts.refreshes.load(Relaxed);
    let again = call(&home)["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(again.contains("tollgate authorize api"), "{again}");
    assert_eq!(fake.counts.refreshes.load(Relaxed), asked, "nobody is asked in vain");
    let (worked, said) = authorize(&home);
    assert!(worked, "{said}");
    eventually("it is allowed again", LISTED, || is_answered(&call(&home)));
    gate.stop();
}

#[test]
fn an_answer_of_another_issuer_is_refused() {
    let fake = Fake::start();
    let home = home(&fake, "");
    let gate = home.start();
    fake.lie_about_issuer();
    let (worked, said) = authorize(&home);
    assert!(!worked && said.contains("another issuer, https://evil.example"), "{said}");
    assert_eq!(fake.counts.codes.load(Relaxed), 0, "the code was shown to nobody");
    let pinned = format!(
        "{ANYONE}[servers.api]\nurl = \"{}\"\n[servers.api.oauth]\nissuer = \"https://as.example\"\n",
        fake.url()
    );
    home.configure(&pinned);
    let (worked, said) = authorize(&home);
    assert!(!worked && said.contains("`oauth.issuer` is https://as.example"), "{said}");
    gate.stop();
}

#[test]
fn a_gate_with_credentials_of_its_own_needs_nobody() {
    let fake = Fake::start();
    let secret = format!("grant = \"client_credentials\"\nclient_id = \"gate\"\nclient_secret = \"{CANARY}-secret\"\n");
    let home = home(&fake, &format!("{secret}issuer = \"{}\"\n", fake.issuer()));
    let gate = home.start();
    wait_until_listed(&home);
    assert!(is_answered(&call(&home)));
    fake.end_tokens();
    assert!(is_answered(&call(&home)), "another is asked for at once");
    assert_eq!(fake.counts.own.load(Relaxed), 2);
    let (worked, said) = authorize(&home);
    assert!(!worked && said.contains("needs no person"), "{said}");
    gate.stop();
}

/// Files below a folder that hold a word, outside the folder of tokens.
fn files_with(folder: &Path, word: &str) -> String {
    let mut grep = Command::new("grep");
    let output = grep.args(["-rlF", "--exclude-dir=oauth", word]).arg(folder).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tokens_are_in_their_own_file_and_nowhere_else() {
    let fake = Fake::start();
    let home = home(&fake, "");
    let gate = authorized(&home, &fake);
    fake.end_tokens();
    assert!(is_answered(&call(&home)));
    fake.revoke();
    let refused = call(&home).to_string();
    let metrics = http::get(home.admin, "/metrics").text();
    let journal = home.run_well(&["audit", "show", "--json"]);
    let checked = home.run_well(&["check"]);
    for (what, text) in [("answer", &refused), ("metrics", &metrics), ("journal", &journal), ("check", &checked)] {
        assert!(!text.contains(CANARY), "{what}: {text}");
    }
    gate.stop();
    let kept = home.path().join("state/oauth/api.json");
    assert!(std::fs::read_to_string(&kept).unwrap().contains(CANARY));
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files_with(home.path(), CANARY), "", "log, journal and all else");
    assert!(files_with(home.path(), "api").contains("gate.log"), "what is there is found");
}
