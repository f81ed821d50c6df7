//! Changes of what is kept in the store: made on a helper thread, in force everywhere before they are answered, and
//! only from the revision that the client has seen, where it says one.

use super::problem::Problem;
use crate::base::limits::ADMIN_BODY_MAX;
use crate::config::edit::{Edited, Editor, Refused};
use crate::control::orders::Desk;
use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Works on the store beside the configuration in force.
pub(super) async fn edit<T: Send + 'static>(
    desk: &Desk,
    work: impl FnOnce(&Editor<'_>) -> Edited<T> + Send + 'static,
) -> Result<T, Problem> {
    let compiled = desk.view().compiled.clone();
    let worked = tokio::task::spawn_blocking(move || work(&Editor::new(&compiled))).await;
    let died = |error: tokio::task::JoinError| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    worked.map_err(died)?.map_err(Problem::from)
}

/// As [`edit`], and waits until what came of it is in force.
pub(super) async fn change<T: Send + 'static>(
    desk: &Desk,
    work: impl FnOnce(&Editor<'_>) -> Edited<T> + Send + 'static,
) -> Result<T, Problem> {
    let changed = edit(desk, work).await?;
    // What is stored is taken in also where the file is wrong, and that is no fault of this change.
    if let Err(findings) = desk.reload().await {
        tracing::warn!(?findings, "what is stored was changed beside a wrong configuration file");
    }
    Ok(changed)
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::Store(error) => return error.clone().into(),
            Refused::Invalid(report) => {
                return Self::findings("this cannot be used: see the findings", report.lines());
            }
            Refused::Absent(..) => StatusCode::NOT_FOUND,
            Refused::Changed(..) => StatusCode::PRECONDITION_FAILED,
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, refused.to_string())
    }
}

/// The revision that the client has seen: `If-Match: "3"`. Nothing where it does not say.
pub(super) struct Seen(pub(super) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(said) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = said.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let wrong = || Problem::bad("If-Match: write an ETag of this API, such as \"3\"");
        number.and_then(|number| number.parse().ok()).map(|seen| Self(Some(seen))).ok_or_else(wrong)
    }
}

/// A body as JSON.
pub(super) struct Said<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with(b"application/json") {
            let what = "send \"Content-Type: application/json\"";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
        }
        let long =
            |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {ADMIN_BODY_MAX} bytes"));
        let body: Bytes = to_bytes(request.into_body(), ADMIN_BODY_MAX).await.map_err(long)?;
        serde_json::from_slice(&body).map(Self).map_err(|error| Problem::bad(format!("the body: {error}")))
    }
}

/// What is stored, with its revision as an ETag; nothing of the latter where it stands in the configuration file.
pub(super) struct Tagged<T>(pub(super) StatusCode, pub(super) T, pub(super) Option<i64>);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let Self(status, body, revision) = self;
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(tag) = revision.and_then(|revision| HeaderValue::from_str(&format!("\"{revision}\"")).ok()) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}
