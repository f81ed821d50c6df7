//! A server's raw result with the gist of it, so that who counts, records or bridges it need not walk it again.

use super::meta::SERVER_INFO;
use crate::base::buf::Piece;
use crate::wire::rpc::{self, Envelope};
use std::ops::Deref;

/// What decides how a result is carried on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gist {
    /// What `resultType` says.
    pub kind: ResultKind,
    /// What `_meta` says.
    pub server: Server,
    /// Whether the tool says it failed (`isError`).
    pub is_error: bool,
}

/// What a `resultType` says of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResultKind {
    /// There is none.
    #[default]
    Untold,
    /// `complete`.
    Complete,
    /// `input_required`.
    InputRequired,
    /// `task`.
    Task,
    /// Anything else.
    Unknown,
}

/// Whether a result's `_meta` names the server that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Server {
    /// There is no `_meta`.
    #[default]
    NoMeta,
    /// There is one, and no server in it.
    Unnamed,
    /// It names one.
    Named,
}

impl Gist {
    /// The gist of the result in a message, whose members the message has noted.
    pub fn of(message: &Envelope<'_>) -> Self {
        let mut gist = Self::default();
        message.members.iter().for_each(|(name, value)| gist.note(&name.text(), value));
        gist.name_server(message.meta.iter().any(|(name, _)| name.is(SERVER_INFO.as_bytes())));
        gist
    }

    /// The gist of a raw result that came in no message.
    pub fn read(result: &[u8]) -> Self {
        let mut gist = Self::default();
        let mut named = false;
        for field in rpc::object_fields(result) {
            gist.note(&field.key, field.value);
            named |= *field.key == *b"_meta" && rpc::field(field.value, SERVER_INFO).is_some();
        }
        gist.name_server(named);
        gist
    }

    fn note(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"resultType" => self.kind = ResultKind::read(value),
            b"isError" => self.is_error = value == b"true",
            b"_meta" => self.server = Server::Unnamed,
            _ => (),
        }
    }

    fn name_server(&mut self, named: bool) {
        if named {
            self.server = Server::Named;
        }
    }
}

impl ResultKind {
    fn read(raw: &[u8]) -> Self {
        // As nearly every server writes it: no need to read it as text.
        if raw == br#""complete""# {
            return Self::Complete;
        }
        match rpc::string(raw).as_deref() {
            Some("complete") => Self::Complete,
            Some("input_required") => Self::InputRequired,
            Some("task") => Self::Task,
            _ => Self::Unknown,
        }
    }
}

/// A raw result that is handed on with its gist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawResult {
    raw: Piece,
    gist: Gist,
}

impl RawResult {
    /// The result in a message, which is a part of `text`.
    pub fn of(message: &Envelope<'_>, text: &Piece) -> Self {
        Self { raw: text.part(message.result.unwrap_or_default()), gist: Gist::of(message) }
    }

    /// Its gist.
    pub fn gist(&self) -> Gist {
        self.gist
    }
}

impl From<Piece> for RawResult {
    /// A result that came in no message, or that we made.
    fn from(raw: Piece) -> Self {
        Self { gist: Gist::read(&raw), raw }
    }
}

impl From<&str> for RawResult {
    fn from(raw: &str) -> Self {
        Self { gist: Gist::read(raw.as_bytes()), raw: raw.into() }
    }
}

impl Deref for RawResult {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.raw
    }
}

impl AsRef<[u8]> for RawResult {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The gist as noted on the pass, which must be what a walk over the result finds.
    fn gist(result: &str) -> Gist {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"params":{{"isError":true}},"result":{result}}}"#);
        let Ok(rpc::Message::Single(message)) = rpc::parse(body.as_bytes()) else { panic!("{body}") };
        let gist = Gist::of(&message);
        assert_eq!(gist, Gist::read(message.result.unwrap()), "{result}");
        let piece = Piece::from(&*body);
        let raw = RawResult::of(&message, &piece);
        assert_eq!((&raw[..], raw.gist()), (result.trim().as_bytes(), gist));
        gist
    }

    #[test]
    fn what_decides_is_noted() {
        assert_eq!(gist("{}"), Gist::default());
        assert_eq!(gist(" 7 "), Gist::default());
        let named =
            format!(r#"{{"is\u0045rror":true,"_meta":{{"a":1,"{SERVER_INFO}":{{}}}},"resultType":"t\u0061sk"}}"#);
        let expected = Gist { kind: ResultKind::Task, server: Server::Named, is_error: true };
        assert_eq!(gist(&named), expected);
        let nested = r#"{"isError":false,"content":[{"isError":true,"resultType":"task"}],"_meta":[1]}"#;
        assert_eq!(gist(nested), Gist { server: Server::Unnamed, ..Gist::default() });
        for (raw, kind) in [
            (r#""complete""#, ResultKind::Complete),
            (r#""input_required""#, ResultKind::InputRequired),
            (r#""Complete""#, ResultKind::Unknown),
            ("null", ResultKind::Unknown),
        ] {
            assert_eq!(gist(&format!(r#"{{"resultType":{raw}}}"#)).kind, kind);
        }
    }

    #[test]
    fn any_result_has_one_gist() {
        const KEYS: [&str; 6] = ["isError", "resultType", "_meta", "structuredContent", "x", SERVER_INFO];
        let values = [
            json!(true),
            json!("complete"),
            json!({}),
            json!({SERVER_INFO: 1}),
            json!([{"isError": true}]),
            json!({"_meta": {SERVER_INFO: {}}}),
        ];
        bolero::check!().with_type::<Vec<(u8, u8)>>().for_each(|picks| {
            let member = |&(key, value): &(u8, u8)| {
                (KEYS[usize::from(key) % KEYS.len()].to_owned(), values[usize::from(value) % values.len()].clone())
            };
            gist(&Value::Object(picks.iter().map(member).collect()).to_string());
        });
    }
}
