//! Rank 4: what MCP messages mean, per era. Pure.
