//! One gate and what is its own: its state directory, its process, the listener it was started with.

use crate::fakes::{Fake, Wire};
use crate::gate::{Home, binary, eventually, free_address};
use crate::mcp::Client;
use serde_json::json;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

fn id_of(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

fn is_served(client: &Client) -> bool {
    client.modern("tools/list", json!({})).status == 200
}

#[test]
fn a_second_gate_on_the_same_state_is_refused_and_harms_nothing() {
    let home = Home::new("");
    let token = home.new_key("one", &["*/*"]);
    let gate = home.start();
    let (state, dir) = (home.path().join("state"), tempfile::tempdir().unwrap());
    let other = format!(
        "[listen]\naddress = \"{}\"\n[admin]\naddress = \"{}\"\n[state]\ndirectory = {}\n[runtime]\nshards = 1\n\
         [journal]\ndirectory = \"journal\"\nring_directory = \"ring\"\n",
        free_address(),
        free_address(),
        json!(state.to_str().unwrap()),
    );
    fs::write(dir.path().join("tollgate.toml"), other).unwrap();
    let mut command = Command::new("timeout");
    command.arg("5").arg(binary()).args(["serve", "--config", "tollgate.toml"]).current_dir(dir.path());
    let second = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && second.status.code() != Some(124), "it ran: {told}");
    assert!(told.contains("another gate that runs") && told.contains(state.to_str().unwrap()), "{told}");

    let pid = fs::read_to_string(state.join("tollgate.pid")).unwrap();
    assert_eq!(pid.trim(), gate.id().to_string(), "the first gate is still the one that is told of revoked keys");
    let client = Client::new(home.listen).with_key(&token);
    assert!(is_served(&client));
    home.run_well(&["key", "revoke", id_of(&token)]);
    eventually("the key is refused", Duration::from_secs(5), || !is_served(&client));
    gate.stop();
    home.start().stop();
}

/// In a container the gate is process 1.
#[test]
fn a_gate_that_is_process_1_hears_of_a_revoked_key() {
    let home = Home::new("");
    let token = home.new_key("one", &["*/*"]);
    let gate = home.start_as_process_1();
    let client = Client::new(home.listen).with_key(&token);
    assert!(is_served(&client));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", gate.id())).unwrap();
    let mut enter = Command::new("nsenter");
    enter.args(["--target", children.trim(), "--user", "--preserve-credentials", "--pid", "--mount"]);
    enter.arg(binary()).args(["key", "revoke", id_of(&token), "--config"]).arg(home.config()).current_dir(home.path());
    let told = enter.output().unwrap();
    let told = format!("{} {}", told.status, String::from_utf8_lossy(&told.stderr));
    assert!(told.contains("shards have it"), "{told}");
    eventually("the key is refused", Duration::from_secs(5), || !is_served(&client));
}

/// Whom a listener lets in hangs on where it listens, and that stays as it is until a restart.
#[test]
fn a_reload_that_moves_the_listener_changes_nothing_about_the_one_that_is_open() {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new("");
    let common = fs::read_to_string(home.config()).unwrap() + &format!("[servers.one]\nurl = \"{}\"\n", fake.url());
    let (near, far) = (format!("address = \"{}\"\n", home.listen), format!("0.0.0.0:{}", home.listen.port()));
    let open = "insecure_any_address = true\nallowed_hosts = [\"localhost\", \"gate.example\"]\n";
    let open = common.replacen(&near, &format!("address = \"{far}\"\n{open}"), 1);
    let anyone = format!("{common}{}", crate::gate::ANYONE);
    let client = Client::new(home.listen);
    let reloaded = |gate: &crate::gate::Process<'_>, text: &str| {
        let lines = home.log_tail().matches("needs a restart: listen.address").count();
        fs::write(home.config(), text).unwrap();
        gate.signal("HUP");
        eventually("it is reloaded", Duration::from_secs(10), || {
            home.log_tail().matches("needs a restart: listen.address").count() > lines
        });
        std::thread::sleep(Duration::from_millis(200));
    };

    fs::write(home.config(), &open).unwrap();
    let gate = home.start();
    assert_eq!(client.modern("tools/list", json!({})).status, 401);
    reloaded(&gate, &anyone);
    let status = client.modern("tools/list", json!({})).status;
    assert_eq!(status, 401, "who needs no key on a loopback listener needs one where the whole network gets in");
    gate.stop();

    let gate = home.start();
    assert!(is_served(&client), "after a restart the listener is a loopback one");
    reloaded(&gate, &open.replace("\"localhost\", ", ""));
    let status = client.modern("tools/list", json!({})).status;
    assert_eq!(status, 401, "the open listener keeps its names; what anyone was allowed is gone at once");
    gate.stop();
}
