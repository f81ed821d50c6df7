//! What a head is made of: what it shares with the heads like it, and what it says of its own.

use crate::wire::http::fields::Fields;
use crate::wire::http::names::{Found, Header};
use crate::wire::http::template::{Filled, TEMPLATE_MAX, Template};
use std::fmt;
use std::rc::Rc;

/// A head that was parsed, with what follows from those of its lines that never change in the heads like it.
pub(crate) struct Known<F> {
    template: Template,
    facts: F,
}

/// One head.
pub(crate) struct Head<F> {
    known: Rc<Known<F>>,
    filled: Filled,
}

impl<F> Head<F> {
    /// A head that was parsed.
    pub(crate) fn parsed(fields: Fields, facts: F) -> Self {
        let known = Known { template: Template::new(fields), facts };
        Self { known: Rc::new(known), filled: Filled::default() }
    }

    /// The head at the front of what arrived, if it is like a known one; and its length.
    pub(crate) fn like(known: &Rc<Known<F>>, arrived: &[u8], head_max: usize) -> Option<(Self, usize)> {
        let (len, filled) = known.template.fit(arrived, head_max)?;
        Some((Self { known: known.clone(), filled }, len))
    }

    /// What to know the next head by, unless this one is too long to be kept.
    pub(crate) fn known(&self) -> Option<Rc<Known<F>>> {
        (self.text().len() <= TEMPLATE_MAX).then(|| self.known.clone())
    }

    /// What was found out about it.
    pub(crate) fn facts(&self) -> &F {
        &self.known.facts
    }

    /// The text that those facts lie in.
    pub(crate) fn text(&self) -> &str {
        self.fields().text()
    }

    /// The body's length where it is not that of the known head.
    pub(crate) fn length(&self) -> Option<u64> {
        self.filled.length()
    }

    /// The first value of a header.
    pub(crate) fn first(&self, header: Header) -> Option<&str> {
        self.fields().place(header).map(|line| self.value(line))
    }

    /// What it says under a header's name.
    pub(crate) fn find(&self, header: Header) -> Found<'_> {
        match self.first(header) {
            None => Found::Absent,
            Some(_) if self.fields().is_repeated(header) => Found::Repeated,
            Some(value) => Found::One(value),
        }
    }

    /// Every value of a header, in order.
    pub(crate) fn values(&self, header: Header) -> impl Iterator<Item = &str> {
        let lines = self.fields().lines();
        let from = self.fields().place(header).unwrap_or(lines.len());
        let same = move |line: &usize| lines[*line].header() == Some(header);
        (from..lines.len()).filter(same).map(|line| self.value(line))
    }

    /// Names and values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.fields().lines().len()).map(|line| (self.fields().name(line), self.value(line)))
    }

    /// The values of one name, compared without case.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn fields(&self) -> &Fields {
        self.known.template.fields()
    }

    fn value(&self, line: usize) -> &str {
        self.filled.value(line).unwrap_or_else(|| self.fields().value(line))
    }
}

impl<F: fmt::Debug> fmt::Debug for Head<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without its values: there are secrets among them.
        f.debug_struct("Head").field("facts", &self.known.facts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
