//! What tools cost, as written: amounts that are exact, one thing at most that is counted.

use super::keys::{Home, patterns};
use super::levels::check_count;
use crate::catalog::{Pattern, Sort};
use crate::config::document::Step;
use crate::config::file::{Config, ToolPrice};
use crate::config::notes::Notes;
use crate::policy::{Measure, Metered, Money, Pointer, Price};
use std::sync::Arc;

/// The prices of a configuration file.
pub(super) fn compile(written: &Config, notes: &mut Notes<'_>) -> Vec<(Box<[Pattern]>, Arc<Price>)> {
    check_count("tool_prices", written.tool_prices.len(), notes);
    let mut out = Vec::new();
    for (at, price) in written.tool_prices.iter().enumerate() {
        let parent = [Step::Key("tool_prices"), Step::Index(at)];
        let tools = patterns(&price.tools, (Sort::Tools, "tools", &parent), written, Home::Config, notes);
        if tools.is_empty() && price.tools.is_empty() {
            notes.error(&parent, "the price is of no tool", "give it `tools`");
        }
        if let Some(price) = one(price, &parent, notes) {
            out.push((tools.into(), Arc::new(price)));
        }
    }
    out
}

fn one(written: &ToolPrice, parent: &[Step<'_>; 2], notes: &mut Notes<'_>) -> Option<Price> {
    let fixed = amount(written.price.as_ref(), "price", parent, notes);
    let measures = [
        written.argument.as_ref().map(|text| pointer(text, "argument", parent, notes).map(Measure::Argument)),
        written.result_bytes.then_some(Some(Measure::ResultBytes)),
        written
            .result_field
            .as_ref()
            .map(|text| pointer(text, "result_field", parent, notes).map(Measure::ResultField)),
    ];
    let mut counted = measures.into_iter().flatten();
    let (first, is_one) = (counted.next(), counted.next().is_none());
    if !is_one {
        let help = "keep one of `argument`, `result_bytes` and `result_field`";
        notes.error(parent, "a price counts one thing at most", help);
        return None;
    }
    let (each, max) =
        (amount(written.each.as_ref(), "each", parent, notes), amount(written.max.as_ref(), "max", parent, notes));
    let Some(by) = first else {
        if written.each.is_some() || written.max.is_some() || written.per.is_some() {
            let help = "add `argument`, `result_bytes` or `result_field`, or keep `price` alone";
            notes.error(parent, "nothing is counted here that `each`, `per` or `max` could be for", help);
        } else if fixed.is_none() && written.price.is_none() {
            notes.error(parent, "there is no price here", "add `price = \"0.002\"`");
        }
        return Some(Price { fixed: fixed?, metered: None });
    };
    if written.each.is_none() || written.max.is_none() {
        let help = "what is counted has a price (`each`), and a call has a highest one (`max`)";
        notes.error(parent, "`each` and `max` must both be said here", help);
    }
    let fixed = fixed.unwrap_or_default();
    if max.is_some_and(|max| max < fixed) {
        notes.error(&[parent[0], parent[1], "max".into()], "this is less than `price`", "raise it");
    }
    Some(Price { fixed, metered: Some(Metered { by: by?, each: each?, per: written.per.unwrap_or(1), max: max? }) })
}

fn amount(text: Option<&String>, field: &'static str, parent: &[Step<'_>; 2], notes: &mut Notes<'_>) -> Option<Money> {
    let text = text?;
    let read = Money::parse(text);
    if read.is_none() {
        let help = "dollars with up to six digits behind the point, in quotes: `0.002`";
        notes.error(&[parent[0], parent[1], field.into()], "this is not an amount", help);
    }
    read
}

fn pointer(text: &str, field: &'static str, parent: &[Step<'_>; 2], notes: &mut Notes<'_>) -> Option<Pointer> {
    let read = Pointer::parse(text);
    if read.is_none() {
        let help = "a JSON pointer, such as `/count` or `/structuredContent/usage/cost`";
        notes.error(&[parent[0], parent[1], field.into()], "this points nowhere", help);
    }
    read
}

