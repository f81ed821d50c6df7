//! Client and server on the simulated network: delays, pieces, refusals, cuts and silences, all from a printed seed.
//! `TOLLGATE_SEED=7 cargo test --test wire sim` runs one seed, `TOLLGATE_SEEDS=10000` that many.

use crate::peers::text;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;
use tollgate::base::buf::Piece;
use tollgate::base::clock::Clock;
use tollgate::base::error::{Error, Kind, Retry};
use tollgate::base::limits::POOL_IDLE_MS;
use tollgate::rt::net::{TcpListener, TcpStream};
use tollgate::rt::sim::{self, NetFaults, Rng, set_net_faults};
use tollgate::rt::{task, time};
use tollgate::wire::http::{Body, Client, Endpoint, HeaderBlock, HttpLimits, Method, Request, ServerConn};

const CLIENTS: u64 = 6;
const CALLS: u64 = 20;
/// Time a call may take; a server's answer comes far sooner unless the network keeps it.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often the server ran each call.
type Runs = Rc<RefCell<BTreeMap<String, usize>>>;

/// How a call ended, by kind of error; nothing for an answer.
type Ends = Rc<RefCell<BTreeMap<Option<&'static str>, usize>>>;

fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("TOLLGATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TOLLGATE_SEEDS").unwrap_or(150),
    }
}

fn faults(rng: &mut Rng) -> NetFaults {
    let mut below = |end: u8| u8::try_from(rng.below(end.into())).unwrap();
    NetFaults {
        delay_max: Duration::from_millis(1 + u64::from(below(40))),
        split_percent: below(100),
        refuse_percent: below(10),
        cut_permille: below(30).into(),
        stall_permille: below(8).into(),
    }
}

async fn accept(listener: TcpListener, seed: u64, runs: Runs) {
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let rng = Rng::new(seed ^ (number << 32));
        drop(task::spawn(serve(ServerConn::new(stream, HttpLimits::default()), rng, runs.clone())));
    }
}

/// Answers each request with its own body, in one of the ways a server may.
async fn serve(mut conn: ServerConn<TcpStream>, mut rng: Rng, runs: Runs) {
    loop {
        let served = match conn.read_head().await {
            Ok(Some(_)) => serve_one(&mut conn, &mut rng, &runs).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            return conn.refuse(&error).await;
        }
    }
}

async fn serve_one(conn: &mut ServerConn<TcpStream>, rng: &mut Rng, runs: &Runs) -> Result<(), Error> {
    let body = conn.read_body().await?;
    let id = text(body.iter().copied().take_while(|b| *b != b' ').collect());
    *runs.borrow_mut().entry(id).or_default() += 1;
    time::sleep(Duration::from_millis(rng.below(100) as u64)).await;
    if rng.chance(5) {
        conn.close_after_answer();
    }
    match rng.below(3) {
        0 => conn.respond(200, &[], Body::Vec(body)).await,
        1 => conn.respond(200, &[], Body::Parts(body.chunks(9000).map(Bytes::copy_from_slice).collect())).await,
        _ => {
            conn.start_stream(200, &[]).await?;
            for part in body.chunks(1 + rng.below(20_000)) {
                conn.write_stream(part.to_vec()).await?;
            }
            conn.finish_stream().await
        }
    }
}

/// One client's calls, each with its own text, so that an answer to another call cannot pass for its own.
async fn call_all(client: Client, endpoint: Endpoint, seed: u64, name: u64, runs: Runs, ends: Ends) {
    let mut rng = Rng::new(seed.wrapping_mul(31) + name);
    for call in 0..CALLS {
        let id = format!("{name}/{call}");
        let body = format!("{id} {}", id.repeat(rng.below(20_000)));
        let (idempotent, method) = (rng.chance(50), Method::Post);
        let bytes = Piece::from(&*body);
        let request =
            Request { method, path: "/", prepared: HeaderBlock::EMPTY, headers: &[], body: bytes, idempotent };
        let start = Clock::now();
        let result = match client.send(&endpoint, &request, start + PATIENCE).await {
            Ok(mut response) => response.collect(1 << 20).await,
            Err(error) => Err(error),
        };
        assert!(Clock::now().since(start) <= PATIENCE + Duration::from_millis(1), "seed {seed}: {id} took too long");
        let ran = runs.borrow().get(&id).copied().unwrap_or(0);
        assert!(ran <= 1 + usize::from(idempotent), "seed {seed}: {id} ran {ran} times");
        let end = match result {
            Ok(answer) => {
                assert!(answer == body.as_bytes() && ran > 0, "seed {seed}: {id} got another answer");
                None
            }
            Err(error) => {
                let known = matches!(error.kind, Kind::Timeout | Kind::BadAnswer | Kind::Unreachable);
                assert!(known, "seed {seed}: {id}: {error:?}");
                assert!(error.retry != Retry::Safe || ran == 0, "seed {seed}: {id} ran, and may be sent again?");
                Some(error.kind.name())
            }
        };
        *ends.borrow_mut().entry(end).or_default() += 1;
        time::sleep(Duration::from_millis(rng.below(300) as u64)).await;
    }
}

async fn story(seed: u64, ends: Ends) {
    set_net_faults(faults(&mut Rng::new(seed)));
    let addr = SocketAddr::from(([127, 0, 0, 1], 8080));
    let (runs, client) = (Runs::default(), Client::new());
    drop(task::spawn(accept(TcpListener::bind(addr).unwrap(), seed, runs.clone())));
    let endpoint = Endpoint::new("localhost", addr.port(), None).at(vec![addr]);
    let start = |name| call_all(client.clone(), endpoint.clone(), seed, name, runs.clone(), ends.clone());
    let calls: Vec<_> = (0..CLIENTS).map(|name| task::spawn(start(name))).collect();
    for call in calls {
        call.await;
    }
    set_net_faults(NetFaults::default());
    let quiet = Ends::default();
    call_all(client.clone(), endpoint, seed, CLIENTS, runs, quiet.clone()).await;
    // A connection kept from before may have been silenced for ever; no more of those than there are clients.
    let (good, all) = (quiet.borrow().get(&None).copied().unwrap_or(0) as u64, CALLS);
    assert!(good >= all - CLIENTS, "seed {seed}: {good} of {all} calls answered once the network was well again");
    time::sleep(Duration::from_millis(2 * POOL_IDLE_MS)).await;
    assert_eq!(client.idle(), 0, "seed {seed}: connections wait for ever");
}

#[test]
fn every_call_gets_its_own_answer_or_a_true_error() {
    let ends = Ends::default();
    for seed in seeds() {
        println!("seed {seed}");
        sim::run(seed, story(seed, ends.clone()));
    }
    println!("ends: {:?}", ends.borrow());
    if seeds().count() > 100 {
        let kinds = ends.borrow().len();
        assert_eq!(kinds, 4, "answers, time-outs, bad answers and refusals must all have come up: {ends:?}");
    }
}
