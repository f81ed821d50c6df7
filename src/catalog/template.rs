//! Whether a URI may have come from a template (RFC 6570, levels 1 to 3). Only to find the server that owns a URI: what
//! is matched grants nothing, and where a form is not known nothing is matched.

use crate::base::limits::{TEMPLATE_EXPRESSIONS_MAX, TEMPLATE_MAX};

/// A template, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UriTemplate(Box<[Part]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Text that stands in the URI as it is.
    Literal(Box<str>),
    /// What an expression may become: nothing if `optional`, else `first` if there is one and at least one of `class`.
    Run { first: Option<u8>, class: Class, optional: bool },
}

/// The characters an expression may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// All but `/`, `?` and `#`.
    Segment,
    /// All but `?` and `#`.
    Path,
    /// All but `#`.
    Query,
    /// All.
    Any,
}

impl Class {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Segment => !matches!(byte, b'/' | b'?' | b'#'),
            Self::Path => !matches!(byte, b'?' | b'#'),
            Self::Query => byte != b'#',
            Self::Any => true,
        }
    }
}

impl UriTemplate {
    /// Takes a template apart; nothing where it is too long, has too many expressions, or one of a form that we do not
    /// know.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (expression, behind) = after.split_once('}')?;
            push_literal(&mut parts, literal)?;
            parts.push(expression_of(expression)?);
            rest = behind;
        }
        push_literal(&mut parts, rest)?;
        let runs = parts.iter().filter(|part| matches!(part, Part::Run { .. })).count();
        (text.len() <= TEMPLATE_MAX && runs <= TEMPLATE_EXPRESSIONS_MAX).then(|| Self(parts.into()))
    }

    /// Whether the whole URI may have come from the template. Every byte looked at is taken from `work`; where that is
    /// used up, nothing matches.
    ///
    /// Holds all places in the URI that the parts so far can reach, so that no part is tried twice at one place.
    pub(super) fn matches(&self, uri: &str, work: &mut usize) -> bool {
        let uri = uri.as_bytes();
        if !self.starts(uri, work) {
            return false;
        }
        let mut reached = vec![false; uri.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            let step = match part {
                Part::Literal(text) => after_literal(&reached, uri, text.as_bytes(), work),
                Part::Run { first, class, optional } => after_run(&reached, uri, (*first, *class, *optional), work),
            };
            match step {
                Some(next) if next.contains(&true) => reached = next,
                _ => return false,
            }
        }
        reached[uri.len()]
    }

    /// Most URIs fail here, at the price of one comparison.
    fn starts(&self, uri: &[u8], work: &mut usize) -> bool {
        match self.0.first() {
            Some(Part::Literal(text)) => spend(work, text.len()) && uri.starts_with(text.as_bytes()),
            _ => true,
        }
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) -> Option<()> {
    if text.contains('}') {
        return None;
    }
    if !text.is_empty() {
        parts.push(Part::Literal(text.into()));
    }
    Some(())
}

/// What an expression may become (RFC 6570 section 3.2). Values are never looked into: more names, or a value that is
/// exploded, only widen what may stand there.
fn expression_of(text: &str) -> Option<Part> {
    let operator = text.chars().next().filter(|first| "+#./;?&".contains(*first));
    let names = &text[operator.map_or(0, char::len_utf8)..];
    let sane = |name: &str| {
        let name = name.strip_suffix('*').unwrap_or(name);
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.%-".contains(&byte))
    };
    if !names.split(',').all(sane) {
        return None;
    }
    let several = names.contains([',', '*']);
    let run = |first: Option<u8>, class, optional| Some(Part::Run { first, class, optional });
    match operator {
        None => run(None, Class::Segment, false),
        Some('+') => run(None, Class::Any, false),
        Some('#') => run(Some(b'#'), Class::Any, true),
        Some('/') => run(Some(b'/'), if several { Class::Path } else { Class::Segment }, true),
        Some('?') => run(Some(b'?'), Class::Query, true),
        Some('&') => run(Some(b'&'), Class::Query, true),
        Some(first) => run(u8::try_from(first).ok(), Class::Segment, true),
    }
}

/// Takes from what is left; false where that is not enough.
fn spend(work: &mut usize, bytes: usize) -> bool {
    let left = work.checked_sub(bytes);
    *work = left.unwrap_or(0);
    left.is_some()
}

fn after_literal(reached: &[bool], uri: &[u8], text: &[u8], work: &mut usize) -> Option<Vec<bool>> {
    let mut next = vec![false; reached.len()];
    for from in (0..reached.len()).filter(|from| reached[*from]) {
        if !spend(work, text.len() + 1) {
            return None;
        }
        if uri[from..].starts_with(text) {
            next[from + text.len()] = true;
        }
    }
    Some(next)
}

