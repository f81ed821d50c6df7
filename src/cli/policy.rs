//! `tollgate policy test`: assertions about what keys may use, held against the configuration.

use crate::base::clock::Clock;
use crate::base::ids::KeyId;
use crate::catalog::Sort;
use crate::cli::explain::Case;
use crate::cli::known::Known;
use crate::cli::{Failure, output};
use crate::config::document::{Document, Step};
use crate::config::nearest;
use crate::config::notes::Notes;
use crate::config::report::Report;
use crate::policy::{Found, Refusal};
use crate::rt::disk;
use clap::{Args, Subcommand};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Why a test may expect a denial: the names in records.
const REASONS: [&str; 11] = [
    "missing",
    "unknown",
    "expired",
    "revoked",
    "unknown_tool",
    "not_granted",
    "held",
    "quarantined",
    "rate_limited",
    "too_many_at_once",
    "budget",
];

/// Arguments of `policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Hold the configuration against tests: `[[test]]` with name, key, tool, and expect = "allow", "hold" or "deny"
    Test {
        /// Files of tests
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// A file of tests.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tests {
    test: Vec<Test>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Test {
    name: String,
    key: String,
    tool: Option<String>,
    prompt: Option<String>,
    resource: Option<String>,
    expect: Option<Expected>,
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Hold,
    Deny,
}

/// A test that says all it must.
#[derive(Debug)]
struct Checked<'a> {
    /// Its file, counted from 0, and its place in there.
    at: (usize, usize),
    name: &'a str,
    key: KeyId,
    about: (Sort, &'a str),
    expected: Expected,
    reason: Option<&'a str>,
}

pub(crate) fn run(args: &PolicyArgs, config: &Path) -> Result<(), Failure> {
    let PolicyCommand::Test { files } = &args.command;
    let known = Known::load(config)?;
    let mut report = Report::default();
    let documents = read(files, &mut report);
    let outcome = test(&known, &documents, &mut report)?;
    if !report.is_empty() {
        output::complain(&report.render(output::stderr_has_colour()));
    }
    output::print(&outcome.text)?;
    if outcome.failed == 0 { Ok(()) } else { Err(Failure::Shown) }
}

/// What came of all tests.
#[derive(Debug)]
struct Outcome {
    /// What is printed.
    text: String,
    failed: usize,
}

/// A document with the tests in it and its number in the report.
type Read = (Document, Tests, usize);

fn read(files: &[PathBuf], report: &mut Report) -> Vec<Read> {
    let mut out = Vec::new();
    for path in files {
        let name = path.display().to_string();
        match disk::read(path) {
            Ok(text) => {
                let document = Document::parse(&name, text);
                let (tests, faults) = document.read::<Tests>();
                let index = report.add(&document, faults);
                out.push((document, tests, index));
            }
            Err(error) => report.error(format!("{name} cannot be read: {error}"), "name a file of `[[test]]` tables"),
        }
    }
    out
}

/// Holds every test; nothing is tested where any is malformed.
fn test(known: &Known, documents: &[Read], report: &mut Report) -> Result<Outcome, Failure> {
    let mut all = Vec::new();
    // What was left out for a fault of form would count as missing.
    if !report.has_errors() {
        for (at, (document, tests, index)) in documents.iter().enumerate() {
            let mut notes = Notes::new(document, report, *index);
            if tests.test.is_empty() {
                notes.error(&[], "there is no test in this file", "write `[[test]]` tables");
            }
            let checked =
                tests.test.iter().enumerate().filter_map(|(place, test)| check(test, (at, place), &mut notes));
            all.extend(checked);
        }
    }
    if report.has_errors() {
        report.sort();
        return Err(Failure::Report(std::mem::take(report)));
    }
    let (mut text, mut failed) = (String::new(), 0);
    for test in &all {
        let (document, _, index) = &documents[test.at.0];
        let case = Case::ask(known, test.key, test.about, (Clock::wall(), Clock::now()));
        if test.holds(&case) {
            test.note_if_hollow(&case, &mut Notes::new(document, report, *index));
        } else {
            failed += 1;
            text.push_str(&test.failure(&case, document));
        }
    }
    text.push_str(&format!("{} passed, {failed} failed\n", all.len() - failed));
    Ok(Outcome { text, failed })
}

/// A test as it can be held, or what is wrong with it.
fn check<'a>(test: &'a Test, at: (usize, usize), notes: &mut Notes<'_>) -> Option<Checked<'a>> {
    let field = |name| [Step::Key("test"), Step::Index(at.1), Step::Key(name)];
    let before = notes.count();
    if test.name.is_empty() {
        notes.error(&field("name"), "the test has no name", "say in `name` what it holds");
    }
    let key = KeyId::parse(&test.key);
    if key.is_none() {
        let help = "`key` is the public half of a key, 1 to 16 of a-z and 0-9, or `anonymous`";
        notes.error(&field("key"), "the test names no key", help);
    }
    let said = Sort::ALL.into_iter().zip([&test.tool, &test.prompt, &test.resource]);
    let said: Vec<_> = said.filter_map(|(sort, name)| Some((sort, name.as_deref()?))).collect();
    if said.len() != 1 {
        let what = format!("the test is about {} things", said.len());
        notes.error(&field("name"), what, "give it one of `tool`, `prompt` and `resource`");
    }
    if test.expect.is_none() {
        notes.error(&field("name"), "the test expects nothing", "write `expect = \"allow\"`, `\"hold\"` or `\"deny\"`");
    }
    if let Some(reason) = &test.reason {
        check_reason(reason, test.expect, &field("reason"), notes);
    }
    let (about, reason) = (said.first().copied(), test.reason.as_deref());
    let checked = Checked { at, name: &test.name, key: key?, about: about?, expected: test.expect?, reason };
    (notes.count() == before).then_some(checked)
}

fn check_reason(reason: &str, expected: Option<Expected>, place: &[Step<'_>], notes: &mut Notes<'_>) {
    if !REASONS.contains(&reason) {
        let help = match nearest(reason, REASONS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", REASONS.join(", ")),
        };
        notes.error(place, "nothing is denied for this reason", help);
    } else if expected.is_some_and(|expected| expected != Expected::Deny) {
        notes.error(place, "what is allowed has no reason", "remove it, or expect `deny`");
    }
}

impl Checked<'_> {
    fn holds(&self, case: &Case<'_>) -> bool {
        match (self.expected, case.explanation.denied) {
            (Expected::Allow, _) => case.explanation.verdict() == "allow",
            (Expected::Hold, _) => case.explanation.verdict() == "hold",
            (Expected::Deny, denied) => denied.is_some_and(|found| self.reason.is_none_or(|reason| reason == found)),
        }
    }

    /// Warns of a denial that holds because nothing is there: a name written wrong would never be found out.
    fn note_if_hollow(&self, case: &Case<'_>, notes: &mut Notes<'_>) {
        if self.expected != Expected::Deny || self.reason.is_some() {
            return;
        }
        let noun = self.about.0.noun();
        let why = &case.explanation;
        let (field, what) = match (why.refusal, &why.found) {
            (Some(Refusal::Unknown), _) => ("key", "no key has this id".to_owned()),
            (None, Found::Nothing | Found::Several(_)) => (noun, format!("no {noun} is known by this name")),
            _ => return,
        };
        let reason = why.denied.unwrap_or_default();
        let help = format!("mend it, or say `reason = \"{reason}\"` where that is meant");
        let place = [Step::Key("test"), Step::Index(self.at.1), Step::Key(field)];
        notes.warning(&place, format!("the test holds whatever is granted: {what}"), help);
    }

    /// What was expected, what came, and why.
    fn failure(&self, case: &Case<'_>, document: &Document) -> String {
        let line = document.line(&[Step::Key("test"), Step::Index(self.at.1), Step::Key("name")]);
        let expected = match (self.expected, self.reason) {
            (Expected::Allow, _) => "allow".to_owned(),
            (Expected::Hold, _) => "hold".to_owned(),
            (Expected::Deny, None) => "deny".to_owned(),
            (Expected::Deny, Some(reason)) => format!("deny ({reason})"),
        };
        let (name, found) = (output::tame(self.name), case.word());
        let mut out = format!("FAILED {}:{line}: {name}: expected {expected}, found {found}\n", document.name);
        let text = case.text();
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.for_each(|line| out.extend(["    ", line, "\n"]));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "state.directory = \"s\"\n[servers.a]\nurl = \"http://127.0.0.1\"\n[[keys]]\nid = \"k\"\n\
                          mac = \"a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0\"\n\
                          allow = [\"a/read\", \"a/wipe\"]\n";
    const LIST: &str = r#"{"server":"a","era":"modern","fetched_at_ms":1,"tools":[
        {"name":"read","inputSchema":{"type":"object"}},{"name":"write","inputSchema":{"type":"object"}},
        {"name":"wipe","inputSchema":{"type":"object"},"annotations":{"destructiveHint":true}}]}"#;

    /// What comes of these tests: what was printed with the warnings, or the findings.
    fn outcome(tests: &str) -> Result<(String, usize, Vec<String>), String> {
        let dir = tempfile::tempdir().unwrap();
        let (config, file) = (dir.path().join("t.toml"), dir.path().join("p.toml"));
        std::fs::create_dir_all(dir.path().join("s/lists")).unwrap();
        std::fs::write(dir.path().join("s/lists/a.json"), LIST).unwrap();
        std::fs::write(&config, CONFIG).unwrap();
        std::fs::write(&file, tests).unwrap();
        let known = Known::load(&config).unwrap();
        let mut report = Report::default();
        let documents = read(&[file], &mut report);
        let place = format!("{}/", dir.path().display());
        match test(&known, &documents, &mut report) {
            Ok(outcome) => Ok((outcome.text.replace(&place, ""), outcome.failed, report.lines())),
            Err(Failure::Report(report)) => Err(report.lines().join("\n").replace(&place, "")),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn one(more: &str) -> String {
        format!("[[test]]\nname = \"n\"\nkey = \"k\"\n{more}\n")
    }

    #[test]
    fn tests_pass_or_are_told_with_their_place() {
        let good = [
            "tool = \"a__read\"\nexpect = \"allow\"",
            "tool = \"a/wipe\"\nexpect = \"hold\"",
            "tool = \"a/write\"\nexpect = \"deny\"\nreason = \"not_granted\"",
            "tool = \"a__no\"\nexpect = \"deny\"\nreason = \"unknown_tool\"",
            "prompt = \"a/p\"\nexpect = \"deny\"\nreason = \"not_granted\"",
        ];
        let all: String = good.iter().map(|more| one(more)).collect();
        assert_eq!(outcome(&all), Ok(("5 passed, 0 failed\n".into(), 0, vec![])));
        let bad = format!(
            "{}{}{}",
            one("tool = \"a__write\"\nexpect = \"allow\""),
            one("tool = \"a__write\"\nexpect = \"deny\"\nreason = \"expired\""),
            one("tool = \"a__read\"\nexpect = \"deny\""),
        ) + &one("tool = \"a__wipe\"\nexpect = \"allow\"");
        let (text, failed, _) = outcome(&bad).unwrap();
        assert_eq!(failed, 4);
        for words in [
            "FAILED p.toml:2: n: expected allow, found deny (not_granted)\n    deny (not_granted): key k may not see",
            "    grant  no pattern in `allow` covers it",
            "FAILED p.toml:7: n: expected deny (expired), found deny (not_granted)\n",
            "FAILED p.toml:13: n: expected deny, found allow\n",
            "FAILED p.toml:18: n: expected allow, found hold\n",
        ] {
            assert!(text.contains(words), "`{words}` is not in {text}");
        }
        assert!(text.ends_with("\n0 passed, 4 failed\n"), "{text}");
    }

    #[test]
    fn a_denial_that_rests_on_nothing_is_warned_of() {
        let stray = one("tool = \"a__wirte\"\nexpect = \"deny\"");
        let nobody = stray.replace("\"k\"", "\"kk\"");
        let (text, failed, warnings) = outcome(&format!("{stray}{nobody}")).unwrap();
        assert_eq!((text.as_str(), failed, warnings.len()), ("2 passed, 0 failed\n", 0, 2));
        for (warning, words) in warnings.iter().zip([
            "p.toml:4:8: warning: the test holds whatever is granted: no tool is known by this name; mend it, or say \
             `reason = \"unknown_tool\"` where that is meant",
            "p.toml:8:7: warning: the test holds whatever is granted: no key has this id; mend it, or say \
             `reason = \"unknown\"` where that is meant",
        ]) {
            assert!(warning.ends_with(words), "{warning}");
        }
    }

    #[test]
    fn malformed_tests_are_told_all_at_once_with_their_places() {
        let cases: [(&str, &[&str]); 4] = [
            ("", &["p.toml:1:1: error: there is no test in this file"]),
            (
                "[[test]]\nname = 5\ntol = \"x\"\n",
                &["p.toml:2:8: error: expected text", "p.toml:3:1: error: unknown key"],
            ),
            (
                "[[test]]\nname = \"n\"\nkey = \"K!\"\nexpect = \"maybe\"\n",
                &["p.toml:4:10: error: unknown value `maybe`"],
            ),
            (
                "[[test]]\nkey = \"K!\"\n[[test]]\nname = \"n\"\nkey = \"k\"\ntool = \"a\"\nprompt = \"b\"\n\
                 expect = \"allow\"\nreason = \"no_grant\"\n[[test]]\nname = \"m\"\nkey = \"k\"\ntool = \"a\"\n\
                 expect = \"allow\"\nreason = \"revoked\"\n[[test]]\ntool = \"a\"\n",
                &[
                    "p.toml:1:1: error: the test has no name",
                    "p.toml:2:7: error: the test names no key",
                    "error: the test is about 0 things",
                    "error: the test expects nothing",
                    "p.toml:4:8: error: the test is about 2 things; give it one of `tool`, `prompt` and `resource`",
                    "p.toml:9:10: error: nothing is denied for this reason; did you mean `not_granted`?",
                    "p.toml:15:10: error: what is allowed has no reason",
                    "p.toml:16:1: error: the test has no name",
                ],
            ),
        ];
        for (tests, expected) in cases {
            let told = outcome(tests).unwrap_err();
            for words in expected {
                assert!(told.contains(words), "`{words}` is not in:\n{told}");
            }
        }
    }

    #[test]
    fn every_reason_that_can_be_found_can_be_expected() {
        for refusal in [Refusal::Missing, Refusal::Unknown, Refusal::Expired, Refusal::Revoked] {
            assert!(REASONS.contains(&refusal.name()));
        }
        use crate::policy::Reason;
        for reason in [Reason::UnknownTool, Reason::NotGranted, Reason::Held, Reason::Quarantined] {
            assert!(REASONS.contains(&reason.name()));
        }
    }
}
