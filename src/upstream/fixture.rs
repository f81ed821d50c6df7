//! What the tests of this folder share: a shard to run on, and fake servers.

use crate::rt::local::Notify;
use crate::rt::shard::{DriverChoice, block_on, choose};
use crate::upstream::answer::{Answer, Outcome, UpstreamCall};
use crate::upstream::leg::Leg;
use crate::upstream::spec::ServerSpec;
use crate::upstream::wiring::{Ids, Wiring};
use bytes::Bytes;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// Runs a test on a runtime of its own; a test that hangs fails.
pub(super) fn on_shard<F: Future>(test: F) -> F::Output {
    let driver = choose(DriverChoice::Auto, &crate::rt::probe::probe()).expect("a driver");
    let limited = async { crate::rt::time::timeout(Duration::from_secs(30), test).await.expect("the test hangs") };
    block_on(driver, limited).expect("a runtime")
}

/// What a server of this spec shares with its parts.
pub(super) fn wiring(spec: ServerSpec) -> Rc<Wiring> {
    let leg = Leg::new(spec.era);
    Rc::new(Wiring { spec: spec.into(), leg, ids: Rc::new(Ids::default()), list_changed: Rc::new(Notify::new()) })
}

/// A call of a tool with raw JSON arguments.
pub(super) fn call(tool: &str, arguments: &str) -> UpstreamCall {
    let arguments = Some(Bytes::copy_from_slice(arguments.as_bytes()));
    UpstreamCall { tool: tool.into(), arguments, ..UpstreamCall::default() }
}

/// The text of an answer's first content block.
pub(super) fn text(answer: &Answer) -> String {
    let Outcome::Result(result) = &answer.outcome else { panic!("the server refused: {answer:?}") };
    let result: serde_json::Value = serde_json::from_slice(result).expect("JSON");
    result["content"][0]["text"].as_str().expect("a text block").to_owned()
}
