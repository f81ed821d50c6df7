//! Who asks, whether they may, and the record of what they changed.

use super::problem::Problem;
use super::roles;
use crate::audit::Act;
use crate::config::Role;
use crate::control::orders::Desk;
use crate::control::socket::own_user;
use crate::policy::Presented;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, UnixListener};

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    /// A process of this machine, by its user; nothing where the kernel does not say.
    Local(Option<u32>),
    /// Anybody: the token says who.
    Tcp,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::Local(stream.io().peer_cred().ok().map(|peer| peer.uid()))
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(_: IncomingStream<'_, TcpListener>) -> Self {
        Self::Tcp
    }
}

/// Who asks.
#[derive(Debug)]
struct Who {
    name: String,
    role: Role,
}

/// Lets a request through if whoever sends it may, and records what changes something.
pub(super) async fn guard(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    // A client that hangs up ends what waits for it: what it has begun is done and recorded all the same.
    match tokio::spawn(async move { pass(&desk, request, next).await }).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request broke off: see the log").into_response(),
    }
}

async fn pass(desk: &Desk, request: Request, next: Next) -> Result<Response, Problem> {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|peer| peer.0);
    let who = identify(desk, peer, request.headers())?;
    refuse_pages(peer, request.headers())?;
    let method = request.method().clone();
    // A GET route answers HEAD too, and to ask for less is no more than to ask.
    let asked = if method == Method::HEAD { "GET" } else { method.as_str() };
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let action = format!("{asked} {route}");
    let object = request.uri().path().to_owned();
    let is_change = !matches!(asked, "GET" | "OPTIONS");
    let response = match roles::methods(&route) {
        methods if !methods.is_empty() && !methods.contains(&asked) => wrong_method(&methods),
        _ if roles::allows(who.role, asked, &route) => next.run(request).await,
        _ => {
            let what = format!("the role {} may not use {action}: see docs/admin-api.md", who.role.name());
            Problem::new(StatusCode::FORBIDDEN, what).into_response()
        }
    };
    if is_change {
        let (who, role, status) = (who.name.into(), who.role.name(), response.status().as_u16());
        desk.record(Act { who, role, action: action.into(), object: object.into(), status }).await?;
    }
    Ok(response)
}

/// Web pages have no business here, whoever forwards the socket to a port that they can reach.
fn refuse_pages(peer: Option<Peer>, headers: &HeaderMap) -> Result<(), Problem> {
    let is_local = matches!(peer, Some(Peer::Local(_)));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if headers.contains_key(header::ORIGIN) || is_local && !host.is_some_and(is_own_host) {
        let what = "the admin API is not for web pages: send no `Origin`, and `Host: localhost` over the socket";
        return Err(Problem::new(StatusCode::FORBIDDEN, what));
    }
    Ok(())
}

fn is_own_host(host: &str) -> bool {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || ["tollgate", "127.0.0.1", "[::1]"].contains(&name)
}

fn wrong_method(methods: &[&str]) -> Response {
    let methods = methods.join(", ");
    let what = format!("this route has other methods: {methods}");
    ([(header::ALLOW, methods)], Problem::new(StatusCode::METHOD_NOT_ALLOWED, what)).into_response()
}

fn identify(desk: &Desk, peer: Option<Peer>, headers: &HeaderMap) -> Result<Who, Problem> {
    match peer {
        Some(Peer::Local(Some(user))) if user == 0 || Some(user) == own_user().ok() => {
            Ok(Who { name: format!("user:{user}"), role: Role::Admin })
        }
        Some(Peer::Local(_)) => {
            let what = "only root and the gate's own user may use this socket";
            Err(Problem::new(StatusCode::FORBIDDEN, what))
        }
        Some(Peer::Tcp) => by_token(desk, headers),
        None => Err(unknown()),
    }
}

/// Every token is compared, each in constant time: nothing tells how near a guess came.
fn by_token(desk: &Desk, headers: &HeaderMap) -> Result<Who, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(one), None) = (given.next(), given.next()) else { return Err(unknown()) };
    let text = one.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).ok_or_else(unknown)?;
    let token = Presented::parse(text).ok_or_else(unknown)?;
    let view = desk.view();
    let mac = view.snapshot.keys.mac(&token);
    let mut found = None;
    for holder in &view.compiled.admin_tokens {
        if holder.mac.is(&mac) {
            found = Some(Who { name: format!("token:{}", holder.name), role: holder.role });
        }
    }
    found.ok_or_else(unknown)
}

fn unknown() -> Problem {
    let what = "no valid admin token: send \"Authorization: Bearer tg_…\", or use the socket in the state directory";
    Problem::new(StatusCode::UNAUTHORIZED, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_are_refused() {
        for (name, is_own) in [
            ("localhost:8081", true),
            ("tollgate", true),
            ("[::1]:80", true),
            ("[::1]", true),
            ("127.0.0.1", true),
            ("evil.example:80", false),
            ("localhost.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_own_host(name), is_own, "{name}");
        }
        let mut headers = HeaderMap::new();
        assert!(refuse_pages(Some(Peer::Tcp), &headers).is_ok());
        headers.insert(header::ORIGIN, header::HeaderValue::from_static("http://localhost"));
        assert!(refuse_pages(Some(Peer::Tcp), &headers).is_err());
    }
}
