//! Rank 3: the journal of every call.
