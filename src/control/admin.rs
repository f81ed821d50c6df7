//! The admin listener: health and metrics, nothing that changes or starts anything.

use crate::control::health::Health;
use crate::telemetry::{CONTENT_TYPE, DriftMetrics, ProcessInfo, ServerTable, ShardMetrics, encode};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write as _;
use std::sync::Arc;

/// What the admin listener reads.
#[derive(Clone)]
pub struct Readings {
    /// The process's health.
    pub health: Arc<Health>,
    /// Every shard's meters, in the order of their ids.
    pub metrics: Arc<[Arc<ShardMetrics>]>,
    /// The names of the rows in them.
    pub servers: Arc<ServerTable>,
    /// The meters of changed and suspicious definitions.
    pub drift: Arc<DriftMetrics>,
}

/// The routes `/livez`, `/readyz` (alias `/healthz`) and `/metrics`.
pub(super) fn router(readings: Readings) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(readings)
}

async fn livez(State(readings): State<Readings>, RawQuery(query): RawQuery) -> Response {
    verdict(&readings, readings.health.alive(), query.as_deref())
}

async fn readyz(State(readings): State<Readings>, RawQuery(query): RawQuery) -> Response {
    verdict(&readings, readings.health.ready(), query.as_deref())
}

async fn metrics(State(readings): State<Readings>) -> Response {
    let text = encode(&readings.metrics, &readings.servers, &readings.drift, &ProcessInfo::read());
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

fn verdict(readings: &Readings, good: bool, query: Option<&str>) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::from(if good { "ok\n" } else { "not ok\n" });
    if query == Some("verbose") {
        for check in readings.health.checks() {
            let mark = match (check.good, check.vital) {
                (true, _) => '+',
                (false, true) => '-',
                (false, false) => '!',
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "[{mark}] {}", check.name);
        }
        // The gate serves without them: what they are of is withheld.
        let faults = readings.drift.pin_faults();
        if faults > 0 {
            let _ = writeln!(text, "[!] pins that cannot be read: {faults}; see `tollgate drift list`");
        }
    }
    (status, text).into_response()
}