fn after_run(
    reached: &[bool],
    uri: &[u8],
    (first, class, optional): (Option<u8>, Class, bool),
    work: &mut usize,
) -> Option<Vec<bool>> {
    if !spend(work, reached.len()) {
        return None;
    }
    let mut next = if optional { reached.to_vec() } else { vec![false; reached.len()] };
    // Whether the run has begun before this byte, and whether it has taken a byte of its class.
    let mut begun = false;
    for (at, byte) in uri.iter().enumerate() {
        let goes_on = begun && class.has(*byte);
        match first {
            None => begun = (reached[at] || begun) && class.has(*byte),
            Some(first) => begun = goes_on || reached[at] && *byte == first,
        }
        let took = if first.is_some() { goes_on } else { begun };
        next[at + 1] |= took;
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(template: &str, uri: &str) -> bool {
        UriTemplate::parse(template).is_some_and(|template| template.matches(uri, &mut 1_000_000))
    }

    #[test]
    fn simple_expressions_are_matched() {
        let cases = [
            ("test://template/{id}/data", "test://template/123/data", true),
            ("test://template/{id}/data", "test://template//data", false),
            ("test://template/{id}/data", "test://template/1/2/data", false),
            ("test://template/{id}/data", "test://template/1/datax", false),
            ("test://template/{id}/data", "xtest://template/1/data", false),
            ("file://{+path}", "file:///a/b?c#d", true),
            ("file://{+path}", "file://", false),
            ("a://h{/x}", "a://h", true),
            ("a://h{/x}", "a://h/v", true),
            ("a://h{/x}", "a://h/", false),
            ("a://h{/x}", "a://h/v/w", false),
            ("a://h{/x,y}", "a://h/v/w", true),
            ("a://h{/x*}", "a://h/v/w", true),
            ("a://h{?q,r}", "a://h?q=1&r=2", true),
            ("a://h{?q}", "a://h", true),
            ("a://h{?q}", "a://h?q=1#f", false),
            ("a://h?z=1{&q}", "a://h?z=1&q=2", true),
            ("a://h{#f}", "a://h#f", true),
            ("a://{x}.{y}", "a://b.c.d", true),
            ("a://{x}{y}", "a://b", false),
            ("a://{x}{y}", "a://bc", true),
            ("{+x}", "anything at all", true),
            ("a://plain", "a://plain", true),
            ("a://{name}", "a://John Doe", true),
            ("a://{name:3}", "a://Joh", true),
        ];
        for (template, uri, expected) in cases {
            assert_eq!(matches(template, uri), expected, "{template} {uri}");
        }
    }

    #[test]
    fn what_is_no_template_matches_nothing() {
        let many = "{a}".repeat(TEMPLATE_EXPRESSIONS_MAX + 1);
        for bad in ["{", "a}", "{}", "{a{b}}", "{!x}", "{a b}", "{a,}", "{é}", &many, &"x".repeat(TEMPLATE_MAX + 1)] {
            assert!(UriTemplate::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_work_is_bounded() {
        let template = UriTemplate::parse(&format!("{{+x}}{}{{+y}}", "a".repeat(500))).unwrap();
        let uri = "a".repeat(4000);
        assert!(template.matches(&uri, &mut 10_000_000));
        let mut work = 1000;
        assert!(!template.matches(&uri, &mut work));
        assert_eq!(work, 0);
    }

    /// The plain definition, by trying every length of every run.
    fn slow(parts: &[Part], uri: &[u8]) -> bool {
        match parts.split_first() {
            None => uri.is_empty(),
            Some((Part::Literal(text), rest)) => {
                uri.strip_prefix(text.as_bytes()).is_some_and(|behind| slow(rest, behind))
            }
            Some((Part::Run { first, class, optional }, rest)) => {
                let body = match first {
                    None => Some(uri),
                    Some(first) => uri.strip_prefix(std::slice::from_ref(first)),
                };
                let runs = |body: &[u8]| {
                    (1..=body.len()).any(|len| body[..len].iter().all(|b| class.has(*b)) && slow(rest, &body[len..]))
                };
                *optional && slow(rest, uri) || body.is_some_and(runs)
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn matching_is_its_definition(
            template in "(a|/|\\{x\\}|\\{\\+x\\}|\\{/x\\}|\\{/x\\*\\}|\\{\\?x\\}|\\{#x\\}){0,6}",
            uri in "[a/?#]{0,8}",
        ) {
            let template = UriTemplate::parse(&template).unwrap();
            prop_assert_eq!(template.matches(&uri, &mut 1_000_000), slow(&template.0, uri.as_bytes()));
        }

        #[test]
        fn any_text_is_taken_or_refused(template in "\\PC{0,60}|[a{}+/,*:]{0,20}", uri in "\\PC{0,60}") {
            let _ = matches(&template, &uri);
        }
    }
}
