//! Teams and customers, of the configuration file and of the store.

use super::problem::Problem;
use super::read::{Asked, At, Page};
use super::stored::{Said, Seen, Tagged, change, edit};
use crate::base::limits::LEVELS_MAX;
use crate::config::edit::{Checked, Refused};
use crate::config::file::{Config, Customer, Team};
use crate::control::orders::Desk;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a team or a customer may do.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Bounds {
    /// The customer it belongs to, where it is a team.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    /// Patterns of tools that its keys may be granted at most; absent where it cuts nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    allow: Option<Vec<String>>,
    /// The same of prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompts: Option<Vec<String>>,
    /// The same of resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Vec<String>>,
    /// Groups of tools that its keys may be granted beside these; with any, what is absent allows nothing.
    groups: Vec<String>,
    /// Most calls in a time, such as `600/minute`.
    rates: Vec<String>,
    /// Most calls under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency_max: Option<u32>,
    /// Most money in a time, in US dollars, such as `5.00/day`.
    budgets: Vec<String>,
    /// Time zone of its days and months, such as `Europe/Berlin`; UTC where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
}

/// A team or a customer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Group {
    /// Its name.
    name: String,
    /// Where it stands: `file` or `store`. What stands in the file is changed there.
    source: &'static str,
    /// What it may do.
    bounds: Bounds,
}

/// A page of teams or customers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupPage {
    /// By name.
    items: Vec<Group>,
    /// What the next page comes `after`; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A team or a customer, as it is written.
trait Level: Checked + Send + 'static {
    /// Those of the configuration file.
    fn all(config: &Config) -> &BTreeMap<String, Self>;
    /// What it may do.
    fn bounds(&self) -> Bounds;
    /// One that may do this.
    fn of(bounds: Bounds) -> Result<Self, Problem>;
}

impl Level for Team {
    fn all(config: &Config) -> &BTreeMap<String, Self> {
        &config.teams
    }

    fn bounds(&self) -> Bounds {
        let Self { customer, allow, prompts, resources, groups, rates, concurrency_max, budgets, time_zone } =
            self.clone();
        Bounds { customer, allow, prompts, resources, groups, rates, concurrency_max, budgets, time_zone }
    }

    fn of(bounds: Bounds) -> Result<Self, Problem> {
        let Bounds { customer, allow, prompts, resources, groups, rates, concurrency_max, budgets, time_zone } = bounds;
        Ok(Self { customer, allow, prompts, resources, groups, rates, concurrency_max, budgets, time_zone })
    }
}

impl Level for Customer {
    fn all(config: &Config) -> &BTreeMap<String, Self> {
        &config.customers
    }

    fn bounds(&self) -> Bounds {
        let Self { allow, prompts, resources, groups, rates, concurrency_max, budgets, time_zone } = self.clone();
        Bounds { customer: None, allow, prompts, resources, groups, rates, concurrency_max, budgets, time_zone }
    }

    fn of(bounds: Bounds) -> Result<Self, Problem> {
        let Bounds { customer, allow, prompts, resources, groups, rates, concurrency_max, budgets, time_zone } = bounds;
        if customer.is_some() {
            return Err(Problem::bad("customer: a customer belongs to no other"));
        }
        Ok(Self { allow, prompts, resources, groups, rates, concurrency_max, budgets, time_zone })
    }
}

async fn list<T: Level>(desk: &Desk, page: &Page) -> Result<Json<GroupPage>, Problem> {
    let stored = edit(desk, |editor| Ok(editor.list::<T>("", LEVELS_MAX)?)).await?;
    let view = desk.view();
    let own = T::all(&view.compiled.written).iter();
    let own = own.map(|(name, level)| Group { name: name.clone(), source: "file", bounds: level.bounds() });
    let stored =
        stored.into_iter().map(|entry| Group { bounds: entry.object.bounds(), name: entry.name, source: "store" });
    let mut all: Vec<Group> = own.chain(stored).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let (shown, next) = page.of(&all, |group| &group.name)?;
    Ok(Json(GroupPage { items: shown.to_vec(), next }))
}

async fn get<T: Level>(desk: &Desk, name: String) -> Result<Tagged<Group>, Problem> {
    if let Some(level) = T::written(&desk.view().compiled.written, &name) {
        let group = Group { name, source: "file", bounds: level.bounds() };
        return Ok(Tagged(StatusCode::OK, group, None));
    }
    let entry = edit(desk, move |editor| editor.get::<T>(&name)?.ok_or(Refused::Absent(T::KIND, name)));
    let entry = entry.await?;
    let group = Group { bounds: entry.object.bounds(), name: entry.name, source: "store" };
    Ok(Tagged(StatusCode::OK, group, Some(entry.revision)))
}

