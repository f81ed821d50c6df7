//! What a client can do for a server: read in both eras, cut to what policy allows, declared anew upstream, and held
//! against what a server asks.
//!
//! Only what the gate carries is here; `experimental` and extensions the gate does not know are dropped.

use super::revision::{Era, Revision};
use crate::wire::rpc;

/// The extension of long-running calls (SEP-2663).
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// The extension of skills (SEP-2640).
pub const SKILLS_EXTENSION: &str = "io.modelcontextprotocol/skills";
/// The extension of interfaces that tools bring along, MCP Apps (SEP-1865).
pub const UI_EXTENSION: &str = "io.modelcontextprotocol/ui";
/// The one kind of interface there is; a client of the extension names those it shows.
const UI_MIME_TYPE: &str = "text/html;profile=mcp-app";

/// What a client can do for a server, as bits. A bit that refines another is never there without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientCaps(pub u16);

impl ClientCaps {
    /// Answers `roots/list`.
    pub const ROOTS: u16 = 1;
    /// Says when its roots change; legacy only.
    pub const ROOTS_CHANGED: u16 = 1 << 1;
    /// Answers `sampling/createMessage`.
    pub const SAMPLING: u16 = 1 << 2;
    /// The same with `tools` and `toolChoice`.
    pub const SAMPLING_TOOLS: u16 = 1 << 3;
    /// The same with an `includeContext` other than `none`.
    pub const SAMPLING_CONTEXT: u16 = 1 << 4;
    /// Answers `elicitation/create` with a form.
    pub const ELICITATION: u16 = 1 << 5;
    /// Answers `elicitation/create` with a visit to a URL.
    pub const ELICITATION_URL: u16 = 1 << 6;
    /// Takes a task for an answer; modern only.
    pub const TASKS: u16 = 1 << 7;
    /// Shows the interfaces of tools.
    pub const UI: u16 = 1 << 8;
    /// Knows what a skill is.
    pub const SKILLS: u16 = 1 << 9;

    /// All that a server may ask of a client.
    pub const ASKABLE: Self = Self(
        Self::ROOTS
            | Self::ROOTS_CHANGED
            | Self::SAMPLING
            | Self::SAMPLING_TOOLS
            | Self::SAMPLING_CONTEXT
            | Self::ELICITATION
            | Self::ELICITATION_URL,
    );

    /// Reads a raw capabilities object as that revision means it; what it does not name is not there.
    pub fn read(raw: &[u8], revision: Revision) -> Self {
        // What most clients declare, with every request of theirs.
        if raw == b"{}" {
            return Self::default();
        }
        let bits = roots(raw) | sampling(raw, revision) | elicitation(raw, revision) | extensions(raw);
        Self(bits).within(revision)
    }

    /// What is left of it in that revision.
    #[must_use]
    pub fn within(self, revision: Revision) -> Self {
        // Before 2025-11-25 `includeContext` came with sampling itself, and the cut must not take that away.
        let kept = if revision < Revision::V2025_11_25 { Self::SAMPLING_CONTEXT } else { 0 };
        Self(self.0 & (known(revision) | kept))
    }

    /// Whether all of these bits are there.
    pub fn has(self, bits: u16) -> bool {
        self.0 & bits == bits
    }

    /// Whether a server may ask it anything.
    pub fn can_be_asked(self) -> bool {
        self.0 & Self::ASKABLE.0 != 0
    }

    /// What both can do.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is left of it under a server's policy.
    #[must_use]
    pub fn allowed_by(self, policy: Policy) -> Self {
        let barred = |allowed: bool, bits: u16| if allowed { 0 } else { bits };
        let sampling = Self::SAMPLING | Self::SAMPLING_TOOLS | Self::SAMPLING_CONTEXT;
        let barred = barred(policy.sampling, sampling)
            | barred(policy.roots, Self::ROOTS | Self::ROOTS_CHANGED)
            | barred(policy.elicitation, Self::ELICITATION | Self::ELICITATION_URL);
        Self(self.0 & !barred)
    }

