//! Virtual keys: list them, look at one, make, change, revoke and delete one.

use super::problem::Problem;
use super::read::{Asked, At, Page};
use super::stored::{Said, Seen, Tagged, change, edit};
use super::switches::{Switched, set};
use crate::base::clock::{Clock, WallTime};
use crate::base::ids::KeyId;
use crate::catalog::Sort;
use crate::config::Snapshot;
use crate::config::edit::{self, Refused};
use crate::config::file::Key;
use crate::control::orders::Desk;
use crate::policy::{KeyEntry, Refusal, Switch};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A key. Its secret is nowhere.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyView {
    /// The public half.
    id: String,
    /// What people call it.
    name: String,
    /// `valid`, `expired` or `revoked`.
    state: &'static str,
    /// Patterns of allowed tools.
    allow: Vec<String>,
    /// Patterns of allowed prompts.
    prompts: Vec<String>,
    /// Patterns of allowed resources.
    resources: Vec<String>,
    /// Its groups of tools.
    groups: Vec<String>,
    /// Its team.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// Most calls in a time.
    rates: Vec<String>,
    /// Most calls under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency_max: Option<u32>,
    /// Most money in a time, in US dollars.
    budgets: Vec<String>,
    /// Time zone of the days and months of its budgets.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    /// When it ends; never where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyPage {
    /// The keys, by id.
    keys: Vec<KeyView>,
    /// What the next page comes `after`; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn shown(snapshot: &Snapshot, entry: &KeyEntry, now: WallTime) -> KeyView {
    let key = &entry.key;
    let patterns = |sort| key.rights.of(sort).iter().map(ToString::to_string).collect();
    let allowance = key.allowance.as_deref();
    KeyView {
        id: key.id.to_string(),
        name: key.name.to_string(),
        state: match snapshot.keys.stands(key.id, now) {
            Ok(_) => "valid",
            Err(Refusal::Expired) => "expired",
            Err(_) => "revoked",
        },
        allow: patterns(Sort::Tools),
        prompts: patterns(Sort::Prompts),
        resources: patterns(Sort::Resources),
        groups: key.rights.groups.iter().map(|group| group.name.to_string()).collect(),
        team: key.team.as_ref().map(|team| team.name.to_string()),
        rates: allowance.iter().flat_map(|allowed| allowed.rates.iter().map(ToString::to_string)).collect(),
        concurrency_max: allowance.and_then(|allowed| allowed.at_once),
        budgets: allowance.iter().flat_map(|allowed| allowed.budgets.iter().map(ToString::to_string)).collect(),
        time_zone: allowance.and_then(|allowed| allowed.budgets.first()).map(|terms| terms.zone.name().to_owned()),
        expires: key.expires.map(rfc3339),
    }
}

