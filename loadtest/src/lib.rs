//! The load tool: loads an MCP endpoint and says honestly what came of it. This file is the map.
//!
//! | rank | modules |
//! |---|---|
//! | 0 | [`order`]: what a run is asked to do · [`outcome`]: what came of it · [`failure`]: how a command fails |
//! | 0 | [`machine`]: where it ran · [`threshold`]: what must hold · [`units`]: figures for people |

pub mod failure;
pub mod machine;
pub mod order;
pub mod outcome;
pub mod threshold;
pub mod units;
