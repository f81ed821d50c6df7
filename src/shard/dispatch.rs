//! From a request's head to its door: the path decides, and what must hold before any body is read is checked here.

use crate::base::clock::Clock;
use crate::base::error::{Error, Kind, Result};
use crate::base::phase::{Phase, Stamps};
use crate::catalog::Narrowing;
use crate::config::Snapshot;
use crate::policy::{Credential, Familiar, Principal, Refusal};
use crate::rt::stream::Stream;
use crate::shard::doors;
use crate::shard::doors::stream::After;
use crate::shard::entrance::Entrance;
use crate::shard::exchange::Exchange;
use crate::shard::refuse;
use crate::shard::{InForce, Shard};
use crate::wire::http::{Body, Header, Method, RequestHead, ServerConn};
use std::future::Future;
use std::rc::Rc;

/// The methods of the MCP doors, for `Allow` headers.
pub(crate) const MCP_METHODS: &str = "GET, POST, DELETE, OPTIONS";

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    /// An MCP door.
    Mcp(Entrance<&'a str>),
    /// The event streams of HTTP+SSE at a door.
    Events(Entrance<&'a str>),
    /// Where messages of HTTP+SSE are posted.
    Messages,
    /// A bare sign of life for load balancers.
    Alive,
    /// Nowhere.
    Nowhere,
}

/// Answers one request, and says what is left to do. An error means that the connection is of no further use.
///
/// Every request in flight keeps this future. So each thing is kept in it once: an `async fn` would keep its arguments
/// twice, as what it was given and as what it works with, and what a `match` takes apart stands beside its parts. Hence
/// a block that uses `head` where it was put, and references from here on down.
#[allow(clippy::manual_async_fn, reason = "an async fn would keep the head twice")]
pub(crate) fn answer<'a, S: Stream>(
    shard: &'a Rc<Shard>,
    conn: &'a mut ServerConn<S>,
    familiar: &'a mut Familiar,
    head: RequestHead,
) -> impl Future<Output = Result<After>> + use<'a, S> {
    async move {
        let answered = match &mut enter(shard, &head, familiar) {
            Ok(Entered::Mcp(exchange)) => return by_method(exchange, conn, &head).await,
            // Boxed: few clients still come this way, and every request would carry the room for it.
            Ok(Entered::Events(exchange)) => return Box::pin(doors::sse::events(exchange, conn, &head)).await,
            Ok(Entered::Messages(exchange)) => return Box::pin(doors::sse::messages(exchange, conn, &head)).await,
            Ok(Entered::Alive) => conn.respond(200, &[], Body::Empty).await,
            Err(error) => refuse::plain(shard, conn, error).await,
        };
        answered.map(|()| After::Done)
    }
}

/// What a head leads to once it has passed every check.
#[allow(clippy::large_enum_variant, reason = "one a request, and it stays where it is made")]
enum Entered {
    /// An MCP door.
    Mcp(Exchange),
    /// An event stream of HTTP+SSE.
    Events(Exchange),
    /// Where messages of HTTP+SSE are posted.
    Messages(Exchange),
    /// The sign of life.
    Alive,
}

fn enter(shard: &Rc<Shard>, head: &RequestHead, familiar: &mut Familiar) -> Result<Entered> {
    let mut stamps = Stamps::start();
    stamps.end(Phase::Read);
    let in_force = shard.in_force();
    if head.vouched(in_force.snapshot.epoch).is_none() {
        check_site(&in_force.snapshot, head)?;
    }
    match route(head.path()) {
        Route::Mcp(at) => exchange(shard, in_force, stamps, (head, familiar), at).map(Entered::Mcp),
        Route::Events(at) => exchange(shard, in_force, stamps, (head, familiar), at).map(Entered::Events),
        Route::Messages => exchange(shard, in_force, stamps, (head, familiar), Entrance::All).map(Entered::Messages),
        Route::Alive => Ok(Entered::Alive),
        Route::Nowhere => Err(no_such_path()),
    }
}

fn route(path: &str) -> Route<'_> {
    match path.trim_end_matches('/') {
        "/mcp" => Route::Mcp(Entrance::All),
        "/sse" => Route::Events(Entrance::All),
        "/messages" => Route::Messages,
        "/livez" => Route::Alive,
        other => match (below(other, "/mcp/"), below(other, "/sse/")) {
            (Some(at), _) => Route::Mcp(at),
            (_, Some(at)) => Route::Events(at),
            (None, None) => Route::Nowhere,
        },
    }
}

/// The door that a path names below another: by one segment a server, by `g` and one more a group.
fn below<'a>(path: &'a str, folder: &str) -> Option<Entrance<&'a str>> {
    let rest = path.strip_prefix(folder)?;
    let is_segment = |text: &&str| !text.is_empty() && !text.contains('/');
    match rest.strip_prefix("g/") {
        Some(group) => Some(group).filter(is_segment).map(Entrance::Group),
        None => Some(rest).filter(is_segment).map(Entrance::Server),
    }
}

