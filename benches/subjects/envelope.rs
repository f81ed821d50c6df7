//! A body to its envelope: `tools/call` bodies as a client pushes files, of an exact size.

use tollgate::mcp::meta::Params;
use tollgate::wire::rpc::{self, Message};

const HEAD: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1234,"method":"tools/call","params":{"#,
    r#""name":"github__push_files","arguments":{"owner":"acme","files":["#,
);
const MIDDLE: &str = r#"],"message":""#;
const TAIL: &str = concat!(
    r#""},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#,
);

/// A call of `size` bytes: whole files first, the rest in the message.
pub(crate) fn body(size: usize) -> Vec<u8> {
    let frame = HEAD.len() + MIDDLE.len() + TAIL.len();
    let mut files = String::new();
    for number in 0.. {
        let next = file(number);
        if frame + files.len() + 1 + next.len() > size {
            break;
        }
        if number > 0 {
            files.push(',');
        }
        files.push_str(&next);
    }
    let message: String = "Move the limits into one file ".chars().cycle().take(size - frame - files.len()).collect();
    let body = [HEAD, &files, MIDDLE, &message, TAIL].concat().into_bytes();
    assert_eq!(body.len(), size);
    body
}

/// About a kilobyte of source text: escaped line ends and quotes, a letter that is not ASCII.
fn file(number: usize) -> String {
    let line = |line: usize| format!(r#"    let limit_{line} = named(\"größe_{line}\", {});\n"#, number * 1000 + line);
    let content: String = (0..20).map(line).collect();
    format!(r#"{{"path":"src/part_{number}.rs","content":"{content}","mode":{},"executable":false}}"#, 33188 + number)
}

/// Reads the envelope in the gate's one strict pass, and the name of the tool as the gate does.
pub(crate) fn read(body: &[u8]) -> usize {
    let Ok(Message::Single(envelope)) = rpc::parse(body) else { panic!("the body is a request") };
    let name = Params::of(&envelope).name.and_then(rpc::string);
    envelope.method_name().len() + name.map_or(0, |name| name.len())
}
