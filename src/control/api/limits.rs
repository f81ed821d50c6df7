//! What every limit lets through now.

use super::problem::Problem;
use super::read::{Asked, Page};
use crate::base::clock::Clock;
use crate::control::orders::Desk;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// A limit and what it lets through now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Limit {
    /// `key:ID`, `team:NAME`, `customer:NAME`, `tools:NAME` or `server:NAME`.
    name: String,
    /// Each rate, and how many calls it would let through now.
    rates: Vec<RateLeft>,
    /// Most calls under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency_max: Option<u32>,
    /// Calls under way, where that is limited.
    under_way: u32,
}

/// A rate and what is left of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RateLeft {
    /// As it is written.
    rate: String,
    /// Calls it would let through now.
    left: u64,
}

/// A page of limits.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LimitPage {
    /// By name.
    limits: Vec<Limit>,
    /// What the next page comes `after`; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Every limit with what it lets through now.
#[utoipa::path(get, path = "/v1/limits", tag = "callers", params(Page),
    responses((status = 200, body = LimitPage),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn limits(State(desk): State<Desk>, Asked(page): Asked<Page>) -> Result<Json<LimitPage>, Problem> {
    let (view, now) = (desk.view(), Clock::now());
    let meters = view.snapshot.limits.meters();
    let mut named: Vec<_> = meters.map(|meter| (format!("{}:{}", meter.level.name(), meter.name), meter)).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    let (shown, next) = page.of(&named, |(name, _)| name)?;
    let limits = shown.iter().map(|(name, meter)| {
        let allowance = meter.allowance();
        let rates = allowance.rates.iter().zip(meter.left(now));
        Limit {
            name: name.clone(),
            rates: rates.map(|(rate, left)| RateLeft { rate: rate.to_string(), left }).collect(),
            concurrency_max: allowance.at_once,
            under_way: meter.under_way(),
        }
    });
    Ok(Json(LimitPage { limits: limits.collect(), next }))
}
