//! Who may use which route: one table. What is not in it is refused, whoever asks.

use crate::config::Role::{self, Admin, Approver, Auditor, Operator};

/// A route and the roles that may use it.
pub(super) struct Rule {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    roles: &'static [Role],
}

const ALL: &[Role] = &[Admin, Operator, Auditor, Approver];
const READS: &[Role] = &[Admin, Operator, Auditor];
const ONE: &[Role] = &[Admin];
const RUNS: &[Role] = &[Admin, Operator];

const fn rule(method: &'static str, path: &'static str, roles: &'static [Role]) -> Rule {
    Rule { method, path, roles }
}

/// Every route of the API.
pub(super) const RULES: &[Rule] = &[
    rule("GET", "/v1/openapi.json", ALL),
    rule("GET", "/v1/state", ALL),
    rule("GET", "/v1/keys", READS),
    rule("POST", "/v1/keys", ONE),
    rule("GET", "/v1/keys/{id}", READS),
    rule("PATCH", "/v1/keys/{id}", ONE),
    rule("DELETE", "/v1/keys/{id}", ONE),
    rule("POST", "/v1/keys/{id}/revoke", RUNS),
    rule("GET", "/v1/teams", READS),
    rule("GET", "/v1/teams/{name}", READS),
    rule("PUT", "/v1/teams/{name}", ONE),
    rule("DELETE", "/v1/teams/{name}", ONE),
    rule("GET", "/v1/customers", READS),
    rule("GET", "/v1/customers/{name}", READS),
    rule("PUT", "/v1/customers/{name}", ONE),
    rule("DELETE", "/v1/customers/{name}", ONE),
    rule("GET", "/v1/tools", READS),
    rule("POST", "/v1/tools/{server}/{tool}/off", RUNS),
    rule("POST", "/v1/tools/{server}/{tool}/on", RUNS),
    rule("GET", "/v1/servers", READS),
    rule("POST", "/v1/servers/{server}/off", RUNS),
    rule("POST", "/v1/servers/{server}/on", RUNS),
    rule("GET", "/v1/limits", READS),
    rule("GET", "/v1/config/check", READS),
    rule("GET", "/v1/config/diff", READS),
    rule("POST", "/v1/config/reload", RUNS),
];

/// Whether a role may use a route.
pub(super) fn allows(role: Role, method: &str, path: &str) -> bool {
    let found = RULES.iter().find(|rule| rule.path == path && rule.method == method);
    found.is_some_and(|rule| rule.roles.contains(&role))
}

/// The methods of a route; none where there is no such route.
pub(super) fn methods(path: &str) -> Vec<&'static str> {
    RULES.iter().filter(|rule| rule.path == path).map(|rule| rule.method).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_table_is_refused_and_only_two_roles_change_anything() {
        for role in Role::ALL {
            assert!(!allows(role, "GET", "/v1/other") && !allows(role, "DELETE", "/v1/state"), "{role:?}");
            let changes = RULES.iter().filter(|rule| rule.method != "GET");
            let may = changes.filter(|rule| allows(role, rule.method, rule.path)).count();
            assert_eq!(may > 0, matches!(role, Admin | Operator), "{role:?}");
        }
        assert!(allows(Approver, "GET", "/v1/state") && !allows(Approver, "GET", "/v1/keys"));
    }
}
