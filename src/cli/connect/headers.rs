//! What a message says that must stand in headers too: version, method, name, annotated arguments (2026-07-28).

use crate::base::ids::ServerId;
use crate::catalog::{Catalog, HeaderParams, ServerList};
use crate::mcp::headers::{derive_params, encode};
use crate::mcp::meta::PROTOCOL_VERSION;
use crate::wire::rpc::{self, Envelope};
use bytes::Bytes;
use std::collections::HashMap;

/// The revision a message names in its `_meta`; nothing on a legacy one.
pub(super) fn revision(message: &Envelope<'_>) -> Option<String> {
    let meta = rpc::field(message.params?, "_meta")?;
    rpc::string(rpc::field(meta, PROTOCOL_VERSION)?).map(|text| text.into_owned())
}

/// The headers of a modern message besides its version.
pub(super) fn modern(message: &Envelope<'_>, learned: &Learned) -> Vec<(String, String)> {
    let mut out = vec![("mcp-method".to_owned(), message.method_name().to_owned())];
    let name = named(message).and_then(|field| rpc::string(rpc::field(message.params?, field)?));
    if let Some(name) = name {
        out.push(("mcp-name".into(), encode(&name).into_owned()));
        if message.method_name() == "tools/call" {
            out.extend(learned.headers(&name, message));
        }
    }
    out
}

/// The member of `params` that `Mcp-Name` repeats.
fn named(message: &Envelope<'_>) -> Option<&'static str> {
    match message.method_name() {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

/// The annotated arguments of the tools seen in lists. A client over stdio need not know of them; the gate insists.
#[derive(Debug, Default)]
pub(super) struct Learned {
    tools: HashMap<Box<str>, HeaderParams>,
    any: bool,
}

impl Learned {
    /// Whether a list was seen.
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// Takes the annotations of a `tools/list` result.
    pub(super) fn take(&mut self, result: &[u8]) {
        let Some(tools) = rpc::field(result, "tools").filter(|tools| rpc::is_array(tools)) else { return };
        self.any = true;
        let tools = rpc::array_items(tools).map(Bytes::copy_from_slice).collect();
        let list = ServerList { tools, ..ServerList::empty("gate") };
        let catalog = Catalog::build(&[(ServerId(0), "gate", &list)]);
        let annotated = catalog.tools().iter().filter(|tool| !tool.header_params().is_empty());
        self.tools.extend(annotated.map(|tool| (tool.name().into(), tool.header_params().clone())));
    }

    fn headers(&self, tool: &str, message: &Envelope<'_>) -> Vec<(String, String)> {
        let arguments = message.params.and_then(|params| rpc::field(params, "arguments"));
        let params = self.tools.get(tool).map(|params| derive_params(params, arguments)).unwrap_or_default();
        params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rpc::Message;

    fn headers(line: &str, learned: &Learned) -> Vec<(String, String)> {
        let Ok(Message::Single(message)) = rpc::parse(line.as_bytes()) else { panic!("{line}") };
        modern(&message, learned)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn names_and_annotated_arguments_stand_in_headers() {
        let mut learned = Learned::default();
        let list = br#"{"tools":[{"name":"q","inputSchema":{"type":"object",
            "properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}"#;
        learned.take(list);
        let call =
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"q","arguments":{"region":"eu"}}}"#;
        let expected = [pair("mcp-method", "tools/call"), pair("mcp-name", "q"), pair("Mcp-Param-Region", "eu")];
        assert_eq!(headers(call, &learned), expected);
        let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"é"}}"#;
        assert_eq!(headers(read, &learned)[1], pair("mcp-name", "=?base64?w6k=?="));
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        assert_eq!(headers(list, &learned), [pair("mcp-method", "tools/list")]);
    }

    #[test]
    fn only_a_named_revision_is_modern() {
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"m",
            "params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let Ok(Message::Single(message)) = rpc::parse(line.as_bytes()) else { panic!("{line}") };
        assert_eq!(revision(&message).as_deref(), Some("2026-07-28"));
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{}}}"#;
        let Ok(Message::Single(message)) = rpc::parse(line.as_bytes()) else { panic!("{line}") };
        assert_eq!(revision(&message), None);
    }
}
