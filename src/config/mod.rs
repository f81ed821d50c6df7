//! Rank 6: as written → Snapshot, all errors at once.
