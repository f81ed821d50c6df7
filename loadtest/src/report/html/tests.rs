//! Tests of the HTML report.

use super::*;
use crate::report::sample;

/// The text of the element that begins with `open`.
fn inside<'a>(page: &'a str, open: &str, close: &str) -> &'a str {
    let start = page.find(open).unwrap_or_else(|| panic!("no {open}")) + open.len();
    &page[start..start + page[start..].find(close).unwrap()]
}

#[test]
fn texts_from_outside_break_out_of_nothing() {
    let page = page(&sample::bad(), Some(&sample::bad())).unwrap();
    assert_eq!(page.matches("<script").count(), 2, "only the two that embed the results");
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("<script>alert") && !page.contains("<b>call") && !page.contains("<i>"));
    assert!(page.contains("&#60;b&#62;call") || page.contains("&lt;b&gt;call"));
}

#[test]
fn the_embedded_json_is_the_result() {
    let outcome = sample::bad();
    let page = page(&outcome, Some(&sample::good())).unwrap();
    for (id, outcome) in [("outcome", outcome), ("baseline", sample::good())] {
        let json = inside(&page, &format!("<script type=\"application/json\" id=\"{id}\">"), "</script>");
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value, serde_json::to_value(&outcome).unwrap());
    }
}

#[test]
fn nothing_is_fetched_and_nothing_runs() {
    let page = page(&sample::good(), None).unwrap();
    for fetches in ["src=", "href=", "@import", "url(", "onload", "onclick", "<link", "<img"] {
        assert!(!page.contains(fetches), "{fetches}");
    }
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
}

#[test]
fn a_reader_without_eyes_or_colours_finds_everything() {
    let page = page(&sample::bad(), Some(&sample::good())).unwrap();
    assert_eq!(page.matches("<svg ").count(), page.matches("<desc id=").count());
    assert_eq!(page.matches("<svg ").count(), 6, "three charts, each wide and narrow");
    let ids: Vec<&str> = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    for words in ["✗ broken: <code>p99", "Not valid.", "the client was at its end", "✗ worse", "scope=\"row\""] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn thresholds_stand_on_their_card() {
    let page = page(&sample::good(), None).unwrap();
    let card = inside(&page, "<dt>p99 latency</dt>", "</div>");
    assert!(card.contains("✓ held"), "{card}");
    assert!(page.contains("Valid run."));
}

#[test]
fn a_run_without_any_answer_has_a_page() {
    let page = page(&Outcome::default(), None).unwrap();
    assert!(page.contains("Not valid.") && !page.contains("NaN"), "{page}");
}
