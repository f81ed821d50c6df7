//! Tells the program which commit and profile it was built from, so that every report can say so. Without git, or
//! outside a checkout, the commit stays unknown and the build goes on.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let profile = std::env::var("PROFILE").unwrap_or_else(|_| "unknown profile".to_owned());
    println!("cargo::rustc-env=TOLLGATE_LOAD_PROFILE={profile}");
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
    // Moves with every commit and every checkout of another one.
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rustc-env=TOLLGATE_LOAD_COMMIT={commit}");
}

/// The trimmed output of a git command, where git is there and content.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
