//! Rank 5: upstream servers, one transport a file.

pub mod answer;
#[cfg(test)]
mod fixture;
pub mod health;
mod incoming;
pub mod leg;
mod message;
mod patience;
mod probe;
mod scopes;
pub mod spec;
mod stdio;
mod wiring;
