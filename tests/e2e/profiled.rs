//! What cargo starts in place of the compiler: a release is compiled by the profile, and nothing else is.

use std::path::PathBuf;
use std::process::Command;

/// What a build asks of the compiler for a library, but for how it is optimised.
const LIBRARY: &[&str] = &["--crate-name", "httparse", "--edition=2024", "src/lib.rs", "--crate-type", "lib"];
const RELEASE: &[&str] = &["-C", "opt-level=3", "-C", "linker-plugin-lto", "-C", "metadata=0123", "-D", "warnings"];
/// What `RELEASE` becomes, whatever cargo made of the dependencies.
const LASTING: &[&str] =
    &["-C", "opt-level=3", "-C", "linker-plugin-lto", "-C", "metadata=httparse-1.10", "-D", "warnings"];

fn packaging(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

/// The arguments that reach the compiler, where `TOLLGATE_PROFILE` is `said`.
fn reaches(given: &[&[&str]], said: Option<&str>) -> Vec<String> {
    let mut command = Command::new(packaging("rustc"));
    command.arg("printf").arg("%s\n").args(given.concat()).env_remove("TOLLGATE_PROFILE");
    command.envs([("CARGO_PKG_NAME", "httparse"), ("CARGO_PKG_VERSION_MAJOR", "1"), ("CARGO_PKG_VERSION_MINOR", "10")]);
    said.map(|word| command.env("TOLLGATE_PROFILE", word));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_release_is_compiled_by_the_profile_with_symbols_that_last() {
    let profile = packaging("gate.profdata");
    assert!(profile.is_file(), "{}", profile.display());
    let by = format!("-Cprofile-use={}", profile.display());
    let silent = "-Cllvm-args=-no-pgo-warn-mismatch";
    assert_eq!(reaches(&[LIBRARY, RELEASE], None), [LIBRARY, LASTING, &[&by, silent]].concat());
}

/// A shell that passes on only what can be a variable of its own would lose the name of the load tool's program.
#[test]
fn the_environment_reaches_the_compiler_whole() {
    let output = Command::new(packaging("rustc")).arg("env").env("CARGO_BIN_EXE_with-hyphen", "kept").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).lines().any(|line| line == "CARGO_BIN_EXE_with-hyphen=kept"));
}

#[test]
fn a_counting_release_has_the_same_symbols_and_no_profile() {
    assert_eq!(reaches(&[LIBRARY, RELEASE], Some("count")), [LIBRARY, LASTING, &["-Cprofile-generate"]].concat());
}

#[test]
fn what_is_no_release_reaches_the_compiler_as_it_is() {
    let optimised: &[&str] = &["-C", "opt-level=3", "-C", "metadata=0123", "-C", "debuginfo=line-tables-only"];
    let plain: &[&str] = &["--cfg", "feature=\"a b\"", "-C", "metadata=0123"];
    for (given, said) in [(plain, None), (optimised, None), (RELEASE, Some("off"))] {
        assert_eq!(reaches(&[LIBRARY, given], said), [LIBRARY, given].concat(), "{said:?}");
    }
}
