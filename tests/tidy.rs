//! House rules held by a machine: every finding prints as `file:line: error: …`. Run with `cargo test --test tidy`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a check that cannot read the tree has nothing to say")]

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/lengths.rs"]
mod lengths;
#[path = "tidy/ranks.rs"]
mod ranks;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use source::{Finding, Source};

/// Prints every finding and fails when there is one.
fn report(rule: &str, findings: &[Finding]) {
    for finding in findings {
        println!("{}:{}: error: {}", finding.path, finding.line, finding.what);
    }
    assert!(findings.is_empty(), "{rule}: {} findings, printed above", findings.len());
}

/// Runs one rule over every Rust file of the program.
fn over_sources(rule: &str, check: impl Fn(&Source, &mut Vec<Finding>)) {
    let mut findings = Vec::new();
    for source in source::program() {
        check(source, &mut findings);
    }
    report(rule, &findings);
}

#[test]
fn modules_import_lower_ranks_only() {
    over_sources("ranks", ranks::check);
}

#[test]
fn the_runtime_is_named_in_rt_only() {
    over_sources("the runtime's place", ranks::check_runtime);
}

#[test]
fn functions_are_short() {
    over_sources("function length", lengths::check_functions);
}

#[test]
fn the_median_function_is_short() {
    report("median function", &lengths::check_median(source::program()));
}

#[test]
fn files_are_short() {
    over_sources("file length", lengths::check_files);
}

#[test]
fn lines_fit() {
    report("columns", &lengths::check_columns(&source::tracked()));
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut findings = Vec::new();
    source::rust_files().iter().for_each(|source| words::check_first_line(source, &mut findings));
    report("first line", &findings);
}

#[test]
fn files_and_types_have_telling_names() {
    let mut findings = words::check_file_names(&source::tracked());
    source::program().for_each(|source| words::check_type_names(source, &mut findings));
    report("names", &findings);
}

#[test]
fn nothing_is_unwrapped_or_left_over() {
    over_sources("left over", words::check_banned_calls);
}

#[test]
fn unsafe_code_is_placed_and_argued() {
    over_sources("unsafe", words::check_unsafe);
}

#[test]
fn no_test_is_switched_off() {
    let mut findings = Vec::new();
    source::rust_files().iter().for_each(|source| words::check_ignored(source, &mut findings));
    report("ignored tests", &findings);
}

#[test]
fn tracked_files_name_no_machine_and_no_registry() {
    report("places", &words::check_places(&source::tracked()));
}

#[test]
fn every_metric_is_documented() {
    report("metrics", &documents::check_metrics());
}

#[test]
fn every_config_field_is_documented() {
    let mut findings = documents::check_config_fields();
    findings.extend(documents::check_schema());
    report("config fields", &findings);
}

#[test]
fn every_direct_dependency_has_its_line() {
    report("dependencies", &documents::check_dependencies());
}