    /// The raw capabilities object that declares it in that revision: for `initialize`, or for the `_meta` of a modern
    /// request. What the revision does not know is left out.
    pub fn declared(self, revision: Revision) -> Vec<u8> {
        let caps = Self(self.0 & known(revision));
        if caps.0 == 0 {
            return b"{}".to_vec();
        }
        let part = |bit: u16, json: &'static str| if caps.has(bit) { json } else { "" };
        let modes = if revision < Revision::V2025_11_25 { "" } else { part(Self::ELICITATION, r#""form":{}"#) };
        let roots = member("roots", &[part(Self::ROOTS_CHANGED, r#""listChanged":true"#)]);
        let sampling = [part(Self::SAMPLING_TOOLS, r#""tools":{}"#), part(Self::SAMPLING_CONTEXT, r#""context":{}"#)];
        let sampling = member("sampling", &sampling);
        let elicitation = member("elicitation", &[modes, part(Self::ELICITATION_URL, r#""url":{}"#)]);
        let ui = format!(r#""{UI_EXTENSION}":{{"mimeTypes":["{UI_MIME_TYPE}"]}}"#);
        let tasks = format!(r#""{TASKS_EXTENSION}":{{}}"#);
        let wanted = |bits: u16, text: String| if caps.0 & bits == 0 { String::new() } else { text };
        let skills = format!(r#""{SKILLS_EXTENSION}":{{}}"#);
        let extensions = [wanted(Self::TASKS, tasks), wanted(Self::UI, ui), wanted(Self::SKILLS, skills)];
        let extensions = extensions.each_ref().map(String::as_str);
        object(&[
            &wanted(Self::ROOTS, roots),
            &wanted(Self::SAMPLING, sampling),
            &wanted(Self::ELICITATION | Self::ELICITATION_URL, elicitation),
            &wanted(Self::TASKS | Self::UI | Self::SKILLS, member("extensions", &extensions)),
        ])
        .into_bytes()
    }

    /// Whether a server may ask this of a client that declared it: a method and its raw `params`.
    pub fn permits(self, method: &str, params: Option<&[u8]>) -> bool {
        let params = params.unwrap_or_default();
        match method {
            "roots/list" => self.has(Self::ROOTS),
            "sampling/createMessage" => self.has(sampling_needs(params)),
            "elicitation/create" => elicitation_needs(params).is_some_and(|bits| self.has(bits)),
            _ => false,
        }
    }
}

/// What an operator allows one server to ask of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Texts of the client's model.
    pub sampling: bool,
    /// The client's folders.
    pub roots: bool,
    /// Questions to the user.
    pub elicitation: bool,
}

impl Default for Policy {
    /// Questions to the user, who sees and answers them; not the client's model or folders, which answer unseen.
    fn default() -> Self {
        Self { sampling: false, roots: false, elicitation: true }
    }
}

/// What a revision knows of.
fn known(revision: Revision) -> u16 {
    use ClientCaps as C;
    let mut bits = C::ROOTS | C::SAMPLING | C::UI | C::SKILLS;
    if revision >= Revision::V2025_06_18 {
        bits |= C::ELICITATION;
    }
    if revision >= Revision::V2025_11_25 {
        bits |= C::ELICITATION_URL | C::SAMPLING_TOOLS | C::SAMPLING_CONTEXT;
    }
    bits | if revision.era() == Era::Modern { C::TASKS } else { C::ROOTS_CHANGED }
}

fn roots(raw: &[u8]) -> u16 {
    match sub(raw, "roots") {
        None => 0,
        Some(roots) if rpc::field(roots, "listChanged") == Some(b"true") => {
            ClientCaps::ROOTS | ClientCaps::ROOTS_CHANGED
        }
        Some(_) => ClientCaps::ROOTS,
    }
}

fn sampling(raw: &[u8], revision: Revision) -> u16 {
    let Some(sampling) = sub(raw, "sampling") else { return 0 };
    let with_context = revision < Revision::V2025_11_25 || sub(sampling, "context").is_some();
    let context = if with_context { ClientCaps::SAMPLING_CONTEXT } else { 0 };
    let tools = if sub(sampling, "tools").is_some() { ClientCaps::SAMPLING_TOOLS } else { 0 };
    ClientCaps::SAMPLING | context | tools
}

/// An object without modes means forms (2025-11-25 client/elicitation); in 2025-06-18 there were no modes.
fn elicitation(raw: &[u8], revision: Revision) -> u16 {
    let Some(modes) = sub(raw, "elicitation") else { return 0 };
    let url = sub(modes, "url").is_some() && revision >= Revision::V2025_11_25;
    let form = !url || sub(modes, "form").is_some();
    let bit = |there: bool, bit: u16| if there { bit } else { 0 };
    bit(form, ClientCaps::ELICITATION) | bit(url, ClientCaps::ELICITATION_URL)
}

fn extensions(raw: &[u8]) -> u16 {
    let Some(extensions) = sub(raw, "extensions") else { return 0 };
    let tasks = if sub(extensions, TASKS_EXTENSION).is_some() { ClientCaps::TASKS } else { 0 };
    let skills = if sub(extensions, SKILLS_EXTENSION).is_some() { ClientCaps::SKILLS } else { 0 };
    let types = sub(extensions, UI_EXTENSION).and_then(|ui| rpc::field(ui, "mimeTypes")).unwrap_or_default();
    let shows = rpc::array_items(types).any(|raw| rpc::string(raw).as_deref() == Some(UI_MIME_TYPE));
    tasks | skills | if shows { ClientCaps::UI } else { 0 }
}

/// The bits that the raw `params` of a `sampling/createMessage` need.
fn sampling_needs(params: &[u8]) -> u16 {
    let there = |key| rpc::field(params, key).is_some_and(|raw| !rpc::is_null(raw));
    let tools = if there("tools") || there("toolChoice") { ClientCaps::SAMPLING_TOOLS } else { 0 };
    let none = rpc::field(params, "includeContext").and_then(rpc::string).is_some_and(|context| context == "none");
    let context = if there("includeContext") && !none { ClientCaps::SAMPLING_CONTEXT } else { 0 };
    ClientCaps::SAMPLING | tools | context
}

/// The bit that the raw `params` of an `elicitation/create` need; nothing for a mode that no revision knows.
fn elicitation_needs(params: &[u8]) -> Option<u16> {
    match rpc::field(params, "mode").map(rpc::string) {
        None => Some(ClientCaps::ELICITATION),
        Some(mode) => match mode?.as_ref() {
            "form" => Some(ClientCaps::ELICITATION),
            "url" => Some(ClientCaps::ELICITATION_URL),
            _ => None,
        },
    }
}

/// A member that is an object.
fn sub<'a>(raw: &'a [u8], key: &str) -> Option<&'a [u8]> {
    rpc::field(raw, key).filter(|raw| rpc::is_object(raw))
}

fn member(key: &str, members: &[&str]) -> String {
    format!(r#""{key}":{}"#, object(members))
}

/// An object of those members that are not empty.
fn object(members: &[&str]) -> String {
    let mut out = String::from("{");
    for member in members.iter().filter(|member| !member.is_empty()) {
        out.push_str(if out.len() > 1 { "," } else { "" });
        out.push_str(member);
    }
    out + "}"
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientCaps as C;
    use Revision::{V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28};
    use serde_json::{Value, json};

    const ALL: &str = r#"{"roots":{"listChanged":true},"sampling":{"tools":{},"context":{}},
        "elicitation":{"form":{},"url":{}},"experimental":{"x":{}},"extensions":{"vendor/x":{},
        "io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/skills":{},
        "io.modelcontextprotocol/ui":{"mimeTypes":["a/b","text/html;profile=mcp-app"]}}}"#;
    const EVERY: u16 = (1 << 10) - 1;

    fn read(raw: &str, revision: Revision) -> u16 {
        C::read(raw.as_bytes(), revision).0
    }

    fn declared(bits: u16, revision: Revision) -> Value {
        serde_json::from_slice(&C(bits).declared(revision)).unwrap()
    }

    #[test]
    fn each_revision_reads_what_it_knows() {
        assert_eq!(read(ALL, V2026_07_28), EVERY & !C::ROOTS_CHANGED);
        assert_eq!(read(ALL, V2025_11_25), EVERY & !C::TASKS);
        let older = C::ROOTS | C::ROOTS_CHANGED | C::SAMPLING | C::SAMPLING_CONTEXT | C::UI | C::SKILLS;
        assert_eq!(read(ALL, V2025_06_18), older | C::ELICITATION);
        assert_eq!(read(ALL, V2025_03_26), older);
        assert_eq!(read(ALL, V2024_11_05), older);
    }

    /// 2025-11-25 client/elicitation: an empty object is the same as one that names forms only.
    #[test]
    fn elicitation_without_modes_means_forms() {
        for (raw, bits) in [
            (r#"{"elicitation":{}}"#, C::ELICITATION),
            (r#"{"elicitation":{"form":{}}}"#, C::ELICITATION),
            (r#"{"elicitation":{"applyDefaults":true}}"#, C::ELICITATION),
            (r#"{"elicitation":{"url":{}}}"#, C::ELICITATION_URL),
            (r#"{"elicitation":{"url":{},"form":{}}}"#, C::ELICITATION | C::ELICITATION_URL),
            (r#"{"elicitation":true}"#, 0),
            (r#"{"elicitation":null}"#, 0),
        ] {
            assert_eq!(read(raw, V2025_11_25), bits, "{raw}");
            assert_eq!(read(raw, V2026_07_28), bits, "{raw}");
        }
        assert_eq!(read(r#"{"elicitation":{"url":{}}}"#, V2025_06_18), C::ELICITATION);
    }

    #[test]
    fn what_is_no_declaration_is_not_there() {
        for raw in [
            "{}",
            "[]",
            "",
            r#"{"roots":[],"sampling":"yes","extensions":[]}"#,
            r#"{"extensions":{"io.modelcontextprotocol/tasks":true,"io.modelcontextprotocol/ui":{}}}"#,
            r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html"]}}}"#,
        ] {
            assert_eq!(read(raw, V2026_07_28), 0, "{raw}");
        }
    }

    #[test]
    fn what_is_declared_reads_back_as_the_same() {
        for bits in 0..=EVERY {
            for revision in Revision::ALL {
                let once = C::read(&C(bits).declared(revision), revision);
                assert_eq!(C::read(&once.declared(revision), revision), once);
                assert_eq!(once.0 & !bits & !C::SAMPLING_CONTEXT, 0, "nothing is made up");
            }
        }
        let whole = C::read(ALL.as_bytes(), V2026_07_28);
        assert_eq!(C::read(&whole.declared(V2026_07_28), V2026_07_28), whole);
    }

    #[test]
    fn each_revision_declares_what_it_knows() {
        let ui = json!({"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]},
            "io.modelcontextprotocol/skills": {}});
        let roots = json!({"listChanged": true});
        let oldest = json!({"roots": roots, "sampling": {}, "extensions": ui});
        assert_eq!(declared(EVERY, V2024_11_05), oldest);
        let mut expected = oldest;
        expected["elicitation"] = json!({});
        assert_eq!(declared(EVERY, V2025_06_18), expected);
        expected["elicitation"] = json!({"form": {}, "url": {}});
        expected["sampling"] = json!({"tools": {}, "context": {}});
        assert_eq!(declared(EVERY, V2025_11_25), expected);
        expected["roots"] = json!({});
        expected["extensions"]["io.modelcontextprotocol/tasks"] = json!({});
        assert_eq!(declared(EVERY, V2026_07_28), expected);
        assert_eq!(declared(0, V2026_07_28), json!({}));
        assert_eq!(declared(C::ELICITATION_URL, V2025_11_25), json!({"elicitation": {"url": {}}}));
        assert_eq!(declared(C::ELICITATION_URL, V2025_06_18), json!({}), "its forms were never declared");
        assert_eq!(declared(C::TASKS, V2026_07_28), json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}));
    }

    #[test]
    fn policy_takes_away_and_never_gives() {
        let all = Policy { sampling: true, roots: true, elicitation: true };
        assert_eq!(C(EVERY).allowed_by(all), C(EVERY));
        assert_eq!(C(0).allowed_by(all), C(0));
        let by_default = C(EVERY).allowed_by(Policy::default());
        assert_eq!(by_default, C(C::ELICITATION | C::ELICITATION_URL | C::TASKS | C::UI | C::SKILLS));
        let none = Policy { elicitation: false, ..Policy::default() };
        assert_eq!(C(EVERY).allowed_by(none), C(C::TASKS | C::UI | C::SKILLS));
        assert_eq!(C(C::ROOTS | C::UI).intersect(C(C::UI | C::TASKS)), C(C::UI));
    }

    #[test]
    fn a_server_may_ask_what_was_declared() {
        for (method, params, bits) in [
            ("roots/list", "", C::ROOTS),
            ("sampling/createMessage", r#"{"messages":[]}"#, C::SAMPLING),
            ("sampling/createMessage", r#"{"includeContext":"none","tools":null}"#, C::SAMPLING),
            ("sampling/createMessage", r#"{"tools":[]}"#, C::SAMPLING | C::SAMPLING_TOOLS),
            ("sampling/createMessage", r#"{"toolChoice":{}}"#, C::SAMPLING | C::SAMPLING_TOOLS),
            ("sampling/createMessage", r#"{"includeContext":"thisServer"}"#, C::SAMPLING | C::SAMPLING_CONTEXT),
            ("sampling/createMessage", r#"{"includeContext":7}"#, C::SAMPLING | C::SAMPLING_CONTEXT),
            ("elicitation/create", "{}", C::ELICITATION),
            ("elicitation/create", r#"{"mode":"form"}"#, C::ELICITATION),
            ("elicitation/create", r#"{"mode":"\u0075rl"}"#, C::ELICITATION_URL),
        ] {
            let params = Some(params.as_bytes()).filter(|raw| !raw.is_empty());
            assert!(C(bits).permits(method, params), "{method} {params:?}");
            for bit in (0..10).map(|shift| 1 << shift).filter(|bit| bits & bit != 0) {
                assert!(!C(EVERY & !bit).permits(method, params), "{method} without {bit}");
            }
        }
        for (method, params) in [
            ("elicitation/create", r#"{"mode":"voice"}"#),
            ("elicitation/create", r#"{"mode":null}"#),
            ("tools/call", "{}"),
            ("ping", "{}"),
            ("", ""),
        ] {
            assert!(!C(EVERY).permits(method, Some(params.as_bytes())), "{method} {params}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        bolero::check!().for_each(|raw: &[u8]| {
            for revision in Revision::ALL {
                let caps = C::read(raw, revision);
                assert_eq!(caps.0 & !EVERY, 0);
                let refined = |bit, whole| !caps.has(bit) || caps.has(whole);
                assert!(refined(C::SAMPLING_TOOLS, C::SAMPLING) && refined(C::ROOTS_CHANGED, C::ROOTS));
            }
            for method in ["roots/list", "sampling/createMessage", "elicitation/create"] {
                let _ = C(EVERY).permits(method, Some(raw));
            }
        });
    }
}
