//! What the gate says of itself: its name, its capabilities, how long its answers stay fresh.

use super::caps::{SKILLS_EXTENSION, TASKS_EXTENSION, UI_EXTENSION};
use super::meta::SERVER_INFO;
use super::revision::Revision;
use crate::base::limits::{DISCOVER_TTL_MS, INSTRUCTIONS_MAX};
use crate::catalog::Offers;
use crate::wire::rpc::{self, Edit};
use std::borrow::Cow;
use std::io::Write;

/// What is advertised in both eras, as raw JSON: log notifications for those who ask, tools, and what the visible
/// servers offer beside them. Every list may change.
fn capabilities(offers: Offers, vendor: &[u8]) -> String {
    let mut out = String::with_capacity(160);
    out.push('{');
    if offers.completions {
        out.push_str(r#""completions":{},"#);
    }
    put_extensions(&mut out, offers, vendor);
    out.push_str(r#""logging":{},"#);
    if offers.prompts {
        out.push_str(r#""prompts":{"listChanged":true},"#);
    }
    if offers.resources {
        let subscribe = if offers.subscribe { r#""subscribe":true,"# } else { "" };
        out.push_str(r#""resources":{"#);
        out.push_str(subscribe);
        out.push_str(r#""listChanged":true},"#);
    }
    out.push_str(r#""tools":{"listChanged":true}}"#);
    out
}

/// The extensions that the gate carries and some visible server offers, and those it is told to let pass.
fn put_extensions(out: &mut String, offers: Offers, vendor: &[u8]) {
    let skills = if offers.directories { r#"{"directoryRead":true}"# } else { "{}" };
    let wanted = [
        (offers.tasks, TASKS_EXTENSION, "{}"),
        (offers.ui, UI_EXTENSION, "{}"),
        (offers.skills, SKILLS_EXTENSION, skills),
    ];
    let offered = wanted.into_iter().filter(|(offered, ..)| *offered);
    let mut members: Vec<_> = offered.map(|(_, name, settings)| format!(r#""{name}":{settings}"#)).collect();
    members.extend((!vendor.is_empty()).then(|| String::from_utf8_lossy(vendor).into_owned()));
    if !members.is_empty() {
        out.push_str(&format!(r#""extensions":{{{}}},"#, members.join(",")));
    }
}

/// What the gate says of itself to everybody.
#[derive(Clone, Debug)]
pub struct Model {
    info: Box<[u8]>,
    result_meta: Box<[u8]>,
    instructions: Option<Box<[u8]>>,
}

impl Model {
    /// The gate in this version, with instructions for the model's eyes cut at `INSTRUCTIONS_MAX` bytes.
    pub fn new(version: &str, instructions: Option<&str>) -> Self {
        let mut info = br#"{"name":"tollgate","title":"Tollgate","version":"#.to_vec();
        rpc::quote(&mut info, version);
        info.push(b'}');
        let result_meta = [br#"{""#, SERVER_INFO.as_bytes(), br#"":"#, &info, b"}"].concat();
        let cut = |text: &str| rpc::quoted(&text[..text.floor_char_boundary(INSTRUCTIONS_MAX)]).into_boxed_slice();
        let instructions = instructions.filter(|text| !text.is_empty()).map(cut);
        Self { info: info.into(), result_meta: result_meta.into(), instructions }
    }

    /// The raw `Implementation` object: `serverInfo` to clients, `clientInfo` to servers.
    pub fn info(&self) -> &[u8] {
        &self.info
    }

    /// The raw `_meta` of a modern result that has no other.
    pub fn result_meta(&self) -> &[u8] {
        &self.result_meta
    }

    /// The raw `_meta` that a modern result gets in the place of this one, so that it names its server; nothing where
    /// it names one already.
    pub fn named_meta(&self, meta: Option<&[u8]>) -> Option<Cow<'_, [u8]>> {
        match meta.filter(|meta| rpc::is_object(meta)) {
            Some(meta) if rpc::field(meta, SERVER_INFO).is_some() => None,
            Some(meta) => {
                let mut out = Vec::with_capacity(meta.len() + self.result_meta.len());
                rpc::edit(&mut out, meta, &[Edit::Set(SERVER_INFO, &self.info)]);
                Some(Cow::Owned(out))
            }
            None => Some(Cow::Borrowed(&self.result_meta)),
        }
    }

    /// The answer to `server/discover` of one who is offered this beside tools, and these raw members of `extensions`
    /// (2026-07-28 server/discover). Private, as what a key sees is its own.
    pub fn discover(&self, id: &[u8], (offers, vendor): (Offers, &[u8])) -> Vec<u8> {
        let (supported, capabilities) = (Revision::SUPPORTED_MODERN, capabilities(offers, vendor));
        let mut result = Vec::with_capacity(512);
        // Writing into a Vec cannot fail.
        let _ = write!(result, r#"{{"resultType":"complete","ttlMs":{DISCOVER_TTL_MS},"cacheScope":"private","#);
        let _ = write!(result, r#""supportedVersions":{supported},"capabilities":{capabilities}"#);
        put_instructions(&mut result, self.instructions.as_deref());
        result.extend_from_slice(br#","_meta":"#);
        result.extend_from_slice(&self.result_meta);
        result.push(b'}');
        let mut out = Vec::new();
        rpc::result(&mut out, id, &result);
        out
    }

    /// The answer to `initialize` of one who is offered this beside tools. Extensions that the gate does not know are
    /// declared with each request of the modern era, and in no other.
    pub fn initialize(&self, id: &[u8], revision: Revision, offers: Offers) -> Vec<u8> {
        let mut result = Vec::with_capacity(256);
        result.extend_from_slice(br#"{"protocolVersion":""#);
        result.extend_from_slice(revision.as_str().as_bytes());
        result.extend_from_slice(br#"","capabilities":"#);
        result.extend_from_slice(capabilities(offers, b"").as_bytes());
        result.extend_from_slice(br#","serverInfo":"#);
        result.extend_from_slice(&self.info);
        put_instructions(&mut result, self.instructions.as_deref());
        result.push(b'}');
        let mut out = Vec::new();
        rpc::result(&mut out, id, &result);
        out
    }
}

fn put_instructions(out: &mut Vec<u8>, instructions: Option<&[u8]>) {
    if let Some(text) = instructions {
        out.extend_from_slice(br#","instructions":"#);
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    /// 2026-07-28 server/discover: all required members, modern revisions only, private.
    #[test]
    fn discover_says_what_the_schema_requires() {
        let model = Model::new("1.2.3", Some("be \"kind\""));
        let answer = value(&model.discover(b"\"d\"", (Offers::default(), b"")));
        assert_eq!(answer["id"], "d");
        let info = json!({"name": "tollgate", "title": "Tollgate", "version": "1.2.3"});
        let expected = json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "ttlMs": DISCOVER_TTL_MS, "cacheScope": "private",
            "capabilities": {"logging": {}, "tools": {"listChanged": true}}, "instructions": "be \"kind\"",
            "_meta": {"io.modelcontextprotocol/serverInfo": info},
        });
        assert_eq!(answer["result"], expected);
        assert_eq!(value(model.info()), info);
    }

    #[test]
    fn initialize_is_answered_in_the_negotiated_revision() {
        let result =
            value(&Model::new("1", None).initialize(b"0", Revision::V2025_03_26, Offers::default()))["result"].clone();
        assert_eq!(result["protocolVersion"], "2025-03-26");
        assert_eq!(result["serverInfo"]["name"], "tollgate");
        assert!(result.get("instructions").is_none() && result.get("resultType").is_none());
    }

    #[test]
    fn a_result_names_its_server_once() {
        let model = Model::new("1", None);
        let ours = value(model.info());
        assert_eq!(model.named_meta(None).as_deref(), Some(model.result_meta()));
        assert_eq!(model.named_meta(Some(b"7")).as_deref(), Some(model.result_meta()));
        let named = model.named_meta(Some(br#"{"x":1}"#)).unwrap();
        assert_eq!(value(&named), json!({"x": 1, "io.modelcontextprotocol/serverInfo": ours}));
        assert_eq!(model.named_meta(Some(&named)), None);
    }

    #[test]
    fn what_the_visible_servers_offer_is_advertised() {
        let of = |offers| value(capabilities(offers, b"").as_bytes());
        let passing = value(capabilities(Offers { ui: true, ..Offers::default() }, br#""a/b":{"c":1}"#).as_bytes());
        assert_eq!(passing["extensions"], json!({"io.modelcontextprotocol/ui": {}, "a/b": {"c": 1}}));
        let changes = json!({"listChanged": true});
        let prompts = Offers { prompts: true, completions: true, ..Offers::default() };
        assert_eq!(of(prompts), json!({"completions": {}, "logging": {}, "prompts": changes, "tools": changes}));
        let skills = Offers { skills: true, directories: true, ui: true, ..Offers::default() };
        let named =
            json!({"io.modelcontextprotocol/skills": {"directoryRead": true}, "io.modelcontextprotocol/ui": {}});
        assert_eq!(of(skills)["extensions"], named);
        let plain = of(Offers { directories: false, ..skills })["extensions"].take();
        assert_eq!(plain["io.modelcontextprotocol/skills"], json!({}));
        let resources = Offers { resources: true, ..Offers::default() };
        assert_eq!(of(resources), json!({"logging": {}, "resources": changes, "tools": changes}));
    }

    #[test]
    fn instructions_are_bounded_and_empty_ones_left_out() {
        let long = Model::new("1", Some(&"é".repeat(INSTRUCTIONS_MAX)));
        let text = value(&long.discover(b"1", (Offers::default(), b"")))["result"]["instructions"].clone();
        assert_eq!(text.as_str().unwrap().len(), INSTRUCTIONS_MAX);
        assert!(
            value(&Model::new("1", Some("")).discover(b"1", (Offers::default(), b"")))["result"]
                .get("instructions")
                .is_none()
        );
    }
}
