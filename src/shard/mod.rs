//! Rank 7: the data plane of one thread.
