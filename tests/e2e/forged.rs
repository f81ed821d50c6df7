//! What the gate gives a client to keep, brought back by another, altered or too late: refused, all alike, and nothing
//! runs. What has expired is held to the same in the unit tests of `mcp/`, which have a clock of their own.

use crate::fakes::{Fake, Wire};
use crate::gate::{Home, eventually};
use crate::http::Response;
use crate::mcp::{Client, LEGACY, Session, meta};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

const LISTED: Duration = Duration::from_secs(20);
/// Enough requests on connections of their own that each of two shards gets some.
const SPREAD: usize = 6;

/// A gate in front of one server, and two keys that may use it.
fn with_two_keys(holds: impl FnOnce(&Fake, [Client; 2])) {
    let fake = Fake::plain(Wire::Modern, &["alpha"]);
    let home = Home::new(&format!("[servers.one]\nurl = \"{}\"\n", fake.url()));
    let keys = ["mine", "other"].map(|name| home.new_key(name, &["one/*"]));
    let gate = home.start();
    let clients = keys.map(|key| Client::new(home.listen).with_key(&key));
    eventually("it is listed", LISTED, || clients[0].tools().len() == 1);
    holds(&fake, clients);
    gate.stop();
}

/// The same text with one letter changed.
fn altered(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

/// All these are the same answer, but for the client's own id.
fn all_alike(answers: &[Response], status: u16) {
    for answer in answers {
        assert_eq!((answer.status, answer.text()), (status, answers[0].text()));
    }
}

#[test]
fn a_session_of_another_key_or_the_gates_making_is_as_unknown_as_an_ended_one() {
    with_two_keys(|fake, [mine, other]| {
        let session = mine.session(LEGACY);
        let ended = mine.session(LEGACY);
        assert_eq!(ended.bare("DELETE").read().unwrap().status, 204);
        let cut = session.id.len() - 1;
        let of = |client: &Client, id: &str| Session {
            client: client.clone(),
            id: id.to_owned(),
            revision: LEGACY.to_owned(),
            hello: Value::Null,
        };
        let forged = [
            of(&other, &session.id),
            of(&mine, &ended.id),
            of(&mine, &altered(&session.id, 0)),
            of(&mine, &altered(&session.id, cut / 2)),
            of(&mine, &altered(&session.id, cut)),
            of(&mine, &session.id[..cut]),
            of(&mine, &format!("{}A", session.id)),
            of(&mine, "made-up"),
        ];
        let refused: Vec<Response> =
            forged.iter().flat_map(|session| (0..SPREAD).map(|_| session.call("one__alpha", json!({})))).collect();
        all_alike(&refused, 404);
        assert_eq!(fake.counts.calls.load(Ordering::Relaxed), 0, "nothing runs");
        assert_eq!(session.call("one__alpha", json!({})).status, 200, "the session itself goes on");
        assert_eq!(fake.counts.calls.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_state_or_task_that_was_never_given_runs_nothing() {
    with_two_keys(|fake, [mine, _]| {
        let session = mine.session(LEGACY).id;
        let long = "A".repeat(200_000);
        let states = ["", "nonsense", &session, &altered(&session, 3), &long];
        let refused: Vec<Response> = states
            .iter()
            .flat_map(|state| {
                let answers = json!({"q": {"action": "accept", "content": {}}});
                let params = json!({"name": "one__alpha", "arguments": {}, "inputResponses": answers,
                    "requestState": state});
                (0..SPREAD).map(move |_| params.clone())
            })
            .map(|params| mine.modern("tools/call", params))
            .collect();
        assert_eq!(refused[0].code(), -32602);
        all_alike(&refused, refused[0].status);
        let mut meta = meta();
        meta["io.modelcontextprotocol/clientCapabilities"] =
            json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let ask =
                |id: &&str| mine.modern(method, json!({"taskId": id, "inputResponses": {}, "_meta": meta.clone()}));
            let refused: Vec<Response> = ["nonsense", &session, &altered(&session, 3)].iter().map(ask).collect();
            assert_eq!(refused[0].code(), -32602, "{method}");
            all_alike(&refused, refused[0].status);
        }
        assert_eq!(fake.counts.calls.load(Ordering::Relaxed), 0, "nothing runs");
    });
}
