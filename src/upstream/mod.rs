//! Rank 5: upstream servers, one transport a file.

pub mod answer;
pub mod discover;
#[cfg(test)]
mod fixture;
pub mod health;
mod http;
mod incoming;
pub mod leg;
mod message;
mod patience;
pub mod probe;
mod scopes;
pub mod spec;
mod stdio;
#[cfg(test)]
mod tests;
pub mod upstreams;
mod wiring;
