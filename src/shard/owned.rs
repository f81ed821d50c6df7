//! A call that owns what it says, so that it can outlive the request it came in.

use crate::mcp::caps::ClientCaps;
use crate::mcp::skill::SkillMethod;
use crate::mcp::task::TaskMethod;
use crate::mcp::vendor::Declared;
use crate::shard::call::{Call, Caller};
use crate::shard::wanted::Wanted;
use crate::upstream::answer::OwnedMeta;
use crate::upstream::operation::OwnedInput;

/// The owned form of a [`Call`].
pub(crate) struct OwnedCall {
    wanted: OwnedWanted,
    input: OwnedInput,
    meta: OwnedMeta,
    caps: ClientCaps,
    era: crate::audit::Era,
    revision: Box<str>,
    client: Box<str>,
    client_version: Box<str>,
    trace_id: [u8; 16],
    session: Option<[u8; 16]>,
}

enum OwnedWanted {
    Tool { name: Box<str>, arguments: Option<Box<[u8]>> },
    Prompt { name: Box<str>, arguments: Option<Box<[u8]>> },
    Resource { uri: Box<str> },
    Complete { reference: Box<[u8]>, argument: Box<[u8]>, context: Option<Box<[u8]>> },
    Task { method: TaskMethod, id: Box<str> },
    Skill { method: SkillMethod, uri: Box<str>, cursor: Option<Box<[u8]>> },
}

impl From<Wanted<'_>> for OwnedWanted {
    fn from(wanted: Wanted<'_>) -> Self {
        let owned = |raw: Option<&[u8]>| raw.map(Into::into);
        match wanted {
            Wanted::Tool { name, arguments } => Self::Tool { name: name.into(), arguments: owned(arguments) },
            Wanted::Prompt { name, arguments } => Self::Prompt { name: name.into(), arguments: owned(arguments) },
            Wanted::Resource { uri } => Self::Resource { uri: uri.into() },
            Wanted::Complete { reference, argument, context } => {
                Self::Complete { reference: reference.into(), argument: argument.into(), context: owned(context) }
            }
            Wanted::Task { method, id } => Self::Task { method, id: id.into() },
            Wanted::Skill { method, uri, cursor } => Self::Skill { method, uri: uri.into(), cursor: owned(cursor) },
        }
    }
}

impl OwnedWanted {
    fn borrowed(&self) -> Wanted<'_> {
        match self {
            Self::Tool { name, arguments } => Wanted::Tool { name, arguments: arguments.as_deref() },
            Self::Prompt { name, arguments } => Wanted::Prompt { name, arguments: arguments.as_deref() },
            Self::Resource { uri } => Wanted::Resource { uri },
            Self::Complete { reference, argument, context } => {
                Wanted::Complete { reference, argument, context: context.as_deref() }
            }
            Self::Task { method, id } => Wanted::Task { method: *method, id },
            Self::Skill { method, uri, cursor } => Wanted::Skill { method: *method, uri, cursor: cursor.as_deref() },
        }
    }
}

impl From<&Call<'_>> for OwnedCall {
    fn from(call: &Call<'_>) -> Self {
        let caller = &call.caller;
        Self {
            wanted: call.wanted.into(),
            input: call.input.into(),
            meta: call.meta.into(),
            caps: call.caps,
            era: caller.era,
            revision: caller.revision.into(),
            client: caller.client.into(),
            client_version: caller.client_version.into(),
            trace_id: caller.trace_id,
            session: caller.session,
        }
    }
}

impl OwnedCall {
    /// The call it is.
    pub(crate) fn as_call(&self) -> Call<'_> {
        Call {
            wanted: self.wanted.borrowed(),
            input: self.input.borrowed(),
            meta: self.meta.borrowed(),
            caps: self.caps,
            // Only calls to legacy servers outlive their request.
            declared: Declared::default(),
            caller: Caller {
                era: self.era,
                revision: &self.revision,
                client: &self.client,
                client_version: &self.client_version,
                trace_id: self.trace_id,
                session: self.session,
            },
        }
    }
}
