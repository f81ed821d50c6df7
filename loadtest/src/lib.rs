//! The load tool: loads an MCP endpoint and says honestly what came of it. This file is the map.
//!
//! A module imports only lower ranks.
//!
//! | rank | modules |
//! |---|---|
//! | 0 | [`order`]: what a run is asked to do · [`outcome`]: what came of it · [`failure`]: how a command fails |
//! | 0 | [`machine`]: where it ran · [`threshold`]: what must hold · [`units`]: figures for people |
//! | 0 | [`scenario`]: what the clients of a run do · [`trouble`]: how a request fails · [`plot`]: charts |
//! | 1 | [`measure`]: recorders, parts and their whole · [`wire`]: request bytes, answers read and judged |
//! | 1 | [`metrics`]: where a target says its time went |
//! | 1 | [`upstream`]: the built-in MCP server · [`relay`]: the bare relay |
//! | 2 | [`stage`]: processes around a measurement |
//! | 2 | [`engine`]: client threads, their schedule, the run as a whole |
//! | 3 | [`report`]: what came of a run, told · [`screen`]: a run while it runs |
//! | 3 | [`overhead`]: what a gate adds |
//! | 3 | [`find`]: the greatest rate under bounds |
//! | 4 | [`cli`]: one file per command |

pub mod cli;
pub mod engine;
pub mod failure;
pub mod find;
pub mod machine;
pub mod measure;
pub mod metrics;
pub mod order;
pub mod outcome;
pub mod overhead;
pub mod plot;
pub mod relay;
pub mod report;
pub mod scenario;
pub mod screen;
pub mod stage;
pub mod threshold;
pub mod trouble;
pub mod units;
pub mod upstream;
pub mod wire;
