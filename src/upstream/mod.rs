//! Rank 5: upstream servers, one transport a file.

pub mod answer;
pub mod credential;
pub mod discover;
mod elicited;
#[cfg(test)]
mod fixture;
pub mod health;
mod http;
mod incoming;
pub mod leg;
mod message;
pub mod oauth;
pub mod operation;
mod patience;
mod pending;
pub mod probe;
pub mod said;
mod scopes;
pub mod spec;
mod stdio;
#[cfg(test)]
mod tests;
mod transport;
pub mod upstreams;
pub mod watched;
mod wiring;
