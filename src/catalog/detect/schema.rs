//! Schemas: references that lead outside, and shapes that cost more to follow than they are worth.

use super::super::canonical::Node;
use super::{Findings, Rule};
use crate::base::limits::{
    SCHEMA_DEPTH_MAX, SCHEMA_ENUM_MAX, SCHEMA_EXPANDED_MAX, SCHEMA_PARTS_MAX, SCHEMA_PATTERN_MAX,
};
use std::collections::HashMap;

/// Looks through one schema that stands at `at`.
pub(super) fn look(at: &str, schema: &Node, findings: &mut Findings) {
    let mut survey = Survey { at, root: schema, parts: 0, deepest: 0, findings };
    survey.part(schema, 0);
    if survey.deepest > SCHEMA_DEPTH_MAX || survey.parts > SCHEMA_PARTS_MAX {
        let what = format!("{} parts, {} deep", survey.parts, survey.deepest);
        survey.findings.add(Rule::SchemaBomb, at, &what, 0..0);
        return;
    }
    let mut costs = Costs { root: schema, known: HashMap::new() };
    if costs.of(schema) > SCHEMA_EXPANDED_MAX {
        survey.findings.add(Rule::SchemaBomb, at, "its references unfold without end", 0..0);
    }
}

struct Survey<'a> {
    at: &'a str,
    root: &'a Node,
    parts: usize,
    deepest: usize,
    findings: &'a mut Findings,
}

impl Survey<'_> {
    fn part(&mut self, node: &Node, depth: usize) {
        self.deepest = self.deepest.max(depth);
        match node {
            Node::Object(members) => {
                self.parts += 1;
                for (key, value) in members {
                    self.member(key, value);
                    self.part(value, depth + 1);
                }
            }
            Node::Array(items) => items.iter().for_each(|item| self.part(item, depth + 1)),
            _ => {}
        }
    }

    fn member(&mut self, key: &str, value: &Node) {
        match (key, value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Node::String(target)) if !target.starts_with('#') => {
                self.findings.add(Rule::RemoteRef, self.at, target, 0..0);
            }
            ("$ref", Node::String(target)) if resolve(self.root, target).is_none() && target.len() > 256 => {
                self.findings.add(Rule::SchemaBomb, self.at, target, 0..0);
            }
            ("enum", Node::Array(items)) if items.len() > SCHEMA_ENUM_MAX => {
                self.findings.add(Rule::SchemaBomb, self.at, &format!("an enum of {} values", items.len()), 0..0);
            }
            ("pattern", Node::String(pattern)) => self.pattern(pattern),
            ("patternProperties", Node::Object(members)) => members.iter().for_each(|(key, _)| self.pattern(key)),
            _ => {}
        }
    }

    fn pattern(&mut self, pattern: &str) {
        if pattern.len() > SCHEMA_PATTERN_MAX || explodes(pattern) {
            self.findings.add(Rule::SchemaBomb, self.at, pattern, 0..0);
        }
    }
}

/// How often a part of a pattern may be repeated by counts alone.
const COUNTED_MAX: u64 = 1_000_000;

/// What following all references costs, each part counted where it is met. One that leads back to itself is met once.
struct Costs<'a> {
    root: &'a Node,
    /// By address; nothing while it is being worked out.
    known: HashMap<*const Node, Option<u64>>,
}

impl<'a> Costs<'a> {
    fn of(&mut self, node: &'a Node) -> u64 {
        match node {
            Node::Array(items) => items.iter().fold(0, |sum: u64, item| sum.saturating_add(self.of(item))),
            Node::Object(members) => {
                let place: *const Node = node;
                if let Some(known) = self.known.get(&place) {
                    return known.unwrap_or(1);
                }
                self.known.insert(place, None);
                let mut sum = 1_u64;
                for (key, value) in members {
                    let target = value.text().filter(|_| &**key == "$ref").and_then(|text| resolve(self.root, text));
                    sum = sum.saturating_add(self.of(target.unwrap_or(value)));
                }
                self.known.insert(place, Some(sum));
                sum
            }
            _ => 0,
        }
    }
}

/// What a reference within the schema leads to (`#`, `#/a/b`).
fn resolve<'a>(root: &'a Node, target: &str) -> Option<&'a Node> {
    let pointer = target.strip_prefix('#')?;
    pointer.split('/').skip(1).try_fold(root, |node, step| match node {
        Node::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => node.member(&step.replace("~1", "/").replace("~0", "~")),
    })
}

