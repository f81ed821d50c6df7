//! Text → threshold or rule, with errors that say what would be right.

use super::{Bound, Change, Figure, Relation, Unit};

/// Relations as written; the longer ones first, so that `<=` is not read as `<`.
const RELATIONS: [(&str, Relation); 4] =
    [("<=", Relation::LessOrEqual), (">=", Relation::GreaterOrEqual), ("<", Relation::Less), (">", Relation::Greater)];

/// Units as written, what they count, and how many of that one of them is.
const UNITS: [(&str, Unit, f64); 7] = [
    ("us", Unit::Micros, 1.0),
    ("µs", Unit::Micros, 1.0),
    ("ms", Unit::Micros, 1e3),
    ("s", Unit::Micros, 1e6),
    ("%", Unit::Share, 0.01),
    ("/s", Unit::Rate, 1.0),
    ("", Unit::Count, 1.0),
];

/// A threshold on one run.
pub(super) fn bound(expression: &str) -> Result<Bound, String> {
    let (figure, relation, rest) = head(expression)?;
    let (number, written) = number(rest)?;
    if number < 0.0 {
        return Err(format!("{number} is below zero, and no figure ever is"));
    }
    let (unit, factor) = unit(figure, written)?;
    Ok(Bound { expression: compact(expression), figure, relation, number: number * factor, unit })
}

/// A rule on the change between two runs.
pub(super) fn change(expression: &str) -> Result<Change, String> {
    let (figure, relation, rest) = head(expression)?;
    let (number, written) = number(rest)?;
    if written != "%" {
        return Err(format!("a change is counted in %, for instance `{}>+5%`", figure.name()));
    }
    if !rest.starts_with(['+', '-']) && number != 0.0 {
        return Err(format!("say which way: `+{number}%` for more than before, `-{number}%` for less"));
    }
    Ok(Change { expression: compact(expression), figure, relation, number: number / 100.0 })
}

/// The figure, the relation, and what follows.
fn head(expression: &str) -> Result<(Figure, Relation, &str), String> {
    let at = expression.find(['<', '>']).ok_or("there is no <, <=, > or >= in it; write for instance `p99<2ms`")?;
    let (name, rest) = expression.split_at(at);
    let name = name.trim();
    let found = Figure::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
    let Some((figure, _)) = found else {
        let known: Vec<&str> = Figure::ALL.iter().map(|(_, name)| *name).collect();
        return Err(format!("no figure is called `{name}`; there are {}", known.join(", ")));
    };
    let relation = RELATIONS.iter().find_map(|(text, relation)| Some((*relation, rest.strip_prefix(text)?)));
    let (relation, rest) = relation.ok_or("there is no relation in it")?;
    Ok((*figure, relation, rest.trim()))
}

/// The leading number, and what follows it.
fn number(text: &str) -> Result<(f64, &str), String> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | '_');
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let number: f64 = digits
        .replace('_', "")
        .parse()
        .map_err(|_| format!("`{text}` does not begin with a number, such as 2 or 0.5"))?;
    Ok((number, rest.trim()))
}

/// What the unit counts and its factor, where the figure can be counted so.
fn unit(figure: Figure, written: &str) -> Result<(Unit, f64), String> {
    let (allowed, example): (&[Unit], _) = match figure {
        Figure::Rate => (&[Unit::Rate], "/s"),
        Figure::Errors => (&[Unit::Count, Unit::Share, Unit::Rate], "%, /s, or no unit for how many"),
        Figure::Late => (&[Unit::Count, Unit::Share], "%, or no unit for how many"),
        Figure::Cpu => (&[Unit::Micros, Unit::Share], "us, ms, s for each answer, or % of a core"),
        _ => (&[Unit::Micros], "us, ms or s"),
    };
    let found = UNITS.iter().find(|(text, unit, _)| *text == written && allowed.contains(unit));
    found.map(|(_, unit, factor)| (*unit, *factor)).ok_or_else(|| {
        let said = if written.is_empty() { "no unit".to_owned() } else { format!("`{written}`") };
        format!("`{}` is counted in {example}, not in {said}", figure.name())
    })
}

/// The expression without its blanks, as reports show it.
fn compact(expression: &str) -> String {
    expression.chars().filter(|c| !c.is_whitespace()).collect()
}
