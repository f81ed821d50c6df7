//! The commands that read results, as a user runs them: what they print, what they write, and their exit codes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate-load"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_report_is_written_to_the_files_that_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (html, hgrm) = (folder.path().join("a.html"), folder.path().join("a.hgrm"));
    let (good, bad) = (fixture("good.json"), fixture("bad.json"));
    let arguments = ["report", path(&bad), "--against", path(&good), "--html", path(&html), "--hgrm", path(&hgrm)];
    let output = run(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(output.stdout, b"");
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("Against the baseline") && page.contains("Not valid."));
    assert!(std::fs::read_to_string(&hgrm).unwrap().contains("1/(1-Percentile)"));
}

#[test]
fn a_report_without_files_is_the_summary() {
    let output = run(&["report", path(&fixture("good.json"))]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), std::fs::read_to_string(fixture("good.txt")).unwrap());
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn thresholds_give_the_exit_code() {
    let (good, bad) = (fixture("good.json"), fixture("bad.json"));
    let cases = [(&good, "p99<1ms", 0), (&good, "p99<100us", 3), (&bad, "p99<1s", 4), (&good, "p98<1s", 2)];
    for (file, threshold, code) in cases {
        let output = run(&["report", path(file), "--threshold", threshold]);
        assert_eq!(output.status.code(), Some(code), "{threshold}: {}", stderr(&output));
    }
}

#[test]
fn compare_fails_where_a_rule_fires() {
    let (good, bad) = (fixture("good.json"), fixture("bad.json"));
    let output = run(&["compare", path(&good), path(&bad), "--fail-if", "p99>+5%", "--allow-invalid"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "tollgate-load: worse than allowed: p99>+5% (+38.1 %)\n");
    let output = run(&["compare", path(&good), path(&bad), "--fail-if", "p99>+50%"]);
    assert_eq!(output.status.code(), Some(1), "an invalid run passes no rule: {}", stderr(&output));
    let output = run(&["compare", path(&good), path(&good), "--fail-if", "p99>+5%", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["rules"][0]["fires"], false);
}

#[test]
fn what_is_no_run_is_refused() {
    let (good, text) = (fixture("good.json"), fixture("good.txt"));
    let cases: [&[&str]; 5] = [
        &["compare", path(&good), "/nowhere.json"],
        &["compare", path(&text), path(&good)],
        &["compare", path(&good), path(&good), "--fail-if", "p99>5"],
        &["compare", "-", "-"],
        &["plot", path(&good)],
    ];
    for arguments in cases {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
}