/// Whether a pattern repeats what repeats in such a way that an engine that backtracks takes exponential time: a group
/// repeated without end in which one atom repeats without end and all others may be missing; or counts that multiply.
fn explodes(pattern: &str) -> bool {
    let mut groups: Vec<Group> = vec![Group::default()];
    let letters: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while at < letters.len() {
        let mut closed = None;
        let is_any = letters[at] == '.';
        match letters[at] {
            '\\' => at += 1,
            '[' => at = class_end(&letters, at),
            '(' => {
                groups.push(Group::default());
                at += 1;
                at += prefix(&letters[at..]);
                continue;
            }
            ')' if groups.len() > 1 => closed = groups.pop(),
            '|' => {
                if let Some(group) = groups.last_mut() {
                    group.next_branch();
                }
                at += 1;
                continue;
            }
            '^' | '$' => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let (repeats, next) = quantifier(&letters, at + 1);
        at = next;
        if closed.as_ref().is_some_and(|group| repeats.endless && group.is_loose()) {
            return true;
        }
        if let Some(group) = groups.last_mut() {
            group.take(repeats, is_any, closed.as_ref());
        }
    }
    groups.iter().any(|group| group.counted > COUNTED_MAX)
}

#[derive(Clone, Copy)]
struct Repeats {
    least: u64,
    most: u64,
    endless: bool,
}

/// What stands in a group: of each branch, how many atoms repeat without end, and how many must be there.
#[derive(Default)]
struct Group {
    endless: usize,
    must: usize,
    was_loose: bool,
    was_endless: bool,
    /// How often its most repeated part may stand, counts within counts multiplied.
    counted: u64,
}

impl Group {
    /// Any character parts nothing: what repeats before it may take it as well.
    fn take(&mut self, repeats: Repeats, is_any: bool, inner: Option<&Self>) {
        let once = repeats.least == 1 && repeats.most == 1;
        let inner_endless = inner.is_some_and(|group| group.was_endless || group.endless > 0);
        if repeats.endless || (inner_endless && once) {
            self.endless += 1;
        } else if repeats.least > 0 && !is_any {
            self.must += 1;
        }
        let most = if repeats.endless { 1 } else { repeats.most.max(1) };
        let inner = inner.map_or(1, |group| group.counted.max(1));
        self.counted = self.counted.max(most.saturating_mul(inner));
    }

    fn next_branch(&mut self) {
        self.was_loose |= self.is_loose();
        self.was_endless |= self.endless > 0;
        (self.endless, self.must) = (0, 0);
    }

    fn is_loose(&self) -> bool {
        self.was_loose || (self.endless > 0 && self.must == 0)
    }
}

fn class_end(letters: &[char], from: usize) -> usize {
    let mut at = from + 1;
    if letters.get(at) == Some(&'^') {
        at += 1;
    }
    at += 1;
    while at < letters.len() && letters[at] != ']' {
        at += 1 + usize::from(letters[at] == '\\');
    }
    at
}

/// The length of `?:`, `?=`, `?<name>` and the like.
fn prefix(letters: &[char]) -> usize {
    if letters.first() != Some(&'?') {
        return 0;
    }
    match letters.get(1) {
        Some('<') if !matches!(letters.get(2), Some('=' | '!')) => {
            letters.iter().position(|letter| *letter == '>').map_or(2, |at| at + 1)
        }
        Some('<') => 3,
        _ => 2,
    }
}

/// The quantifier at a place, and where what follows it begins.
fn quantifier(letters: &[char], at: usize) -> (Repeats, usize) {
    let lazy = |at: usize| at + usize::from(matches!(letters.get(at), Some('?' | '+')));
    let of = |least, most, endless| Repeats { least, most, endless };
    match letters.get(at) {
        Some('*') => (of(0, 1, true), lazy(at + 1)),
        Some('+') => (of(1, 1, true), lazy(at + 1)),
        Some('?') => (of(0, 1, false), lazy(at + 1)),
        Some('{') => {
            let Some(len) = letters[at..].iter().position(|letter| *letter == '}') else {
                return (of(1, 1, false), at);
            };
            let inner: String = letters[at + 1..at + len].iter().collect();
            let (least, most) = inner
                .split_once(',')
                .map_or((&*inner, Some(&*inner)), |(least, most)| (least, Some(most).filter(|most| !most.is_empty())));
            let least: u64 = least.trim().parse().unwrap_or(0);
            let endless = most.is_none();
            let most = most.and_then(|most| most.trim().parse().ok()).unwrap_or(least);
            (of(least, most, endless), lazy(at + len + 1))
        }
        _ => (of(1, 1, false), at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_explode_are_told_from_those_that_repeat_well() {
        for bad in [
            "(a+)+$",
            "^(a*)*$",
            "(.*)*x",
            "([a-z]+)*",
            r"(\w+\s?)*$",
            "((a+)+)+",
            "(x|y+)+",
            "(([a-z])+.)+[A-Z]",
            "(a{1,})+",
            "(?:a+)+",
        ] {
            assert!(explodes(bad), "{bad}");
        }
        assert!(explodes("(x{2000}){2000}"));
        for good in [
            "^([a-z0-9]+-)*[a-z0-9]+$",
            r"^\d{4}-\d{2}-\d{2}$",
            r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
            r"^(/[\w.-]+)+$",
            "(ab)+",
            r"^(\d{4}-\d{2}-\d{2}|\d{4}-\d{2}-\d{2}\.\.\d{4}-\d{2}-\d{2}|\*\.\.\d{4}-\d{2})$",
            "[()+*]+",
            r"\(a+\)+",
            "(?<year>[0-9]{4})?",
            "",
            "((",
            "a{",
            "x)+",
        ] {
            assert!(!explodes(good), "{good}");
        }
    }
}