#[cfg(test)]
mod tests {
    use crate::config::{Compiled, Lookup, Purpose};
    use std::path::Path;

    fn compile(prices: &str) -> Result<Vec<String>, String> {
        let text = format!("state.directory = \"s\"\n[servers.a]\nurl = \"http://h\"\n[[tool_prices]]\n{prices}");
        let dir = tempfile::tempdir().expect("dir");
        let compiled =
            Compiled::from_text(Path::new("t"), &text, &Lookup::fixed(&[], None, dir.path()), Purpose::Check);
        let shown = |compiled: Compiled| compiled.levels.prices.iter().map(|(_, price)| price.to_string()).collect();
        compiled.map(shown).map_err(|report| report.lines().join("\n"))
    }

    #[test]
    fn prices_read_as_they_are_meant() {
        let cases = [
            ("price = \"0.002\"", "0.002"),
            ("argument = \"/n\"\neach = \"0.04\"\nmax = \"0.4\"", "0.04 for each of argument /n, 0.40 at most"),
            (
                "price = \"0.001\"\nresult_bytes = true\neach = \"0.0001\"\nper = 1024\nmax = \"1\"",
                "0.001 and 0.0001 for each 1024 bytes of the result, 1.00 at most",
            ),
            (
                "result_field = \"/u/cost\"\neach = \"1\"\nmax = \"2\"",
                "1.00 for each of /u/cost in the result, 2.00 at most",
            ),
        ];
        for (price, shown) in cases {
            assert_eq!(compile(&format!("tools = [\"a/*\"]\n{price}")), Ok(vec![shown.to_owned()]), "{price}");
        }
    }

    #[test]
    fn what_is_no_price_is_told_with_its_place() {
        let cases = [
            ("", "there is no price here"),
            ("price = \"free\"", "t:6:9: error: this is not an amount"),
            ("price = \"0.0000001\"", "this is not an amount"),
            ("price = \"1\"\nmax = \"2\"", "nothing is counted here"),
            ("argument = \"/n\"\nresult_bytes = true\neach = \"1\"\nmax = \"2\"", "counts one thing at most"),
            ("argument = \"/n\"\neach = \"1\"", "`each` and `max` must both be said"),
            ("argument = \"n\"\neach = \"1\"\nmax = \"1\"", "this points nowhere"),
            ("price = \"3\"\nresult_bytes = true\neach = \"1\"\nmax = \"2\"", "this is less than `price`"),
        ];
        for (price, words) in cases {
            let shown = compile(&format!("tools = [\"a/*\"]\n{price}")).expect_err(price);
            assert!(shown.contains(words), "{price}: {shown}");
        }
        assert!(compile("price = \"1\"").expect_err("no tool").contains("the price is of no tool"));
    }

    #[test]
    fn budgets_read_as_they_are_meant() {
        let compile = |budgets: &str| compile(&format!("tools = [\"a/*\"]\nprice = \"1\"\n[teams.t]\n{budgets}"));
        assert!(compile("budgets = [\"5.00/day\", \"0/month\"]\ntime_zone = \"Europe/Berlin\"").is_ok());
        let cases = [
            ("budgets = [\"5.00\"]", "t:8:12: error: this is not a budget"),
            ("budgets = [\"5/second\"]", "this is not a budget"),
            ("budgets = [\"5/day\", \"6/day\"]", "there is a budget for each day already"),
            ("budgets = [\"5/day\"]\ntime_zone = \"Mars\"", "no time zone is called `Mars`"),
            ("time_zone = \"UTC\"", "there are no `budgets` here"),
        ];
        for (budgets, words) in cases {
            let shown = compile(budgets).expect_err(budgets);
            assert!(shown.contains(words), "{budgets}: {shown}");
        }
    }
}
