//! Rank 3: tool definitions, names, grants and rendered views.
