//! Where findings go: to a place in a document, or to a stored object, which stands in no file that people read.

use crate::config::document::{Document, Step};
use crate::config::report::{Level, Report};
use crate::config::words;
use std::ops::Range;

/// A stored object that findings are about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The store's file; nothing for an object that is not stored yet.
    pub store: Option<&'a str>,
    /// What kind it is.
    pub kind: &'static str,
    /// Its name.
    pub name: &'a str,
}

/// Where findings about one document go, or about a stored object, which has no text to point into.
pub struct Notes<'a> {
    /// The document they are about.
    pub document: &'a Document,
    report: &'a mut Report,
    index: usize,
    about: Option<About<'a>>,
    faults: usize,
}

impl<'a> Notes<'a> {
    /// Notes about the document that was added as number `index`.
    pub fn new(document: &'a Document, report: &'a mut Report, index: usize) -> Self {
        Self { document, report, index, about: None, faults: 0 }
    }

    /// Notes about an object. What is wrong with a stored one is a warning, as everything else goes on without it.
    pub fn about<'b>(&'b mut self, object: About<'b>) -> Notes<'b> {
        Notes { document: self.document, report: self.report, index: self.index, about: Some(object), faults: 0 }
    }

    /// How many of these notes were errors, whatever they are shown as.
    pub fn faults(&self) -> usize {
        self.faults
    }

    /// How much was found so far, whether it is listed or not.
    pub fn count(&self) -> usize {
        self.report.count()
    }

    /// Counts a finding of which there are too many already; false where it is still worth its words.
    pub fn counts_only(&mut self, level: Level) -> bool {
        let level = if self.is_stored() { Level::Warning } else { level };
        self.report.counts_only(level)
    }

    /// An error at the value of a path.
    pub fn error(&mut self, path: &[Step<'_>], what: impl Into<String>, help: impl Into<String>) {
        self.note(Level::Error, path, None, what.into(), help.into());
    }

    /// An error at a key of the table at `path`.
    pub fn key_error(&mut self, path: &[Step<'_>], key: &str, what: impl Into<String>, help: impl Into<String>) {
        self.note(Level::Error, path, Some(key), what.into(), help.into());
    }

    /// A warning at the value of a path.
    pub fn warning(&mut self, path: &[Step<'_>], what: impl Into<String>, help: impl Into<String>) {
        self.note(Level::Warning, path, None, what.into(), help.into());
    }

    /// An error that lies in no one place.
    pub fn refuse(&mut self, what: impl Into<String>, help: impl Into<String>) {
        self.report.error(what, help);
    }

    fn note(&mut self, level: Level, path: &[Step<'_>], key: Option<&str>, what: String, help: String) {
        self.faults += usize::from(level == Level::Error);
        if let Some(about) = self.about {
            let shown = if self.is_stored() { Level::Warning } else { level };
            let help = Some(help).filter(|help| !help.is_empty());
            return self.report.push(shown, about.words(level, path, &what), help, None, 0..0);
        }
        let span = match key {
            Some(key) => self.document.key_place(path, key),
            None => self.document.place(path),
        };
        self.push(level, what, help, span);
    }

    fn is_stored(&self) -> bool {
        self.about.is_some_and(|about| about.store.is_some())
    }

    /// An empty help is none.
    fn push(&mut self, level: Level, what: String, help: String, span: Range<usize>) {
        let help = Some(help).filter(|help| !help.is_empty());
        self.report.show(self.index, self.document);
        self.report.push(level, what, help, Some(self.index), span);
    }

    /// An error at a place already known.
    pub fn error_at(&mut self, span: Range<usize>, what: impl Into<String>, help: impl Into<String>) {
        self.push(Level::Error, what.into(), help.into(), span);
    }
}

impl About<'_> {
    /// A finding with its place in words: the path begins with the object's table and its name there.
    fn words(&self, level: Level, path: &[Step<'_>], what: &str) -> String {
        let store = self.store.map_or_else(String::new, |store| format!("{store}: "));
        let is_left_out = self.store.is_some() && level == Level::Error;
        let left_out = if is_left_out { " is left out until this is mended" } else { "" };
        let mut words = format!("{store}{} `{}`{left_out}: ", self.kind, words::visible(self.name));
        for step in path.iter().skip(2) {
            match step {
                Step::Key(name) => words.push_str(name),
                Step::Index(at) => words.push_str(&format!(" {}", at + 1)),
            }
        }
        let colon = if path.len() > 2 { ": " } else { "" };
        words + colon + what
    }
}
