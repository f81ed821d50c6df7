//! TLS over owned buffers.
