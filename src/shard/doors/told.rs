//! An answer in the words that its client knows: what a server calls something, a client may know by another name.

use crate::base::buf::Piece;
use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::ServerId;
use crate::mcp::caps::ClientCaps;
use crate::mcp::result::{RawResult, ResultKind};
use crate::mcp::revision::Era;
use crate::mcp::skill::SkillMethod;
use crate::mcp::task::{self, Task, TaskId, TaskMethod};
use crate::shard::call::{Call, unserved};
use crate::shard::doors::asking;
use crate::shard::exchange::Exchange;
use crate::shard::wanted::{self, Wanted};
use crate::upstream::answer::{Answer, Outcome};
use crate::wire::rpc::{self, Edit};

/// The answer as a modern client is to see it.
///
/// # Errors
/// [`crate::base::error::Kind::BadAnswer`]: the server answered what cannot be told.
pub(super) fn to_client(exchange: &Exchange, call: &Call<'_>, answer: Answer) -> Result<Answer> {
    let answer = match (call.wanted, &answer.outcome) {
        (Wanted::Task { method, id }, _) => about_task(exchange, call, (method, id), answer)?,
        (Wanted::Skill { method, uri, .. }, Outcome::Result(_)) => about_skill(exchange, (method, uri), answer),
        (Wanted::Resource { uri }, Outcome::Result(_)) => read(uri, answer),
        (_, Outcome::Result(result)) if result.gist().kind == ResultKind::Task => begun(exchange, call, answer)?,
        _ => answer,
    };
    asking::late(exchange, call, answer)
}

/// A legacy client's, which has no tasks of this kind.
pub(super) fn to_legacy_client(exchange: &Exchange, call: &Call<'_>, answer: Answer) -> Answer {
    match call.wanted {
        Wanted::Skill { method, uri, .. } => about_skill(exchange, (method, uri), answer),
        Wanted::Resource { uri } => read(uri, answer),
        _ => answer,
    }
}

/// The answer that begins a task: its id is sealed to this key. One that the client has not asked for is left as it is
/// and refused later.
fn begun(exchange: &Exchange, call: &Call<'_>, answer: Answer) -> Result<Answer> {
    let admitted = wanted::find(exchange, &call.wanted);
    let (Some(admitted), true) = (admitted, call.caps.has(ClientCaps::TASKS)) else {
        return Ok(answer);
    };
    let task = Task::read(answer.raw())?;
    permitted(exchange, call, admitted.server, &task)?;
    let server = exchange.catalog().server_name(admitted.server);
    let id = TaskId::seal(&exchange.shard.sealing, server, &exchange.principal.key, &task.id);
    Ok(renamed(exchange, &id, &answer))
}

/// Whether its server may ask what the task asks.
fn permitted(exchange: &Exchange, call: &Call<'_>, server: ServerId, task: &Task<'_>) -> Result<()> {
    let server = exchange.snapshot().server(server);
    let caps = server.map_or(ClientCaps::default(), |spec| call.caps.allowed_by(spec.asks));
    match task.is_permitted(caps) {
        true => Ok(()),
        false => Err(Error::new(Kind::BadAnswer, "the task asks for what this client does not do for its server")),
    }
}

fn about_task(
    exchange: &Exchange,
    call: &Call<'_>,
    (method, id): (TaskMethod, &str),
    answer: Answer,
) -> Result<Answer> {
    match &answer.outcome {
        Outcome::Error(error) if task::is_unknown(error) => Err(task::unknown()),
        // `tasks/get` alone says the id again; an acknowledgement is empty.
        Outcome::Result(result) if method == TaskMethod::Get || rpc::field(result, "taskId").is_some() => {
            let own = TaskId::open(&exchange.shard.sealing, id, &exchange.principal.key)?;
            let (server, _) = exchange.snapshot().server_by_name(&own.server).ok_or_else(unserved)?;
            permitted(exchange, call, server, &Task::read_of(result, &own.inner)?)?;
            Ok(renamed(exchange, id, &answer))
        }
        _ => Ok(answer),
    }
}

fn renamed(exchange: &Exchange, id: &str, answer: &Answer) -> Answer {
    let result = task::renamed(answer.raw(), id, &exchange.shard.model);
    Answer { outcome: Outcome::Result(RawResult::from(Piece::from(result))), era: Era::Modern }
}

/// What a server says of a skill, with the URIs by which clients at this door know its files, and with a folder's
/// cursor sealed to this key.
fn about_skill(exchange: &Exchange, (method, uri): (SkillMethod, &str), answer: Answer) -> Answer {
    let catalog = exchange.catalog();
    let Some(owned) = catalog.resolve_skill(exchange.door, uri, exchange.grant()) else { return answer };
    let Outcome::Result(result) = &answer.outcome else { return answer };
    let known = |uri: &str| catalog.listed_uri(exchange.door, owned.server, uri).into_owned().into();
    let renamed = method.renamed(result, &known);
    let told = renamed.as_deref().unwrap_or(result);
    let sealed = match method {
        SkillMethod::Directory => {
            let folder = wanted::folder_of(exchange, owned.server, uri);
            folder.sealed(&exchange.shard.sealing, told, Clock::recent_wall())
        }
        SkillMethod::Get => None,
    };
    match sealed.or(renamed) {
        Some(told) => Answer { outcome: Outcome::Result(RawResult::from(Piece::from(told))), era: answer.era },
        None => answer,
    }
}

/// What was read, under the URI that the client asked for where the server knows it by another.
fn read(uri: &str, answer: Answer) -> Answer {
    let Some((own, _)) = crate::catalog::original(uri) else { return answer };
    let contents = rpc::field(answer.raw(), "contents").filter(|raw| rpc::is_array(raw));
    let (Some(contents), Outcome::Result(_)) = (contents, &answer.outcome) else { return answer };
    let mut array = vec![b'['];
    for item in rpc::array_items(contents) {
        if array.len() > 1 {
            array.push(b',');
        }
        match rpc::field(item, "uri").and_then(rpc::string) {
            Some(told) if told == own => rpc::edit(&mut array, item, &[Edit::Set("uri", &rpc::quoted(uri))]),
            _ => array.extend_from_slice(item),
        }
    }
    array.push(b']');
    let mut result = Vec::with_capacity(answer.raw().len() + 64);
    rpc::edit(&mut result, answer.raw(), &[Edit::Set("contents", &array)]);
    Answer { outcome: Outcome::Result(RawResult::from(Piece::from(result))), era: answer.era }
}
