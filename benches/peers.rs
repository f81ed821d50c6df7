//! Other ways to read an envelope, each made to find what ours finds: method, id and the tool's name.

use serde::Deserialize;

#[derive(Deserialize)]
struct Borrowed<'a> {
    #[allow(dead_code, reason = "read, as ours is")]
    jsonrpc: &'a str,
    #[allow(dead_code, reason = "read, as ours is")]
    id: u64,
    method: &'a str,
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    name: &'a str,
}

fn found(envelope: &Borrowed<'_>) -> usize {
    envelope.method.len() + envelope.params.name.len()
}

/// `serde_json` into a struct that borrows. Takes the last of duplicate keys' values in what it ignores.
pub(crate) fn serde_json(body: &[u8]) -> usize {
    found(&serde_json::from_slice(body).expect("json"))
}

/// `sonic-rs` into the same struct.
pub(crate) fn sonic(body: &[u8]) -> usize {
    found(&sonic_rs::from_slice(body).expect("json"))
}

/// `simd-json` into the same struct. It writes into what it reads, and the gate must forward what came: so a copy.
pub(crate) fn simd(body: &[u8]) -> usize {
    let mut copy = body.to_vec();
    found(&simd_json::from_slice(&mut copy).expect("json"))
}