async fn put<T: Level>(desk: &Desk, name: String, seen: Option<i64>, said: Bounds) -> Result<Tagged<Group>, Problem> {
    let level = T::of(said)?;
    let entry = change(desk, move |editor| match seen.is_some() || editor.get::<T>(&name)?.is_some() {
        true => editor.change::<T>(&name, seen, |known| *known = level),
        false => editor.create(&name, &level),
    });
    let entry = entry.await?;
    let group = Group { bounds: entry.object.bounds(), name: entry.name, source: "store" };
    Ok(Tagged(StatusCode::OK, group, Some(entry.revision)))
}

/// Teams, of the configuration file and of the store.
#[utoipa::path(get, path = "/v1/teams", tag = "callers", params(Page),
    responses((status = 200, body = GroupPage),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn teams(State(desk): State<Desk>, Asked(page): Asked<Page>) -> Result<Json<GroupPage>, Problem> {
    list::<Team>(&desk, &page).await
}

/// One team.
#[utoipa::path(get, path = "/v1/teams/{name}", tag = "callers",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Group, headers(("ETag" = String, description = "Its revision, if stored"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn team(State(desk): State<Desk>, At(name): At<String>) -> Result<Tagged<Group>, Problem> {
    get::<Team>(&desk, name).await
}

/// Makes a stored team, or replaces it whole. It is in force on every shard once this answers.
#[utoipa::path(put, path = "/v1/teams/{name}", tag = "callers", request_body = Bounds,
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Replace it only if it still has this ETag")),
    responses((status = 200, body = Group, headers(("ETag" = String, description = "Its new revision"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn put_team(
    State(desk): State<Desk>,
    At(name): At<String>,
    Seen(seen): Seen,
    Said(said): Said<Bounds>,
) -> Result<Tagged<Group>, Problem> {
    put::<Team>(&desk, name, seen, said).await
}

/// Deletes a stored team that nothing names.
#[utoipa::path(delete, path = "/v1/teams/{name}", tag = "callers",
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Delete it only if it still has this ETag")),
    responses((status = 204, description = "It is deleted"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn delete_team(
    State(desk): State<Desk>,
    At(name): At<String>,
    Seen(seen): Seen,
) -> Result<StatusCode, Problem> {
    change(&desk, move |editor| editor.delete::<Team>(&name, seen)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Customers, of the configuration file and of the store.
#[utoipa::path(get, path = "/v1/customers", tag = "callers", params(Page),
    responses((status = 200, body = GroupPage),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn customers(State(desk): State<Desk>, Asked(page): Asked<Page>) -> Result<Json<GroupPage>, Problem> {
    list::<Customer>(&desk, &page).await
}

/// One customer.
#[utoipa::path(get, path = "/v1/customers/{name}", tag = "callers",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Group, headers(("ETag" = String, description = "Its revision, if stored"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn customer(State(desk): State<Desk>, At(name): At<String>) -> Result<Tagged<Group>, Problem> {
    get::<Customer>(&desk, name).await
}

/// Makes a stored customer, or replaces it whole. It is in force on every shard once this answers.
#[utoipa::path(put, path = "/v1/customers/{name}", tag = "callers", request_body = Bounds,
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Replace it only if it still has this ETag")),
    responses((status = 200, body = Group, headers(("ETag" = String, description = "Its new revision"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn put_customer(
    State(desk): State<Desk>,
    At(name): At<String>,
    Seen(seen): Seen,
    Said(said): Said<Bounds>,
) -> Result<Tagged<Group>, Problem> {
    put::<Customer>(&desk, name, seen, said).await
}

/// Deletes a stored customer that nothing names.
#[utoipa::path(delete, path = "/v1/customers/{name}", tag = "callers",
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Delete it only if it still has this ETag")),
    responses((status = 204, description = "It is deleted"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn delete_customer(
    State(desk): State<Desk>,
    At(name): At<String>,
    Seen(seen): Seen,
) -> Result<StatusCode, Problem> {
    change(&desk, move |editor| editor.delete::<Customer>(&name, seen)).await?;
    Ok(StatusCode::NO_CONTENT)
}
