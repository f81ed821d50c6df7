//! The JSON-RPC envelope as borrowed slices, validated in one pass.
