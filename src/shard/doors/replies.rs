//! What legacy clients send that asks for nothing: answers to what servers asked them, and words about their requests.

use crate::base::buf::Piece;
use crate::mcp::legacy::{Admitted, LegacyMessage};
use crate::mcp::session::Session;
use crate::shard::asked::QuestionId;
use crate::shard::exchange::Exchange;
use crate::shard::messages::ToShard;
use crate::upstream::said::Reply;

/// Takes in what needs no answer. A request under way may run on any shard, for it came over another connection; so may
/// the call that has asked.
pub(super) async fn take(exchange: &Exchange, session: &Session, admitted: &Admitted<'_>) {
    for message in &admitted.messages {
        match message {
            LegacyMessage::Cancelled(id) => cancel(exchange, session, id),
            LegacyMessage::Answered { id, reply } => Box::pin(answer(exchange, session, id, *reply)).await,
            LegacyMessage::Request(_) | LegacyMessage::Refused(_) | LegacyMessage::Ignored => {}
        }
    }
}

fn cancel(exchange: &Exchange, session: &Session, id: &[u8]) {
    let shard = &exchange.shard;
    if shard.in_flight.cancel(session.id, id) {
        return;
    }
    for other in shard.peers.others() {
        // A full mailbox loses this; cancelling is a courtesy that may come too late anyway.
        let _ = shard.peers.send(other, ToShard::Cancelled(session.id, id.into()));
    }
}

/// A response to nothing we asked is passed over.
async fn answer(exchange: &Exchange, session: &Session, id: &[u8], reply: Result<&[u8], &[u8]>) {
    let Some(question) = QuestionId::read(id) else { return };
    let reply = match reply {
        Ok(raw) => Reply::Result(Piece::from(raw)),
        Err(raw) => Reply::Error(Piece::from(raw)),
    };
    let shard = &exchange.shard;
    if question.shard == shard.id {
        shard.asked.answer(session.id, question.number, reply);
    } else if shard.peers.others().any(|other| other == question.shard) {
        shard.peers.deliver(question.shard, ToShard::ClientReplied(session.id, question.number, reply)).await;
    }
}
