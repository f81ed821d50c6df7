//! A request that goes to a server, as the client asked it.

use super::meta::{Params, wrong};
use super::skill::SkillMethod;
use super::task::TaskMethod;
use crate::base::error::Result;
use crate::wire::rpc;
use std::borrow::Cow;

/// The methods that a server answers, in either era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallMethod {
    /// `tools/call`.
    Tool,
    /// `prompts/get`.
    Prompt,
    /// `resources/read`.
    Resource,
    /// `completion/complete`.
    Complete,
    /// `tasks/get`, `tasks/update`, `tasks/cancel`; modern only.
    Task(TaskMethod),
    /// `skills/get`, `resources/directory/read`.
    Skill(SkillMethod),
}

impl CallMethod {
    /// The method of that name that both eras have.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "tools/call" => Some(Self::Tool),
            "prompts/get" => Some(Self::Prompt),
            "resources/read" => Some(Self::Resource),
            "completion/complete" => Some(Self::Complete),
            _ => SkillMethod::parse(name).map(Self::Skill),
        }
    }
}

/// The members of `params` that say what is asked; spans borrow from the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallParams<'a> {
    /// The method.
    pub method: CallMethod,
    /// What it is about: `name`, `uri` or `taskId`; empty for a completion.
    pub name: Cow<'a, str>,
    /// The raw `arguments` of a tool or prompt, an object, absent where the client sent none or `null`; the raw
    /// `argument` of a completion; the raw `cursor` of a folder.
    pub arguments: Option<&'a [u8]>,
    /// The raw `ref` and `context` of a completion.
    pub completes: Option<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> CallParams<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// `Kind::InvalidParams` (in band) where one is missing or of the wrong type.
    pub fn read(method: CallMethod, params: &Params<'a>) -> Result<Self> {
        let (named, words) = match method {
            CallMethod::Tool | CallMethod::Prompt => (params.name, "name must be a string"),
            CallMethod::Resource | CallMethod::Skill(_) => (params.uri, "uri must be a string"),
            CallMethod::Task(_) => (params.task_id, "taskId must be a string"),
            CallMethod::Complete => return Self::completion(params),
        };
        let name = named.and_then(rpc::string).ok_or_else(|| wrong(words))?;
        if let CallMethod::Skill(_) = method {
            let cursor = params.cursor.filter(|_| method == CallMethod::Skill(SkillMethod::Directory));
            if cursor.is_some_and(|raw| !rpc::is_string(raw)) {
                return Err(wrong("cursor must be a string"));
            }
            return Ok(Self { method, name, arguments: cursor, completes: None });
        }
        let arguments = params.arguments.filter(|raw| !rpc::is_null(raw));
        if arguments.is_some_and(|raw| !rpc::is_object(raw)) {
            return Err(wrong("arguments must be an object"));
        }
        Ok(Self { method, name, arguments, completes: None })
    }

    fn completion(params: &Params<'a>) -> Result<Self> {
        let object = |raw: Option<&'a [u8]>, words| raw.filter(|raw| rpc::is_object(raw)).ok_or_else(|| wrong(words));
        let reference = object(params.reference, "ref must be an object")?;
        let argument = object(params.argument, "argument must be an object")?;
        let context = params.context.filter(|raw| !rpc::is_null(raw));
        let context = context.map(|raw| object(Some(raw), "context must be an object")).transpose()?;
        let (method, name) = (CallMethod::Complete, Cow::Borrowed(""));
        Ok(Self { method, name, arguments: Some(argument), completes: Some((reference, context)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    fn read(method: CallMethod, params: &str) -> Result<CallParams<'_>> {
        CallParams::read(method, &Params::read(Some(params.as_bytes())))
    }

    #[test]
    fn a_call_keeps_its_arguments_raw() {
        let call = read(CallMethod::Tool, r#"{"name":"g\u0065t","arguments":{ "a" : 1.0 },"x":1}"#).unwrap();
        assert_eq!((&*call.name, call.arguments), ("get", Some(&br#"{ "a" : 1.0 }"#[..])));
        for none in [r#"{"name":"get"}"#, r#"{"name":"get","arguments":null}"#] {
            assert_eq!(read(CallMethod::Prompt, none).unwrap().arguments, None);
        }
    }

    #[test]
    fn each_method_is_about_something() {
        let get = CallMethod::Task(TaskMethod::Get);
        assert_eq!(read(CallMethod::Resource, r#"{"uri":"a://b"}"#).unwrap().name, "a://b");
        assert_eq!(read(get, r#"{"taskId":"t"}"#).unwrap().name, "t");
        let folder = CallMethod::Skill(SkillMethod::Directory);
        assert_eq!(read(folder, r#"{"uri":"a:b","cursor":"c"}"#).unwrap().arguments, Some(&br#""c""#[..]));
        let get_skill = CallMethod::Skill(SkillMethod::Get);
        assert_eq!(read(get_skill, r#"{"uri":"a:b","cursor":"c"}"#).unwrap().arguments, None);
        let complete = r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}"#;
        let complete = read(CallMethod::Complete, complete).unwrap();
        assert_eq!(complete.completes, Some((&br#"{"type":"ref/prompt","name":"p"}"#[..], None)));
        let bad = [
            (CallMethod::Tool, "{}"),
            (CallMethod::Tool, r#"{"name":1}"#),
            (CallMethod::Tool, r#"{"name":"get","arguments":[]}"#),
            (CallMethod::Resource, r#"{"name":"x"}"#),
            (get, r#"{"taskId":7}"#),
            (get_skill, "{}"),
            (folder, r#"{"uri":"a:b","cursor":7}"#),
            (CallMethod::Complete, r#"{"ref":1,"argument":{}}"#),
            (CallMethod::Complete, r#"{"ref":{}}"#),
            (CallMethod::Complete, r#"{"ref":{},"argument":{},"context":1}"#),
        ];
        for (method, params) in bad {
            assert_eq!(read(method, params).unwrap_err().kind, Kind::InvalidParams, "{params}");
        }
    }
}