/// `Host` against DNS rebinding, `Origin` against pages of other sites (docs/protocol.md 1, step 1).
fn check_site(snapshot: &Snapshot, head: &RequestHead) -> Result<()> {
    let listen = &snapshot.settings.listen;
    if !head.host().is_none_or(|host| listen.hosts.allows(host)) {
        let words = "this Host is not served here: add it to listen.allowed_hosts";
        return Err(Error::new(Kind::Forbidden, words));
    }
    let foreign = head.values(Header::Origin).any(|origin| !listen.origins.allows(origin));
    if foreign {
        let words = "pages of this Origin may not call the gate: add it to listen.allowed_origins";
        return Err(Error::new(Kind::Forbidden, words));
    }
    Ok(())
}

/// Finds out who asks and at which door, before any body is read. A key that may not see a server, or that has not
/// got a group, is told what it would be told if there were none of that name.
fn exchange(
    shard: &Rc<Shard>,
    in_force: Rc<InForce>,
    mut stamps: Stamps,
    (head, familiar): (&RequestHead, &mut Familiar),
    at: Entrance<&str>,
) -> Result<Exchange> {
    let principal = identify(shard, &in_force.snapshot, head, familiar)?;
    let (principal, door) = at.enter(&in_force.snapshot, principal).ok_or_else(no_such_path)?;
    let narrowing = Narrowing::parse(head.values(Header::TollgateTools))?;
    stamps.end(Phase::Identify);
    Ok(Exchange { shard: shard.clone(), in_force, principal, door, narrowing, cleared: None, stamps })
}

/// Who asks. A head like one whose key was found good brings that key again; whether it is still valid is looked at
/// each time.
fn identify(shard: &Shard, snapshot: &Snapshot, head: &RequestHead, familiar: &mut Familiar) -> Result<Principal> {
    let now = Clock::recent_wall();
    let known = head.vouched(snapshot.epoch).and_then(|key| snapshot.keys.standing(key, now));
    if let Some(principal) = known {
        return Ok(principal);
    }
    let credential = Credential::of_request(|header| head.find(header));
    let found = familiar.authenticate(&snapshot.keys, snapshot.epoch, &credential, now);
    let principal = found.map_err(|refusal| {
        shard.metrics.unauthorized.inc();
        tracing::debug!(refusal = refusal.name(), "a request without a valid key");
        Refusal::answer()
    })?;
    head.vouch(snapshot.epoch, principal.key);
    Ok(principal)
}

async fn by_method<S: Stream>(exchange: &mut Exchange, conn: &mut ServerConn<S>, head: &RequestHead) -> Result<After> {
    let answered = match head.method() {
        Method::Post if head.content_type_is_json() => return doors::mcp::post(exchange, conn, head).await,
        Method::Post => {
            let error = Error::new(Kind::UnsupportedMedia, "send \"Content-Type: application/json\"");
            refuse::plain(&exchange.shard, conn, &error).await
        }
        // Boxed, as what follows a rare method is not to be room in every call.
        Method::Get => return Box::pin(doors::stream::get(exchange, conn, head)).await,
        Method::Delete => Box::pin(doors::legacy::delete(exchange, conn, head)).await,
        Method::Options => conn.respond(204, &[("allow", MCP_METHODS)], Body::Empty).await,
        Method::Head | Method::Other => {
            let error = Error::new(Kind::MethodNotAllowed, "use POST; GET and DELETE belong to sessions");
            refuse::plain(&exchange.shard, conn, &error).await
        }
    };
    answered.map(|()| After::Done)
}

fn no_such_path() -> Error {
    Error::new(Kind::NotFound, "nothing is served at this path: use /mcp, /mcp/<server> or /mcp/g/<group>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_doors() {
        assert_eq!(route("/mcp"), Route::Mcp(Entrance::All));
        assert_eq!(route("/mcp/"), Route::Mcp(Entrance::All));
        assert_eq!(route("/mcp/github"), Route::Mcp(Entrance::Server("github")));
        assert_eq!(route("/livez"), Route::Alive);
        assert_eq!(route("/sse"), Route::Events(Entrance::All));
        assert_eq!(route("/sse/github/"), Route::Events(Entrance::Server("github")));
        assert_eq!(route("/mcp/g/dev/"), Route::Mcp(Entrance::Group("dev")));
        assert_eq!(route("/sse/g/dev"), Route::Events(Entrance::Group("dev")));
        assert_eq!(route("/mcp/g"), Route::Mcp(Entrance::Server("g")));
        assert_eq!(route("/messages"), Route::Messages);
        for lost in [
            "/",
            "/mcp/a/b",
            "/mcp/g/a/b",
            "/mcp/g//a",
            "/mcpx",
            "/.well-known/oauth-authorization-server",
            "*",
            "/MCP",
            "/sse/a/b",
            "/messages/a",
        ] {
            assert_eq!(route(lost), Route::Nowhere, "{lost}");
        }
    }
}
