//! What tools the built-in server serves: recorded definitions from files, or generated ones of the same size.

use crate::failure::Failure;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tollgate::wire::rpc;

/// One tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Its definition as JSON text, the name included.
    pub text: String,
}

#[derive(Deserialize)]
struct Recording {
    tools: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Reads the definitions of one file `{"tools":[…]}`, or of every such `.json` file of a folder in the order of their
/// names. A name that an earlier file has taken gets its own file's name in front.
///
/// # Errors
/// Nothing there, or a file that cannot be read as such.
pub fn read(path: &Path) -> Result<Vec<Definition>, Failure> {
    let mut taken = HashSet::new();
    let mut all = Vec::new();
    for file in files(path)? {
        let place = file.display();
        let bytes = std::fs::read(&file).map_err(|e| Failure::usage(format!("{place}: {e}")))?;
        let wrong = |e: serde_json::Error| Failure::usage(format!("{place}: no object with a list `tools`: {e}"));
        let recording: Recording = serde_json::from_slice(&bytes).map_err(wrong)?;
        for tool in &recording.tools {
            let Named { name } = serde_json::from_str(tool.get()).map_err(wrong)?;
            all.push(distinct(name, tool.get(), &file, &mut taken)?);
        }
    }
    Ok(all)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let wrong = |e: std::io::Error| Failure::usage(format!("{}: {e}", path.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(wrong)? {
        files.push(entry.map_err(wrong)?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    if files.is_empty() {
        return Err(Failure::usage(format!("{}: no .json file in it", path.display())));
    }
    Ok(files)
}

fn distinct(name: String, text: &str, file: &Path, taken: &mut HashSet<String>) -> Result<Definition, Failure> {
    if taken.insert(name.clone()) {
        return Ok(Definition { name, text: text.to_owned() });
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}_{name}");
    if !taken.insert(name.clone()) {
        return Err(Failure::usage(format!("{}: the tool `{name}` is there twice", file.display())));
    }
    let mut edited = Vec::new();
    rpc::edit(&mut edited, text.as_bytes(), &[rpc::Edit::Set("name", &rpc::quoted(&name))]);
    let text = String::from_utf8(edited).map_err(|e| Failure::new(format!("{}: {e}", file.display())))?;
    Ok(Definition { name, text })
}

const VERBS: &[&str] = &["search", "list", "get", "create", "update", "delete", "export", "assign", "merge", "watch"];
const NOUNS: &[&str] = &[
    "issue",
    "pull_request",
    "branch",
    "document",
    "page",
    "event",
    "calendar",
    "message",
    "invoice",
    "contact",
    "dashboard",
    "alert",
    "table",
    "record",
    "file",
    "folder",
    "comment",
];
const SENTENCES: &[&str] = &[
    "Only what the signed-in person may see is looked at.",
    "Results come in pages; pass the cursor of the last page to go on.",
    "Use this before you change anything, so that you know the current state.",
    "Fails with a clear message where the identifier is unknown.",
    "Times are read and given as RFC 3339 with an offset.",
    "Large results are cut; narrow the filter to see the rest.",
];
const FIELDS: &[(&str, &str)] = &[
    ("query", r#"{"type":"string","description":"Words to look for; quotes keep them together"}"#),
    ("limit", r#"{"type":"integer","minimum":1,"maximum":100,"default":20,"description":"Most entries to give back"}"#),
    ("cursor", r#"{"type":"string","description":"Where to go on, from the page before"}"#),
    ("owner", r#"{"type":"string","description":"Person or organisation it belongs to"}"#),
    ("labels", r#"{"type":"array","items":{"type":"string"},"description":"Labels that all have to be there"}"#),
    ("state", r#"{"type":"string","enum":["open","closed","all"],"default":"open","description":"Which to look at"}"#),
    ("since", r#"{"type":"string","format":"date-time","description":"Nothing that changed before this time"}"#),
    (
        "options",
        r#"{"type":"object","properties":{"dry":{"type":"boolean"},"quiet":{"type":"boolean"}},"description":"How"}"#,
    ),
];

/// Makes `count` definitions, always the same ones, about 800 bytes each as those of real servers are.
pub fn generate(count: usize) -> Vec<Definition> {
    (0..count).map(definition).collect()
}

fn definition(at: usize) -> Definition {
    let verb = VERBS[at % VERBS.len()];
    let noun = NOUNS[at / VERBS.len() % NOUNS.len()];
    let name = format!("{verb}_{noun}_{at}");
    let mut text = format!(r#"{{"name":"{name}","description":"Tool to {verb} a {noun}."#);
    for step in 0..2 + at % 3 {
        text.push(' ');
        text.push_str(SENTENCES[(at * 7 + step) % SENTENCES.len()]);
    }
    text.push_str(r#"","inputSchema":{"type":"object","properties":{"#);
    for step in 0..4 + at % 5 {
        let (field, schema) = FIELDS[(at + step) % FIELDS.len()];
        let comma = if step == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}\"{field}\":{schema}");
    }
    let required = FIELDS[at % FIELDS.len()].0;
    let _ = write!(text, r#"}},"required":["{required}"],"additionalProperties":false}}}}"#);
    Definition { name, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_definitions_are_json_of_their_own_name_and_usual_size() {
        let all = generate(508);
        let mut names = HashSet::new();
        for definition in &all {
            let value: serde_json::Value = serde_json::from_str(&definition.text).unwrap();
            assert_eq!(value["name"], definition.name.as_str());
            assert!(
                value["inputSchema"]["properties"][value["inputSchema"]["required"][0].as_str().unwrap()].is_object()
            );
            assert!(names.insert(definition.name.clone()));
        }
        let mean = all.iter().map(|definition| definition.text.len()).sum::<usize>() / all.len();
        assert!((600..1000).contains(&mean), "{mean}");
        assert_eq!(all[..20], generate(20)[..]);
    }

    #[test]
    fn a_folder_is_read_in_order_and_names_stay_distinct() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("b.json", r#"{"tools":[{"name":"x","description":"of b"},{"name":"y"}]}"#);
        put("a.json", r#"{"name":"a","tools":[{ "name" : "x" }]}"#);
        put("readme.md", "not read");
        let names: Vec<_> = read(folder.path()).unwrap().into_iter().map(|tool| (tool.name, tool.text)).collect();
        let expected =
            [("x", r#"{ "name" : "x" }"#), ("b_x", r#"{"name":"b_x","description":"of b"}"#), ("y", r#"{"name":"y"}"#)];
        assert_eq!(names, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        put("c.json", "[]");
        assert!(read(folder.path()).unwrap_err().to_string().contains("c.json"));
        assert!(read(&folder.path().join("none")).is_err());
    }
}
