//! Everything found in a configuration, shown at once with file, line and caret.

use crate::base::error::{Error, Kind};
use crate::base::limits::CONFIG_FINDINGS_MAX;
use crate::config::document::{Document, Fault};
use crate::config::mask;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, Severity,
    SourceCode, SourceSpan, SpanContents,
};
use std::fmt;
use std::ops::Range;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The configuration cannot be used.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: Option<String>,
    /// Which document, counted in the order they were added; none where no file is at fault.
    pub document: Option<usize>,
    /// Where in it, in bytes.
    pub span: Range<usize>,
}

/// A document as findings show it.
#[derive(Clone, Debug)]
struct Shown {
    name: String,
    /// Its text with secrets masked; made at the first finding in it, as most documents have none.
    text: Option<String>,
}

impl Shown {
    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}

/// All findings over the documents of one configuration, as many as anybody would read: [`CONFIG_FINDINGS_MAX`], errors
/// before warnings. The others are counted.
#[derive(Clone, Debug, Default)]
pub struct Report {
    documents: Vec<Shown>,
    findings: Vec<Finding>,
    unlisted: usize,
    /// Why the store could not be read.
    unread_store: Option<Kind>,
}

impl Report {
    /// Adds a document that findings may point into, with its faults of form; secrets are masked in what is shown.
    pub fn add(&mut self, document: &Document, faults: Vec<Fault>) -> usize {
        let at = self.documents.len();
        self.documents.push(Shown { name: document.name.clone(), text: None });
        for fault in faults {
            let (what, help) = crate::config::words::explain(&fault.message);
            self.show(at, document);
            self.push(Level::Error, what, help, Some(at), fault.span);
        }
        at
    }

    /// Sees to it that a document has a text to point into.
    pub(super) fn show(&mut self, at: usize, document: &Document) {
        self.documents[at].text.get_or_insert_with(|| mask::text(document));
    }

    /// Adds an error that lies in no file.
    pub fn error(&mut self, what: impl Into<String>, help: impl Into<String>) {
        self.push(Level::Error, what.into(), Some(help.into()), None, 0..0);
    }

    /// Adds a warning that lies in no file.
    pub fn warning(&mut self, what: impl Into<String>, help: impl Into<String>) {
        self.push(Level::Warning, what.into(), Some(help.into()), None, 0..0);
    }

    /// Adds that the store could not be read: an error to a gate, which must know whom to refuse, and a warning to who
    /// only looks.
    pub fn miss_store(&mut self, level: Level, error: &Error) {
        self.unread_store = Some(error.kind);
        let help = match level {
            Level::Error => "see docs/store.md; nothing was changed or removed",
            Level::Warning => "what it holds is not in what follows; run as the gate's user, and see docs/store.md",
        };
        self.push(level, format!("the store cannot be read: {error}"), Some(help.into()), None, 0..0);
    }

    /// Why the store could not be read, where it could not.
    pub fn unread_store(&self) -> Option<Kind> {
        self.unread_store
    }

    /// The kind of error that the report comes down to: what is wrong stays wrong, but a lock passes.
    pub fn kind(&self) -> Kind {
        let errors = self.findings.iter().filter(|finding| finding.level == Level::Error).count();
        self.unread_store.filter(|kind| *kind == Kind::Overloaded && errors == 1).unwrap_or(Kind::Config)
    }