/// The keys in force.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(Page),
    responses((status = 200, body = KeyPage),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(State(desk): State<Desk>, Asked(page): Asked<Page>) -> Result<Json<KeyPage>, Problem> {
    let (view, now) = (desk.view(), Clock::wall());
    let (keys, next) = page.of(view.snapshot.keys.entries(), |entry| entry.key.id.as_str())?;
    let keys = keys.iter().map(|entry| shown(&view.snapshot, entry, now)).collect();
    Ok(Json(KeyPage { keys, next }))
}

/// One key.
#[utoipa::path(get, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's public half")),
    responses((status = 200, body = KeyView, headers(("ETag" = String, description = "Its revision, if stored"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(State(desk): State<Desk>, At(id): At<String>) -> Result<Tagged<KeyView>, Problem> {
    let view = desk.view();
    let key = KeyId::parse(&id).ok_or_else(|| no_key(&id))?;
    let entry = view.snapshot.keys.entry(key).ok_or_else(|| no_key(&id))?;
    let stored = edit(&desk, move |editor| Ok(editor.get::<Key>(key.as_str())?)).await?;
    let revision = stored.map(|stored| stored.revision);
    Ok(Tagged(StatusCode::OK, shown(&view.snapshot, entry, Clock::wall()), revision))
}

/// What a new key is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// What people call it: 1 to 128 characters on one line.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// Patterns of allowed tools; nothing is allowed where absent.
    #[serde(default)]
    allow: Vec<String>,
    /// Patterns of allowed prompts; nothing is allowed where absent.
    #[serde(default)]
    prompts: Vec<String>,
    /// Patterns of allowed resources; nothing is allowed where absent.
    #[serde(default)]
    resources: Vec<String>,
    /// Groups of tools, by their names in the configuration.
    #[serde(default)]
    groups: Vec<String>,
    /// Its team.
    team: Option<String>,
    /// Most calls in a time, such as `600/minute`.
    #[serde(default)]
    rates: Vec<String>,
    /// Most calls under way at once.
    concurrency_max: Option<u32>,
    /// Most money in a time, in US dollars, such as `5.00/day`.
    #[serde(default)]
    budgets: Vec<String>,
    /// Time zone of its days and months, such as `Europe/Berlin`; UTC where absent.
    time_zone: Option<String>,
    /// When it ends, as `2027-02-20T00:00:00Z`; never where absent.
    expires: Option<String>,
}

/// A key that was made. The secret is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeKey {
    /// The public half.
    id: String,
    /// The whole token, for `Authorization: Bearer`.
    key: String,
}

/// Makes a key. It is in force on every shard once this answers.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = NewKey,
    responses((status = 201, body = MadeKey, headers(("ETag" = String, description = "Its revision"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn create(State(desk): State<Desk>, Said(new): Said<NewKey>) -> Result<Tagged<MadeKey>, Problem> {
    let state = desk.view().compiled.settings.state.clone();
    let made = change(&desk, move |editor| {
        let (token, mac) = edit::mint(&state)?;
        let NewKey { name, allow, prompts, resources, groups, team, rates, .. } = new;
        let NewKey { concurrency_max, budgets, time_zone, expires, .. } = new;
        let (id, created) = (token.id().to_string(), Some(rfc3339(Clock::wall())));
        let rights = Key { allow, prompts, resources, groups, team, ..Key::default() };
        let key = Key { id, name, mac, expires, created, rates, concurrency_max, budgets, time_zone, ..rights };
        let entry = editor.create(&key.id, &key)?;
        Ok((MadeKey { id: key.id, key: token.reveal().to_owned() }, entry.revision))
    });
    let (made, revision) = made.await?;
    Ok(Tagged(StatusCode::CREATED, made, Some(revision)))
}

/// What changes of a key: what is absent stays, and `null` takes a team, a limit, a time zone or an end away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyChange {
    /// What people call it: 1 to 128 characters on one line.
    #[schema(min_length = 1, max_length = 128)]
    #[serde(default, deserialize_with = "there")]
    name: Option<String>,
    /// Patterns of allowed tools.
    #[serde(default, deserialize_with = "there")]
    allow: Option<Vec<String>>,
    /// Patterns of allowed prompts.
    #[serde(default, deserialize_with = "there")]
    prompts: Option<Vec<String>>,
    /// Patterns of allowed resources.
    #[serde(default, deserialize_with = "there")]
    resources: Option<Vec<String>>,
    /// Groups of tools.
    #[serde(default, deserialize_with = "there")]
    groups: Option<Vec<String>>,
    /// Its team.
    #[serde(default, deserialize_with = "there")]
    #[schema(value_type = Option<String>)]
    team: Option<Option<String>>,
    /// Most calls in a time.
    #[serde(default, deserialize_with = "there")]
    rates: Option<Vec<String>>,
    /// Most calls under way at once.
    #[serde(default, deserialize_with = "there")]
    #[schema(value_type = Option<u32>)]
    concurrency_max: Option<Option<u32>>,
    /// Most money in a time, in US dollars.
    #[serde(default, deserialize_with = "there")]
    budgets: Option<Vec<String>>,
    /// Time zone of its days and months.
    #[serde(default, deserialize_with = "there")]
    #[schema(value_type = Option<String>)]
    time_zone: Option<Option<String>>,
    /// When it ends.
    #[serde(default, deserialize_with = "there")]
    #[schema(value_type = Option<String>)]
    expires: Option<Option<String>>,
}

/// What is there is said, `null` too: it takes away what may be missing, and is refused of anything else.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl KeyChange {
    fn apply(self, key: &mut Key) {
        fn set<T>(field: &mut T, said: Option<T>) {
            if let Some(said) = said {
                *field = said;
            }
        }
        set(&mut key.name, self.name);
        set(&mut key.allow, self.allow);
        set(&mut key.prompts, self.prompts);
        set(&mut key.resources, self.resources);
        set(&mut key.groups, self.groups);
        set(&mut key.rates, self.rates);
        set(&mut key.budgets, self.budgets);
        set(&mut key.time_zone, self.time_zone);
        set(&mut key.team, self.team);
        set(&mut key.concurrency_max, self.concurrency_max);
        set(&mut key.expires, self.expires);
    }
}

/// Changes a stored key. It is in force on every shard once this answers.
#[utoipa::path(patch, path = "/v1/keys/{id}", tag = "keys", request_body = KeyChange,
    params(("id" = String, Path, description = "The key's public half"),
        ("If-Match" = Option<String>, Header, description = "Change it only if it still has this ETag")),
    responses((status = 204, description = "Changed", headers(("ETag" = String, description = "Its new revision"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn set_key(
    State(desk): State<Desk>,
    At(id): At<String>,
    Seen(seen): Seen,
    Said(said): Said<KeyChange>,
) -> Result<impl IntoResponse, Problem> {
    let entry = change(&desk, move |editor| editor.change::<Key>(&id, seen, |key| said.apply(key))).await?;
    Ok((StatusCode::NO_CONTENT, [(header::ETAG, format!("\"{}\"", entry.revision))]))
}

/// Deletes a stored key; its calls under way end.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's public half"),
        ("If-Match" = Option<String>, Header, description = "Delete it only if it still has this ETag")),
    responses((status = 204, description = "It is deleted"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn delete(
    State(desk): State<Desk>,
    At(id): At<String>,
    Seen(seen): Seen,
) -> Result<StatusCode, Problem> {
    change(&desk, move |editor| editor.delete::<Key>(&id, seen)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes a key for good: requests with it are refused and its calls under way cancelled, on every shard.
#[utoipa::path(post, path = "/v1/keys/{id}/revoke", tag = "keys",
    params(("id" = String, Path, description = "The key's public half")),
    responses((status = 200, body = Switched),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn revoke(State(desk): State<Desk>, At(id): At<String>) -> Result<Json<Switched>, Problem> {
    let key = KeyId::parse(&id).ok_or_else(|| no_key(&id))?;
    let is_known = desk.view().snapshot.keys.entry(key).is_some();
    // One that was made a moment ago may be in the store alone.
    if !is_known && edit(&desk, move |editor| Ok(editor.get::<Key>(key.as_str())?)).await?.is_none() {
        return Err(no_key(&id));
    }
    let switched = set(&desk, Switch::Key(key), true).await?;
    // That it is revoked is in force and kept by now, whatever the store says. One of the configuration file is not in
    // it at all.
    let marked = edit(&desk, move |editor| match editor.revoke(key.as_str()) {
        Ok(_) | Err(Refused::Absent(..) | Refused::Written(..)) => Ok(()),
        Err(error) => Err(error),
    });
    if let Err(problem) = marked.await {
        tracing::warn!(key = key.as_str(), ?problem, "a revoked key is not marked so in the store");
    }
    Ok(switched)
}

fn rfc3339(at: WallTime) -> String {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

fn no_key(id: &str) -> Problem {
    Problem::not_found(format!("no key has the id {id:.40}: see /v1/keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_takes_away_what_may_be_missing_and_is_refused_of_the_rest() {
        let mut key = Key { team: Some("t".into()), expires: Some("2027-02-20T00:00:00Z".into()), ..Key::default() };
        let said: KeyChange = serde_json::from_str(r#"{"expires":null}"#).expect("said");
        said.apply(&mut key);
        assert_eq!((key.expires, key.team.as_deref()), (None, Some("t")));
        assert!(serde_json::from_str::<KeyChange>(r#"{"allow":null}"#).is_err());
    }
}
