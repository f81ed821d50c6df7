//! A catalogue to test with: 508 tools of sixteen servers. The recorded one of real servers where it lies beside the
//! repository, else a generated one of the same size and odder shape.

use serde_json::value::RawValue;
use std::path::Path;

/// A server's name and its tool definitions as JSON text.
pub struct Listed {
    /// The name in the configuration.
    pub server: String,
    /// Each definition as the server wrote it.
    pub tools: Vec<String>,
}

/// The number of tools in either catalogue.
pub const TOOLS: usize = 508;

/// The recorded catalogue, or the generated one where that is not here.
pub fn any() -> Vec<Listed> {
    recorded().unwrap_or_else(generated)
}

/// The definitions of sixteen real servers, by name, where the folder `../shared/catalog` is.
pub fn recorded() -> Option<Vec<Listed>> {
    #[derive(serde::Deserialize)]
    struct Recording {
        tools: Vec<Box<RawValue>>,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/catalog");
    let mut files: Vec<_> = std::fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let recording: Recording = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let tools = recording.tools.iter().map(|tool| tool.get().to_owned()).collect();
        Listed { server: path.file_stem().unwrap().to_str().unwrap().to_owned(), tools }
    };
    Some(files.iter().map(read).collect())
}

/// 508 tools of sixteen servers, always the same, with everything a definition may carry.
pub fn generated() -> Vec<Listed> {
    let count = |server: usize| TOOLS / 16 + usize::from(server < TOOLS % 16);
    let listed = |server: usize| Listed {
        server: format!("server-{server}"),
        tools: (0..count(server)).map(|tool| definition(server, tool)).collect(),
    };
    (0..16).map(listed).collect()
}

/// A tool of this name that takes anything.
pub fn plain_tool(name: &str) -> String {
    serde_json::json!({"name": name, "inputSchema": {"type": "object"}}).to_string()
}

fn definition(server: usize, tool: usize) -> String {
    let name = match tool % 8 {
        0 => format!("search_{tool}"),
        1 => format!("get.item.{tool}"),
        2 => format!("a_very_long_name_that_no_model_provider_takes_{tool}_{server}"),
        3 => format!("suche_größe_{tool}"),
        _ => format!("tool_{server}_{tool}"),
    };
    let extra = match tool % 5 {
        0 => r#","annotations":{"readOnlyHint":true,"title":"Größe"}"#,
        1 => r#","_meta":{"ui":{"resourceUri":"ui://widget"},"name":"inner"}"#,
        2 => r#","outputSchema":{"type":"object","properties":{"n":{"type":"number","minimum":-1.50e1}}}"#,
        3 => r#","icons":[{"src":"data:image/png;base64,AA==","mimeType":"image/png"}],"title":"T\u00f6"#,
        _ => "",
    };
    let extra = if tool % 5 == 3 { format!("{extra}\"") } else { extra.to_owned() };
    let required = (0..tool % 4).map(|at| format!("\"field_{at}\"")).collect::<Vec<_>>().join(",");
    let properties = (0..4 + tool % 6)
        .map(|at| format!("\"field_{at}\":{{\"type\":\"string\",\"description\":\"Field {at} of {tool}\"}}"))
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "{{ \"description\":\"Does {tool} for {server}.\\nSecond line.\",\"name\":\"{name}\",\n  \"inputSchema\":{{\
         \"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\",\
         \"properties\":{{{properties}}},\
         \"required\":[{required}],\"additionalProperties\":false}}{extra}}}"
    )
}
