//! Lengths: functions, files, lines, and the median that says whether the code is made of small pieces.

use crate::source::{Finding, Source, is_test_item, root};
use std::path::Path;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Longest function, from its `fn` to its closing brace, in lines.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest file without its tests, in lines.
const FILE_LINES_MAX: usize = 400;
/// No file may pass this, ratchet or not, in lines.
const FILE_LINES_HARD_MAX: usize = 600;
/// Longest median function, in lines.
const MEDIAN_LINES_MAX: usize = 8;
/// Longest line, in characters.
const COLUMNS_MAX: usize = 120;
/// Files between the two file bounds that stood before the rule. May only shrink.
const RATCHET: &[&str] = &[];

/// One function outside tests.
pub(crate) struct Function {
    name: String,
    /// Its first line.
    line: usize,
    /// From its `fn` to its closing brace, in lines.
    length: usize,
}

#[derive(Default)]
struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, end: usize) {
        let line = signature.span().start().line;
        self.0.push(Function { name: signature.ident.to_string(), line, length: end + 1 - line });
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if !is_test_item(&item.attrs) {
            self.add(&item.sig, item.block.span().end().line);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.add(&item.sig, item.block.span().end().line);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block.span().end().line);
            visit::visit_trait_item_fn(self, item);
        }
    }
}

/// Every function of a file that is not itself marked as a test.
pub(crate) fn functions(syntax: &syn::File) -> Vec<Function> {
    let mut functions = Functions::default();
    functions.visit_file(syntax);
    functions.0
}

/// The functions that stand outside test modules.
fn own_functions(source: &Source) -> impl Iterator<Item = &Function> {
    source.functions.iter().filter(|function| !source.is_test_line(function.line))
}

/// No function is longer than the bound.
pub(crate) fn check_functions(source: &Source, findings: &mut Vec<Finding>) {
    for Function { name, line, length } in own_functions(source) {
        let (line, length) = (*line, *length);
        if length > FUNCTION_LINES_MAX {
            let what = format!("`{name}` has {length} lines; at most {FUNCTION_LINES_MAX}: name its parts");
            findings.push(Finding::new(&source.path, line, what));
        }
    }
}

/// The median over the whole program; printed, so that a rise is seen before it is an error.
pub(crate) fn check_median(program: impl Iterator<Item = &'static Source>) -> Vec<Finding> {
    let mut lengths: Vec<usize> = program.flat_map(own_functions).map(|function| function.length).collect();
    lengths.sort_unstable();
    let at = |share: usize| lengths.get(lengths.len() * share / 100).copied().unwrap_or(0);
    let median = at(50);
    println!("functions: {}, lines: median {median}, p90 {}, p99 {}", lengths.len(), at(90), at(99));
    if median <= MEDIAN_LINES_MAX {
        return Vec::new();
    }
    vec![Finding::new("src", 1, format!("the median function has {median} lines; at most {MEDIAN_LINES_MAX}"))]
}

/// Lines of a file that are not tests.
fn file_lines(source: &Source) -> usize {
    (1..=source.text.lines().count()).filter(|line| !source.is_test_line(*line)).count()
}

/// No file is longer than the bound, and the ratchet names only files that still need it.
pub(crate) fn check_files(source: &Source, findings: &mut Vec<Finding>) {
    let lines = file_lines(source);
    let is_listed = RATCHET.contains(&source.path.as_str());
    if lines > FILE_LINES_HARD_MAX {
        let what = format!("{lines} lines without tests; {FILE_LINES_HARD_MAX} is the end: split it by concern");
        findings.push(Finding::new(&source.path, 1, what));
    } else if lines > FILE_LINES_MAX && !is_listed {
        let what = format!("{lines} lines without tests; at most {FILE_LINES_MAX}: split it by concern");
        findings.push(Finding::new(&source.path, 1, what));
    } else if lines <= FILE_LINES_MAX && is_listed {
        findings.push(Finding::new(&source.path, 1, "fits again: take it off the ratchet list"));
    }
}

/// No line of a program or script is wider than the bound.
pub(crate) fn check_columns(tracked: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in tracked {
        let Ok(text) = std::fs::read_to_string(root().join(path)) else { continue };
        let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("rs" | "py" | "mjs" | "sh")) && !text.starts_with("#!") {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                findings.push(Finding::new(path, at + 1, format!("{columns} columns; at most {COLUMNS_MAX}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::parse;

    #[test]
    fn a_long_function_is_found_wherever_it_hides() {
        let body = "        work();\n".repeat(FUNCTION_LINES_MAX - 1);
        for (open, close) in [("fn f() {\n", "}\n"), ("impl X {\n    fn f() {\n", "    }\n}\n")] {
            let fits = parse("src/base/x.rs", format!("{open}{}{close}", &body[16..]));
            let mut findings = Vec::new();
            check_functions(&fits, &mut findings);
            assert_eq!(findings.len(), 0, "{open}");
            let long = parse("src/base/x.rs", format!("{open}{body}{close}"));
            check_functions(&long, &mut findings);
            assert_eq!(findings.len(), 1, "{open}");
        }
    }

    #[test]
    fn tests_do_not_count_toward_a_file() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "const _: u8 = 0;\n".repeat(FILE_LINES_MAX));
        let source = parse("src/base/x.rs", format!("//! x\n{tests}"));
        assert_eq!(file_lines(&source), 1);
        let long = parse("src/base/x.rs", "const _: u8 = 0;\n".repeat(FILE_LINES_MAX + 1));
        let mut findings = Vec::new();
        check_files(&long, &mut findings);
        assert_eq!(findings.len(), 1);
    }
}
