//! The listener and the connections of one shard: accept, greet with TLS where spoken, read request after request.

use crate::base::error::{Error, Kind, Result};
use crate::base::limits::HEAD_DEADLINE_MS;
use crate::policy::Familiar;
use crate::rt::net::{TcpListener, TcpStream};
use crate::rt::stream::Stream;
use crate::rt::{task, time};
use crate::shard::doors::stream::After;
use crate::shard::doors::{held, resume};
use crate::shard::{Busy, Shard, dispatch};
use crate::telemetry::events;
use crate::wire::http::ServerConn;
use crate::wire::tls;
use std::rc::Rc;
use std::time::Duration;

/// Pause after an accept that failed, for instance because no descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An open connection in the shard's count.
struct Open(Rc<Shard>);

impl Open {
    fn new(shard: &Rc<Shard>) -> Self {
        shard.metrics.connections.inc();
        shard.metrics.connections_open.inc();
        Self(shard.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.connections_open.dec();
    }
}

/// Accepts connections for as long as the shard lives. A cancelled accept loses a descriptor, so this is never dropped
/// before the thread ends; while the shard drains, what still comes is closed at once.
pub(crate) async fn accept(shard: Rc<Shard>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if shard.is_draining() => drop(stream),
            Ok((stream, _)) if shard.is_full() => {
                shard.metrics.connections_refused.inc();
                drop(stream);
            }
            Ok((stream, _)) => drop(task::spawn(greet(Open::new(&shard), stream))),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn greet(open: Open, stream: TcpStream) {
    let shard = open.0.clone();
    let served = match shard.identity() {
        None => serve(&shard, stream).await,
        // On the heap: a connection without TLS must not keep room for it.
        Some(identity) => match Box::pin(shake_hands(stream, identity)).await {
            Ok(stream) => Box::pin(serve(&shard, stream)).await,
            Err(error) => Err(error),
        },
    };
    if let Err(error) = served {
        events::connection_dropped(shard.id, &error);
    }
}

async fn shake_hands(
    stream: TcpStream,
    identity: std::sync::Arc<rustls::ServerConfig>,
) -> Result<tls::TlsStream<TcpStream>> {
    let limit = Duration::from_millis(HEAD_DEADLINE_MS);
    let slow = |_| Error::new(Kind::Timeout, "the TLS handshake took too long");
    time::timeout(limit, tls::TlsStream::accept(stream, identity)).await.map_err(slow)?.map_err(Error::from)
}

/// Answers the requests of one connection until either side has had enough.
async fn serve<S: Stream>(shard: &Rc<Shard>, stream: S) -> Result<()> {
    let mut conn = ServerConn::new(stream, shard.http_limits());
    let mut familiar = Familiar::default();
    loop {
        let head = match conn.read_head().await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(error) => {
                shard.metrics.requests_refused.inc();
                Box::pin(conn.refuse(&error)).await;
                return Ok(());
            }
        };
        shard.metrics.requests.inc();
        let _busy = Busy::new(shard);
        if shard.is_draining() {
            conn.close_after_answer();
        }
        // On the heap for as long as it runs: an idle connection keeps nothing of it, and neither does an open stream.
        // Written into its place: what is boxed as it is returned is made on the stack and moved.
        let answer = Box::write(Box::new_uninit(), dispatch::answer(shard, &mut conn, &mut familiar, head));
        match Box::into_pin(answer).await? {
            After::Done => {}
            After::Stream(stream) => Box::pin(held::keep(shard, &mut conn, stream)).await?,
            After::Resumed(reading) => Box::pin(resume::go_on(shard, &mut conn, reading)).await?,
        }
        if !conn.keep_alive() || shard.is_draining() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::RequestHead;

    /// The future that a function makes of its arguments.
    pub(crate) fn size<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_in_flight_keeps_little() {
        type Given = (&'static Rc<Shard>, &'static mut ServerConn<TcpStream>, &'static mut Familiar, RequestHead);
        let answer = size(|(shard, conn, familiar, head): Given| dispatch::answer(shard, conn, familiar, head));
        assert!(answer <= 5888, "{answer} bytes for each request in flight");
    }
}
