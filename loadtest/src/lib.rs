//! The load tool: loads an MCP endpoint and says honestly what came of it. This file is the map.
//!
//! | rank | modules |
//! |---|---|
//! | 0 | [`order`]: what a run is asked to do · [`outcome`]: what came of it · [`failure`]: how a command fails |

pub mod failure;
pub mod order;
pub mod outcome;
