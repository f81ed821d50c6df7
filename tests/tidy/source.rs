//! The tree as the rules see it: files, their tokens with lines, their functions, and which lines are tests.

use crate::lengths::{self, Function};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use syn::spanned::Spanned;

/// One broken rule at one place.
pub(crate) struct Finding {
    /// Path below the repository's root.
    pub(crate) path: String,
    /// Line, counted from 1.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

/// One token with its line; delimiters are tokens of their own.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// One Rust file.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    /// Every function outside test items.
    pub(crate) functions: Vec<Function>,
    /// Files and folders declared as `#[cfg(test)] mod name;`.
    test_modules: Vec<PathBuf>,
    /// First and last line of everything under `#[cfg(test)]` or `#[test]`.
    pub(crate) test_spans: Vec<(usize, usize)>,
    /// The whole file is tests.
    pub(crate) is_test: bool,
}

impl Source {
    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.is_test || self.test_spans.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }

    /// Adds a finding unless the line is a test's.
    pub(crate) fn find(&self, findings: &mut Vec<Finding>, line: usize, what: impl Into<String>) {
        if !self.is_test_line(line) {
            findings.push(Finding::new(&self.path, line, what));
        }
    }

    /// The folder below `src/`, or the file's own name for a file directly in it.
    pub(crate) fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file git tracks or would track, relative to the root.
pub(crate) fn tracked() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("git is needed to know which files are the project's");
    assert!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("a tracked path is not UTF-8");
    names.split('\0').filter(|name| !name.is_empty() && root().join(name).is_file()).map(str::to_owned).collect()
}

/// Every Rust file of the repository.
pub(crate) fn rust_files() -> &'static [Source] {
    static FILES: OnceLock<Vec<Source>> = OnceLock::new();
    FILES.get_or_init(|| {
        let names: Vec<String> = tracked().into_iter().filter(|name| is_rust(name)).collect();
        let mut files: Vec<Source> = names.iter().map(|name| read(name)).collect();
        let tests: HashSet<PathBuf> = files.iter().flat_map(|file| file.test_modules.clone()).collect();
        for file in &mut files {
            file.is_test |= tests.iter().any(|module| Path::new(&file.path).starts_with(module))
                || tests.contains(&PathBuf::from(&file.path));
        }
        files
    })
}

/// The files of the program itself, under `src/`.
pub(crate) fn program() -> impl Iterator<Item = &'static Source> {
    let files = rust_files().iter().filter(|file| file.path.starts_with("src/"));
    assert!(files.clone().next().is_some(), "no source found: the rules would hold nothing");
    files
}

fn is_rust(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "rs")
}

/// Reads and parses one file.
fn read(name: &str) -> Source {
    let text = std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    parse(name, text)
}

/// Parses one file's text.
pub(crate) fn parse(name: &str, text: String) -> Source {
    let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
    let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    let mut test_spans = Vec::new();
    collect_test_spans(&syntax.items, &mut test_spans);
    let is_test = name.starts_with("tests/") || name.starts_with("benches/");
    let functions = lengths::functions(&syntax);
    let test_modules = test_modules(name, &syntax);
    Source { path: name.to_owned(), text, tokens, functions, test_modules, test_spans, is_test }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                tokens.push(Token { text: open.to_owned(), line });
                flatten(group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            }
            other => tokens.push(Token { text: other.to_string(), line }),
        }
    }
}

/// Whether these attributes make an item test-only.
pub(crate) fn is_test_item(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().is_ident("test") {
            return true;
        }
        let syn::Meta::List(list) = &attribute.meta else { return false };
        attribute.path().is_ident("cfg") && {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
    })
}

fn collect_test_spans(items: &[syn::Item], spans: &mut Vec<(usize, usize)>) {
    for item in items {
        if is_test_item(attributes(item)) {
            let span = item.span();
            spans.push((span.start().line, span.end().line));
        } else if let syn::Item::Mod(syn::ItemMod { content: Some((_, inner)), .. }) = item {
            collect_test_spans(inner, spans);
        } else if let syn::Item::Impl(block) = item {
            for method in &block.items {
                if let syn::ImplItem::Fn(function) = method
                    && is_test_item(&function.attrs)
                {
                    spans.push((function.span().start().line, function.span().end().line));
                }
            }
        }
    }
}

/// An item's attributes.
pub(crate) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Files and folders that a file declares as `#[cfg(test)] mod name;`.
fn test_modules(path: &str, syntax: &syn::File) -> Vec<PathBuf> {
    let path = Path::new(path);
    let folder = match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => path.parent().unwrap_or(path).to_path_buf(),
        _ => path.with_extension(""),
    };
    let mut modules = Vec::new();
    for item in &syntax.items {
        if let syn::Item::Mod(module) = item
            && module.content.is_none()
            && is_test_item(&module.attrs)
        {
            let name = module.ident.to_string();
            modules.push(folder.join(format!("{name}.rs")));
            modules.push(folder.join(name));
        }
    }
    modules
}
