//! Who may call, exactly as written: groups, customers, teams, keys, and limits of tools.
//!
//! What they have in common is written out in each: serde cannot flatten a shared part and refuse unknown fields too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A group: a named set of tools, prompts and resources of any servers, served at `/mcp/g/NAME` too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    /// Patterns of the tools in it: `server/tool`, `server/*`, `server/get_*`, `*/*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Patterns of the prompts in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// Patterns of the resources in it, held against their URIs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Patterns of tools that are not in it all the same: `server/delete_*`. What else a key has is not touched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_tools: Vec<String>,
    /// Patterns of prompts that are not in it all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_prompts: Vec<String>,
    /// Patterns of resources that are not in it all the same, however their URIs are written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_resources: Vec<String>,
    /// What tools are called through it, by `server/tool`: 1 to 64 of `A-Z`, `a-z`, `0-9`, `_` and `-`, without `__`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// What is said of tools in place of their descriptions, by `server/tool`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub describe: BTreeMap<String, String>,
}

/// A customer: teams with a common bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Customer {
    /// Patterns of tools that its keys may be granted at most: `server/tool`, `server/*`. Where absent, a key may use
    /// what the key itself allows; an empty list allows nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// Patterns of prompts that its keys may be granted at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Vec<String>>,
    /// Patterns of resources that its keys may be granted at most, held against their URIs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// Groups of tools that its keys may be granted beside these lists. With any, a list that is left out allows
    /// nothing. Their doors are there for its keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Most calls in a time, such as `["10/second", "2000/day"]`: of `second`, `minute`, `hour` and `day`, one each.
    /// All of them hold. `0/day` lets nothing through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<String>,
    /// Most calls under way at once; as many as there are where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// Most money in a time, in US dollars, such as `["5.00/day", "100/month"]`: of `minute`, `hour`, `day`, `week`,
    /// `month` and `year`, one each. All of them hold. What tools cost is said by `tool_prices`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<String>,
    /// Time zone of its days and months, such as `Europe/Berlin`; `UTC` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// A team: keys with a common bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Team {
    /// The customer it belongs to. It may do no more than the customer may, and counts there too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Patterns of tools that its keys may be granted at most: `server/tool`, `server/*`. Where absent, a key may use
    /// what the key itself allows; an empty list allows nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// Patterns of prompts that its keys may be granted at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Vec<String>>,
    /// Patterns of resources that its keys may be granted at most, held against their URIs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// Groups of tools that its keys may be granted beside these lists. With any, a list that is left out allows
    /// nothing. Their doors are there for its keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Most calls in a time, such as `["10/second", "2000/day"]`: of `second`, `minute`, `hour` and `day`, one each.
    /// All of them hold. `0/day` lets nothing through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<String>,
    /// Most calls under way at once; as many as there are where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// Most money in a time, in US dollars, such as `["5.00/day", "100/month"]`: of `minute`, `hour`, `day`, `week`,
    /// `month` and `year`, one each. All of them hold. What tools cost is said by `tool_prices`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<String>,
    /// Time zone of its days and months, such as `Europe/Berlin`; `UTC` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// A limit of some tools together, whoever calls them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ToolLimit {
    /// What people call it, in answers too: 1 to 64 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// Patterns of the tools: `server/tool`, `server/delete_*`.
    pub tools: Vec<String>,
    /// Most calls in a time, such as `["10/second", "2000/day"]`: of `second`, `minute`, `hour` and `day`, one each.
    /// All of them hold. `0/day` lets nothing through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<String>,
    /// Most calls under way at once; as many as there are where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// Most money in a time, in US dollars, such as `["5.00/day", "100/month"]`: of `minute`, `hour`, `day`, `week`,
    /// `month` and `year`, one each. All of them hold. What tools cost is said by `tool_prices`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<String>,
    /// Time zone of its days and months, such as `Europe/Berlin`; `UTC` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// What calls of some tools cost: `price` for each call, and `each` for what one of `argument`, `result_bytes` and
/// `result_field` counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ToolPrice {
    /// Patterns of the tools: `server/tool`, `server/search_*`. The first entry that covers a tool says its price.
    pub tools: Vec<String>,
    /// What every call costs, in US dollars: `0.002`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// Place of a number in the arguments that is paid for, as a JSON pointer: `/count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    /// Whether the bytes of the result are paid for.
    #[serde(skip_serializing_if = "is_false")]
    pub result_bytes: bool,
    /// Place of a number in the result that is paid for, as a JSON pointer: `/structuredContent/usage/cost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_field: Option<String>,
    /// What `per` of what is counted cost, in US dollars: `1` where the result itself says dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
    /// How many are paid with `each`; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub per: Option<u64>,
    /// The most that one call costs, in US dollars: reserved before it is made, and charged where what is counted
    /// cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
}

/// What a request without a key may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Anonymous {
    /// Patterns of allowed tools: `server/tool`, `server/*`, `server/get_*`, `*/*`.
    pub allow: Vec<String>,
    /// Patterns of allowed prompts: `server/prompt`, `server/*`, `*/*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// Patterns of allowed resources, held against their URIs: `server/file:///docs/*`, `server/*`, `*/*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Most calls in a time, such as `["10/second", "2000/day"]`: of `second`, `minute`, `hour` and `day`, one each.
    /// All of them hold. `0/day` lets nothing through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<String>,
    /// Most calls under way at once; as many as there are where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// Most money in a time, in US dollars, such as `["5.00/day", "100/month"]`: of `minute`, `hour`, `day`, `week`,
    /// `month` and `year`, one each. All of them hold. What tools cost is said by `tool_prices`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<String>,
    /// Time zone of its days and months, such as `Europe/Berlin`; `UTC` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// A virtual key. The secret half is not kept, only a keyed hash of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Key {
    /// Public half: 1 to 16 of `a-z` and `0-9`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Keyed SHA-256 of the secret half, 64 hex digits, as `tollgate key new` prints it.
    pub mac: String,
    /// Patterns of allowed tools: `server/tool`, `server/*`, `server/get_*`. None allows nothing.
    pub allow: Vec<String>,
    /// Patterns of allowed prompts: `server/prompt`, `server/*`. None allows nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// Patterns of allowed resources, held against their URIs: `server/file:///docs/*`, `server/*`. None allows
    /// nothing. A URI with a `..` in its path is covered by `server/*` alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Groups that it has beside its patterns: all they give, under their names, and their doors at `/mcp/g/GROUP`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The team it belongs to. It may do no more than the team may, and counts there too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Most calls in a time, such as `["10/second", "2000/day"]`: of `second`, `minute`, `hour` and `day`, one each.
    /// All of them hold. `0/day` lets nothing through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<String>,
    /// Most calls under way at once; as many as there are where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// Most money in a time, in US dollars, such as `["5.00/day", "100/month"]`: of `minute`, `hour`, `day`, `week`,
    /// `month` and `year`, one each. All of them hold. What tools cost is said by `tool_prices`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<String>,
    /// Time zone of its days and months, such as `Europe/Berlin`; `UTC` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// When it ends, as `2027-02-20T00:00:00Z`; never where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Refuse it although it has not expired.
    #[serde(skip_serializing_if = "is_false")]
    pub revoked: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
