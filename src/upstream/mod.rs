//! Rank 5: upstream servers, one transport a file.

pub mod spec;
