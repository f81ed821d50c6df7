//! Ways to reach the gate and its servers: TLS on both sides, and the driver for kernels without io_uring.

use crate::fakes::{Fake, Wire};
use crate::gate::{ANYONE, Home, Tables, eventually};
use crate::mcp::{Client, LEGACY};
use serde_json::json;
use std::time::Duration;

#[test]
fn one_gate_reaches_another_over_tls() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let inner_servers = format!("{ANYONE}[servers.one]\nurl = \"{}\"\n", fake.url());
    let inner = Home::new(&inner_servers);
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let identity = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(inner.path().join("cert.pem"), identity.cert.pem()).unwrap();
    std::fs::write(inner.path().join("key.pem"), identity.signing_key.serialize_pem()).unwrap();
    let listen = "tls = { cert = \"cert.pem\", key = \"key.pem\" }";
    inner.configure_more(&Tables { listen, ..Tables::default() }, &inner_servers);
    let inner_gate = inner.start();

    let url = format!("https://127.0.0.1:{}/mcp", inner.listen.port());
    let ca_file = json!(inner.path().join("cert.pem").to_str().unwrap());
    let trusting = format!("[servers.inner]\nurl = \"{url}\"\nca_file = {ca_file}\n");
    let doubting = format!("[servers.doubted]\nurl = \"{url}\"\n");
    let outer = Home::new(&format!("{ANYONE}{trusting}{doubting}"));
    let outer_gate = outer.start();
    let client = Client::new(outer.listen);
    eventually("the inner gate's tool is listed", Duration::from_secs(30), || {
        client.tool_names() == ["inner__one__alpha"]
    });
    for at in 0..20 {
        let answer = client.call("inner__one__alpha", json!({"at": at})).answer();
        assert_eq!(answer["result"]["structuredContent"]["arguments"]["at"], at, "{answer}");
    }
    assert_eq!(client.tool_names(), ["inner__one__alpha"], "a certificate nobody vouches for is not trusted");
    outer_gate.stop();
    inner_gate.stop();
}

#[test]
fn the_gate_serves_on_epoll_too() {
    let fake = Fake::plain(Wire::Stateless, &["alpha"]);
    let servers = format!("{ANYONE}[servers.one]\nurl = \"{}\"\n", fake.url());
    let home = Home::new(&servers);
    home.configure_more(&Tables { runtime: "shards = 2\ndriver = \"epoll\"", ..Tables::default() }, &servers);
    let gate = home.start();
    let client = Client::new(home.listen);
    eventually("it is listed", Duration::from_secs(20), || client.tools().len() == 1);
    let session = client.session(LEGACY);
    for at in 0..50 {
        let modern = client.call("one__alpha", json!({"at": at})).answer();
        let legacy = session.call("one__alpha", json!({"at": at})).answer();
        for answer in [modern, legacy] {
            assert_eq!(answer["result"]["structuredContent"]["arguments"]["at"], at, "{answer}");
        }
    }
    gate.stop();
    home.run_well(&["audit", "verify"]);
    assert!(home.log_tail().to_lowercase().contains("epoll"), "the log says which driver runs");
}
