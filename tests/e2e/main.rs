//! The real binary, end to end: real clients and servers, broken ones, and a gate that is killed under load.
//!
//! Tests with real clients need `tests/setup`; they fail, and say so, where it has not run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test stops at what it did not expect, and lives on the machine's clock and threads"
)]

#[path = "../support/catalogue.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the unit tests, which use other parts")]
mod catalogue;

mod admin;
mod admin_api;
mod approvals;
mod bad_input;
mod bridged;
mod budgets;
mod caching;
mod commands;
mod conformance;
mod crash;
mod dead_upstreams;
mod drift;
mod endings;
mod eras;
mod extensions;
mod fakes;
mod forged;
mod full_disk;
mod gate;
mod groups;
mod http;
mod inputs;
mod keys;
mod kill_switch;
mod limits;
mod lists;
mod many_tools;
mod mcp;
mod oauth;
mod oauth_fake;
mod older;
mod one_gate;
mod pairs;
mod peers;
mod policy;
mod profiled;
mod resumption;
mod store;
mod streams;
mod subscriptions;
mod tangles;
mod transports;
mod visits;
