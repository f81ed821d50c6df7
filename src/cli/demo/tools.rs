//! The tools of the two small servers that `demo` puts behind the gate: notes kept in memory, and a calendar.

use serde_json::{Value, json};

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DemoServer {
    /// Notes kept in memory: add, list, search.
    Notes,
    /// Dates: today, and the days between two of them.
    Calendar,
}

/// Notes kept by one server; more are refused.
const NOTES_MAX: usize = 1_000;
/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 4_096;

/// What the notes server remembers while it runs.
#[derive(Default)]
pub(crate) struct Notes(Vec<String>);

impl DemoServer {
    /// The server's name in the configuration of the demo.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Notes => "notes",
            Self::Calendar => "calendar",
        }
    }

    /// The definitions it lists.
    pub(crate) fn definitions(self) -> Value {
        match self {
            Self::Notes => json!([
                tool(
                    "add_note",
                    "Add a note to the shared list.",
                    json!({"text": text("The note itself.")}),
                    &["text"],
                    false
                ),
                tool("list_notes", "List all notes, oldest first.", json!({}), &[], true),
                tool(
                    "search_notes",
                    "Find the notes that contain a word.",
                    json!({"query": text("The word to look for; case does not matter.")}),
                    &["query"],
                    true
                ),
            ]),
            Self::Calendar => json!([
                tool("today", "The current date and time, in UTC.", json!({}), &[], true),
                tool(
                    "days_between",
                    "Count the days from one date to another.",
                    json!({"from": text("First date, as 2026-01-31."), "to": text("Second date, as 2026-12-24.")}),
                    &["from", "to"],
                    true
                ),
            ]),
        }
    }

    /// Runs a tool; nothing if it has none of that name.
    pub(crate) fn call(self, notes: &mut Notes, name: &str, arguments: &Value) -> Option<Value> {
        let outcome = match (self, name) {
            (Self::Notes, "add_note") => notes.add(argument(arguments, "text")),
            (Self::Notes, "list_notes") => Ok(notes.matching("")),
            (Self::Notes, "search_notes") => argument(arguments, "query").map(|query| notes.matching(query)),
            (Self::Calendar, "today") => Ok(json!({"now": jiff::Timestamp::now().to_string()})),
            (Self::Calendar, "days_between") => days_between(arguments),
            _ => return None,
        };
        Some(match outcome {
            Ok(structured) => json!({
                "content": [{"type": "text", "text": structured.to_string()}],
                "structuredContent": structured,
                "isError": false,
            }),
            Err(sentence) => json!({"content": [{"type": "text", "text": sentence}], "isError": true}),
        })
    }
}

impl Notes {
    fn add(&mut self, text: Result<&str, String>) -> Result<Value, String> {
        let text = text?;
        if text.len() > NOTE_BYTES_MAX {
            return Err(format!("the note is longer than {NOTE_BYTES_MAX} bytes; shorten it"));
        }
        if self.0.len() >= NOTES_MAX {
            return Err(format!("there are {NOTES_MAX} notes already; restart the demo to begin anew"));
        }
        self.0.push(text.to_owned());
        Ok(json!({"number": self.0.len(), "text": text}))
    }

    fn matching(&self, query: &str) -> Value {
        let query = query.to_lowercase();
        let found: Vec<&String> = self.0.iter().filter(|note| note.to_lowercase().contains(&query)).collect();
        json!({"notes": found})
    }
}

fn tool(name: &str, description: &str, properties: Value, required: &[&str], read_only: bool) -> Value {
    json!({
        "name": name,
        "description": description,
        "inputSchema": {
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        },
        "annotations": {"readOnlyHint": read_only, "openWorldHint": false},
    })
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn argument<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, String> {
    arguments.get(name).and_then(Value::as_str).ok_or_else(|| format!("the argument `{name}` must be a string"))
}

fn days_between(arguments: &Value) -> Result<Value, String> {
    let date = |name| {
        let text = argument(arguments, name)?;
        text.parse::<jiff::civil::Date>().map_err(|_| format!("`{name}` must be a date like 2026-01-31, not `{text}`"))
    };
    let (from, to) = (date("from")?, date("to")?);
    let span = from.until(to).map_err(|error| error.to_string())?;
    Ok(json!({"days": span.get_days()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_added_and_found() {
        let mut notes = Notes::default();
        let server = DemoServer::Notes;
        server.call(&mut notes, "add_note", &json!({"text": "Buy Milk"})).expect("a tool");
        server.call(&mut notes, "add_note", &json!({"text": "call home"})).expect("a tool");
        let found = server.call(&mut notes, "search_notes", &json!({"query": "milk"})).expect("a tool");
        assert_eq!(found["structuredContent"], json!({"notes": ["Buy Milk"]}));
        assert_eq!(server.call(&mut notes, "today", &json!({})), None);
    }

    #[test]
    fn a_wrong_argument_is_an_error_result_that_says_what_to_do() {
        let mut notes = Notes::default();
        let answer = DemoServer::Calendar
            .call(&mut notes, "days_between", &json!({"from": "yesterday", "to": "2026-01-01"}))
            .expect("a tool");
        assert_eq!(answer["isError"], json!(true));
        assert!(answer["content"][0]["text"].as_str().expect("text").contains("like 2026-01-31"));
    }

    #[test]
    fn days_are_counted_across_a_leap_year() {
        let mut notes = Notes::default();
        let answer = DemoServer::Calendar
            .call(&mut notes, "days_between", &json!({"from": "2028-01-01", "to": "2029-01-01"}))
            .expect("a tool");
        assert_eq!(answer["structuredContent"]["days"], json!(366));
    }
}
