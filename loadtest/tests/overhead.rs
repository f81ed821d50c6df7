//! A whole, very short `overhead` run: everything starts, is measured and stops; the figures mean nothing here.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use serde_json::Value;
use std::path::Path;
use std::process::Command;

const LOAD: &str = env!("CARGO_BIN_EXE_tollgate-load");

/// Makes sure that the gate's binary beside the load tool is there and of these sources.
fn build_the_gate() {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).args([
        "build",
        "--workspace",
        "--locked",
        "--bin",
        "tollgate",
    ]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
}

fn estimate(json: &Value) {
    let figure = |name: &str| json[name].as_f64().unwrap_or_else(|| panic!("{name} of {json}"));
    assert!(figure("low") <= figure("value") && figure("value") <= figure("high"), "{json}");
}

#[test]
fn a_short_run_ends_with_one_line_of_json() {
    if tollgate::rt::shard::cores().unwrap().len() < 2 {
        return;
    }
    build_the_gate();
    let mut run = Command::new(LOAD);
    run.args(["overhead", "--rounds", "2", "--duration", "500ms", "--warm-up", "200ms", "--connections", "8"]);
    let output = run.args(["--rate", "200", "--json"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = String::from_utf8(output.stdout).unwrap().trim_end().lines().last().map(str::to_owned);
    let json: Value = serde_json::from_str(&last.unwrap_or_else(|| panic!("{told}"))).unwrap();
    for target in ["relay", "gate"] {
        for figure in ["cpu_us_per_call", "added_p50_us", "added_p90_us", "added_p99_us", "added_p999_us"] {
            assert!(json[target][figure].is_f64(), "{target} {figure}: {json}");
        }
        estimate(&json[target]["open_loop"]["cpu_us_per_call"]);
        estimate(&json[target]["open_loop"]["p50_us"]);
    }
    estimate(&json["direct"]["open_loop"]["rate"]);
    estimate(&json["gate"]["ratio_to_relay"]["cpu_us_per_call"]);
    assert_eq!((&json["scenario"], &json["rounds"]), (&"call".into(), &2.into()));
    // A busy machine may well leave the client no headroom; then it says so and the exit code does too.
    assert_eq!(json["valid"].as_bool(), Some(output.status.success()));
    assert_eq!(json["reasons"].as_array().unwrap().is_empty(), output.status.success());
    assert!(told.contains("round 2 of 2"), "{told}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_starts() {
    for (args, why) in [
        (&["--scenario", "stdio"][..], "stdio"),
        (&["--scenario", "no-such"], "no-such"),
        (&["--gate", "/nowhere/tollgate"], "/nowhere/tollgate"),
        (&["--target-core", "100000"], "100000"),
        (&["--upstream", "http://192.0.2.1:80/mcp", "--gate", LOAD], "--allow-remote"),
        (&["--peer", "x=http://127.0.0.1:1/,1"], "--upstream"),
        (&["--closed", "--rate", "5"], "--rate"),
    ] {
        let output = Command::new(LOAD).arg("overhead").args(args).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(why), "{args:?}: {told}");
    }
}
