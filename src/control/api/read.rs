//! What a request says, read with bounds; what is wrong with it is a [`Problem`].

use super::problem::Problem;
use crate::base::limits::ADMIN_PAGE_MAX;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

/// The parameters of a path.
pub(super) struct At<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        read.map(|Path(read)| Self(read)).map_err(|wrong| Problem::bad(wrong.body_text()))
    }
}

/// The parameters of a query.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        read.map(|Query(read)| Self(read)).map_err(|wrong| Problem::bad(wrong.body_text()))
    }
}

/// Which part of a list is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The `next` of the page before; the first page where absent.
    after: Option<String>,
    /// Most entries, 1 to 1000; 100 where absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl Page {
    /// The entries of this page of a list sorted by name, and the name that the next page comes after.
    pub(super) fn of<'a, T>(
        &self,
        sorted: &'a [T],
        name: impl Fn(&T) -> &str,
    ) -> Result<(&'a [T], Option<String>), Problem> {
        let limit = self.limit.unwrap_or(100);
        if !(1..=ADMIN_PAGE_MAX).contains(&limit) {
            return Err(Problem::bad(format!("limit: write 1 to {ADMIN_PAGE_MAX}")));
        }
        let after = self.after.as_deref().unwrap_or_default();
        let rest = &sorted[sorted.partition_point(|entry| name(entry) <= after)..];
        let page = &rest[..limit.min(rest.len())];
        let next = page.last().filter(|_| rest.len() > limit).map(|last| name(last).to_owned());
        Ok((page, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all = ["a", "b", "c"];
        let page = |after: Option<&str>, limit| {
            let page = Page { after: after.map(str::to_owned), limit: Some(limit) };
            page.of(&all, |name| name).map(|(page, next)| (page.to_vec(), next)).ok()
        };
        assert_eq!(page(None, 2), Some((vec!["a", "b"], Some("b".into()))));
        assert_eq!(page(Some("b"), 2), Some((vec!["c"], None)));
        assert_eq!(page(Some("c"), 2), Some((vec![], None)));
        assert!(page(None, 0).is_none() && page(None, ADMIN_PAGE_MAX + 1).is_none());
    }
}
