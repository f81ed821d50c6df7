//! Rank 7: the control thread: admin listener, reload, discovery results.
