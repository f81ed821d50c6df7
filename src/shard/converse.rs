//! A legacy client's request to a modern server: what the server asks for in its answers, the client is asked with
//! requests of its own era, and the request is made again with what it said (2026-07-28, multi round-trip requests).

use crate::base::buf::Piece;
use crate::base::error::{Error, Kind, Result, Retry};
use crate::base::limits::{INPUT_ROUNDS_MAX, INPUT_TTL_MS};
use crate::mcp::input::InputRequired;
use crate::mcp::question::InputRequest;
use crate::mcp::revision::{Era, Revision};
use crate::rt::{random, time};
use crate::shard::Shard;
use crate::upstream::answer::{Answer, UpstreamCall};
use crate::upstream::operation::Input;
use crate::upstream::said::{Reply, Sink};
use crate::upstream::upstreams::Upstream;
use crate::wire::rpc;
use futures_util::future::try_join_all;
use std::time::Duration;

/// Least time between two rounds in which the server asks for nothing but to be called again.
const PACE: Duration = Duration::from_millis(250);

/// Calls a server for a client of this revision; again after each round of questions, where the client is one that
/// cannot take them in an answer.
pub(super) async fn call(
    shard: &Shard,
    server: &Upstream,
    call: &UpstreamCall<'_>,
    revision: &str,
    sink: &Sink,
) -> Result<Answer> {
    let answer = shard.call_upstream(server, call, sink).await?;
    if call.client == Era::Modern || !answer.asks_for_input() {
        return Ok(answer);
    }
    let revision = Revision::parse(revision).unwrap_or(Revision::NEWEST_LEGACY);
    // Boxed, as it is rare and each call would carry the room for it.
    Box::pin(rounds(shard, server, call, (revision, sink), answer)).await
}

async fn rounds(
    shard: &Shard,
    server: &Upstream,
    call: &UpstreamCall<'_>,
    (revision, sink): (Revision, &Sink),
    mut answer: Answer,
) -> Result<Answer> {
    for _ in 0..INPUT_ROUNDS_MAX {
        if !answer.asks_for_input() {
            return Ok(answer);
        }
        let required = InputRequired::read(answer.raw())?;
        if !required.is_permitted(call.caps) {
            return Err(Error::new(Kind::BadAnswer, "the server asks for what this client does not do for it"));
        }
        if required.requests.is_empty() {
            time::sleep(PACE).await;
        }
        let responses = ask_all(&required, revision, sink).await?;
        let state = required.state.as_deref().map(rpc::quoted);
        let input = Input { responses: Some(&responses), state: state.as_deref() };
        let again = shard.call_upstream(server, &UpstreamCall { input, ..*call }, sink).await;
        // It was sent in an earlier round.
        answer = again.map_err(|error| error.retry(Retry::Unsafe))?;
    }
    let words = format!("the server asks for input more than {INPUT_ROUNDS_MAX} times");
    Err(Error::new(Kind::BadAnswer, words))
}

/// The raw `inputResponses`, once the client has answered everything.
async fn ask_all(required: &InputRequired<'_>, revision: Revision, sink: &Sink) -> Result<Vec<u8>> {
    let asking = required.requests.iter().map(|(_, request)| ask(request, revision, sink));
    let answers = try_join_all(asking).await?;
    let mut out = vec![b'{'];
    for ((key, _), answer) in required.requests.iter().zip(answers) {
        if out.len() > 1 {
            out.push(b',');
        }
        rpc::quote(&mut out, key);
        out.push(b':');
        out.extend_from_slice(&answer);
    }
    out.push(b'}');
    Ok(out)
}

async fn ask(request: &InputRequest<'_>, revision: Revision, sink: &Sink) -> Result<Vec<u8>> {
    let id = u128::from_be_bytes(random::label());
    let params = request.legacy_params(revision, &format!("{id:032x}"));
    let answer = sink.ask(None, request.method.as_str(), Piece::from(&*params))?;
    let answer = time::timeout(Duration::from_millis(INPUT_TTL_MS), answer).await;
    match answer {
        Ok(Ok(Reply::Result(raw))) => {
            let answer = request.method.answer(&raw).map(|raw| raw.into_owned());
            answer
                .ok_or_else(|| Error::new(Kind::InvalidParams, "the client's answer is not of the form that was asked"))
        }
        Ok(Ok(Reply::Error(_))) => match request.method.refused() {
            Some(refused) => Ok(refused.to_vec()),
            None => Err(Error::new(Kind::Cancelled, "the client refused what the server asked of it")),
        },
        Ok(Err(_)) => {
            let words = "the server asks something, and this request cannot bring it to the client: \
                         send \"Accept: application/json, text/event-stream\"";
            Err(Error::new(Kind::InvalidRequest, words))
        }
        Err(_) => Err(Error::new(Kind::Timeout, "the client did not answer what the server asked of it")),
    }
}
