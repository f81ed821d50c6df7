//! Two definitions side by side, line by line.

use crate::catalog::detect::visible;
use serde_json::Value;
use std::fmt::Write as _;

/// Characters of one side.
const WIDTH: usize = 58;
/// Lines of one side that are lined up with the other's; longer definitions stand below each other.
const LINES_MAX: usize = 2_000;

/// One line of both sides.
type Pair<'a> = (Option<&'a str>, Option<&'a str>);

/// The old definition on the left, the new one on the right, each under its title. What differs is marked: `|` for
/// another line, `<` and `>` for one that only one side has.
pub(super) fn beside(old: (&str, &[u8]), new: (&str, &[u8])) -> String {
    let (left, right) = (lines(old.1), lines(new.1));
    let mut out = format!("\n{:<WIDTH$}   {}\n", old.0, new.0);
    for (one, two) in pair(&left, &right) {
        let mark = match (one, two) {
            (Some(one), Some(two)) if one == two => ' ',
            (Some(_), Some(_)) => '|',
            (Some(_), None) => '<',
            _ => '>',
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", format!("{:<WIDTH$} {mark} {}", one.unwrap_or(""), two.unwrap_or("")).trim_end());
    }
    out
}

/// A definition as lines no longer than a side, members in the order of their names; what shows nowhere is written as
/// its code.
fn lines(definition: &[u8]) -> Vec<String> {
    let Ok(value) = serde_json::from_slice::<Value>(definition) else { return Vec::new() };
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.lines().flat_map(wrap).collect()
}

fn wrap(line: &str) -> Vec<String> {
    let letters: Vec<char> = visible(line).chars().collect();
    letters.chunks(WIDTH).map(|part| part.iter().collect()).collect()
}

/// Lines up what both sides have in common, longest first.
fn pair<'a>(left: &'a [String], right: &'a [String]) -> Vec<Pair<'a>> {
    let ends = |lines: &[String]| lines.len().min(LINES_MAX);
    let (rows, columns) = (ends(left), ends(right));
    // The most lines that the rests of both sides have in common.
    let mut common = vec![vec![0_u16; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = match left[row] == right[column] {
                true => common[row + 1][column + 1] + 1,
                false => common[row + 1][column].max(common[row][column + 1]),
            };
        }
    }
    let (mut out, mut row, mut column) = (Vec::new(), 0, 0);
    let (mut only_left, mut only_right) = (Vec::new(), Vec::new());
    while row < rows || column < columns {
        if row < rows && column < columns && left[row] == right[column] {
            flush(&mut only_left, &mut only_right, &mut out);
            out.push((Some(&*left[row]), Some(&*right[column])));
            (row, column) = (row + 1, column + 1);
        } else if column == columns || (row < rows && common[row + 1][column] >= common[row][column + 1]) {
            only_left.push(&*left[row]);
            row += 1;
        } else {
            only_right.push(&*right[column]);
            column += 1;
        }
    }
    only_left.extend(left[rows..].iter().map(String::as_str));
    only_right.extend(right[columns..].iter().map(String::as_str));
    flush(&mut only_left, &mut only_right, &mut out);
    out
}

fn flush<'a>(left: &mut Vec<&'a str>, right: &mut Vec<&'a str>, out: &mut Vec<Pair<'a>>) {
    let most = left.len().max(right.len());
    out.extend((0..most).map(|at| (left.get(at).copied(), right.get(at).copied())));
    left.clear();
    right.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_common_stands_on_one_line() {
        let text = beside(("old", br#"{"a":1,"b":2,"d":4}"#), ("new", br#"{"d":4,"a":1,"b":3,"c":"x\u202ey"}"#));
        let rows: Vec<String> =
            text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let expected = [
            "old new",
            "{ {",
            "\"a\": 1, \"a\": 1,",
            "\"b\": 2, | \"b\": 3,",
            "> \"c\": \"x<U+202E>y\",",
            "\"d\": 4 \"d\": 4",
            "} }",
        ];
        assert_eq!(rows, expected, "{text}");
    }

    #[test]
    fn nothing_on_one_side_and_lines_that_are_too_long() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(200));
        let text = beside(("nothing", b""), ("new", long.as_bytes()));
        assert!(text.lines().all(|line| line.chars().count() <= 2 * WIDTH + 3), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains('>')).count(), 6);
        let many: String = (0..3_000).map(|at| format!("\"k{at}\":1,")).collect();
        let many = format!("{{{many}\"z\":1}}");
        assert!(beside(("old", many.as_bytes()), ("new", many.as_bytes())).lines().count() > 3_000);
    }
}