    /// How much was found so far, whether it is listed or not.
    pub(super) fn count(&self) -> usize {
        self.findings.len() + self.unlisted
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Error)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// What was found and is listed, in file order, errors and warnings alike.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter()
    }

    /// The 1-based line and column of a finding, with its file's name.
    pub fn position(&self, finding: &Finding) -> Option<(&str, usize, usize)> {
        let document = self.documents.get(finding.document?)?;
        let before = document.text().get(..finding.span.start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Some((&document.name, line, column))
    }

    /// The findings in the order of the file.
    pub fn sort(&mut self) {
        self.findings.sort_by_key(|finding| (finding.document.is_none(), finding.document, finding.span.start));
    }

    /// All findings with their lines and carets, for a terminal where `colour`, else plain.
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(120).with_context_lines(1).with_links(false);
        let mut out = String::new();
        for finding in &self.findings {
            let shown = Pointed { finding, source: self.source(finding) };
            if handler.render_report(&mut out, &shown).is_err() {
                out.push_str(&finding.what);
            }
        }
        self.others().into_iter().for_each(|line| out.extend([line.as_str(), "\n"]));
        out
    }

    /// One line for each finding, without the source: `file:line:column: error: what; help`.
    pub fn lines(&self) -> Vec<String> {
        self.findings.iter().map(|finding| self.line(finding)).chain(self.others()).collect()
    }

    fn others(&self) -> Option<String> {
        (self.unlisted > 0).then(|| format!("and {} more; mend these first", self.unlisted))
    }

    fn line(&self, finding: &Finding) -> String {
        let place = match self.position(finding) {
            Some((name, line, column)) => format!("{name}:{line}:{column}: "),
            None => String::new(),
        };
        let help = finding.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
        format!("{place}{}: {}{help}", finding.level.name(), finding.what)
    }

    fn source(&self, finding: &Finding) -> Option<Lines<'_>> {
        let document = self.documents.get(finding.document?)?;
        Some(Lines { name: &document.name, text: document.text() })
    }

    pub(super) fn push(
        &mut self,
        level: Level,
        what: String,
        help: Option<String>,
        document: Option<usize>,
        span: Range<usize>,
    ) {
        let finding = Finding { level, what, help, document, span };
        if self.findings.contains(&finding) {
            return;
        }
        if self.findings.len() < CONFIG_FINDINGS_MAX {
            self.findings.push(finding);
            return;
        }
        self.unlisted += 1;
        let warning = self.findings.iter_mut().rfind(|listed| listed.level == Level::Warning);
        if let Some(listed) = warning.filter(|_| level == Level::Error) {
            *listed = finding;
        }
    }

    /// Counts a finding that would not be listed; false where it would be.
    pub(super) fn counts_only(&mut self, level: Level) -> bool {
        let is_full = self.findings.len() >= CONFIG_FINDINGS_MAX;
        let makes_room = level == Level::Error && self.findings.iter().any(|listed| listed.level == Level::Warning);
        let counted = is_full && !makes_room;
        self.unlisted += usize::from(counted);
        counted
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl From<Report> for Error {
    fn from(report: Report) -> Self {
        Self::new(report.kind(), report.lines().join("\n"))
    }
}

/// A document shown by whole lines, and no more lines than a finding touches.
#[derive(Debug)]
struct Lines<'a> {
    name: &'a str,
    text: &'a str,
}

impl SourceCode for Lines<'_> {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        // Without lines around it, only the place itself is asked for: its line and column stand above the source.
        if before == 0 && after == 0 {
            let exact = self.text.read_span(span, 0, 0)?;
            let (place, line, column) = (*exact.span(), exact.line(), exact.column());
            let name = self.name.to_owned();
            let exact = MietteSpanContents::new_named(name, exact.data(), place, line, column, exact.line_count());
            return Ok(Box::new(exact));
        }
        let at = span.offset().min(self.text.len());
        let (before, _) = self.text.split_at_checked(at).ok_or(MietteError::OutOfBounds)?;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let end = (at + span.len()).min(self.text.len());
        let rest = self.text.get(end..).ok_or(MietteError::OutOfBounds)?;
        let end = end + rest.find('\n').unwrap_or(rest.len());
        let shown = self.text.get(start..end).ok_or(MietteError::OutOfBounds)?;
        let (line, lines) = (before.matches('\n').count(), shown.matches('\n').count() + 1);
        let place = SourceSpan::new(start.into(), end - start);
        let name = self.name.to_owned();
        Ok(Box::new(MietteSpanContents::new_named(name, shown.as_bytes(), place, line, 0, lines)))
    }
}

/// A finding as miette shows it.
#[derive(Debug)]
struct Pointed<'a> {
    finding: &'a Finding,
    source: Option<Lines<'a>>,
}

impl fmt::Display for Pointed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.finding.level.name(), self.finding.what)
    }
}

impl std::error::Error for Pointed<'_> {}

impl Diagnostic for Pointed<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(match self.finding.level {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source.as_ref()?;
        let span = self.finding.span.clone();
        Some(Box::new(std::iter::once(LabeledSpan::underline(span))))
    }
}
