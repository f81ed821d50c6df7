//! What a target's metrics say of where the time went: Prometheus text → time in each phase.

use crate::failure::Failure;
use crate::outcome::PhaseTime;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The histogram that holds the phases.
const FAMILY: &str = "tollgate_phase_seconds";
/// Patience with one answer, and with each of its parts.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes read of one answer.
const ANSWER_MAX: u64 = 16 << 20;

/// The phases as a target counts them since it started, in its order; empty where it tells of none.
///
/// # Errors
/// Nobody answers there, or not with status 200.
pub fn scrape(address: SocketAddr, path: &str) -> Result<Vec<PhaseTime>, Failure> {
    get(address, path).map(|text| phases(&text))
}

/// What a target counted between two scrapes; phases that nothing went through are left out.
pub fn between(before: &[PhaseTime], after: &[PhaseTime]) -> Vec<PhaseTime> {
    let none = PhaseTime::default();
    let row = |after: &PhaseTime| {
        let before = before.iter().find(|before| before.phase == after.phase).unwrap_or(&none);
        let count = after.count.saturating_sub(before.count);
        let total = after.mean_us * after.count as f64 - before.mean_us * before.count as f64;
        (count > 0).then(|| PhaseTime { phase: after.phase.clone(), count, mean_us: total / count as f64 })
    };
    after.iter().filter_map(row).collect()
}

/// Body of a `GET`, for small texts on loopback: blocks.
///
/// # Errors
/// Nobody answers there within five seconds, or not with status 200.
pub fn get(address: SocketAddr, path: &str) -> Result<String, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::new(format!("http://{address}{path}: {e}"));
    let text = exchange(address, path).map_err(|e| failed(&e))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| failed(&"no whole answer"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => Err(failed(&format!("status {}, not 200", status.unwrap_or("missing")))),
    }
}

fn exchange(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer ends with the connection, in no chunks.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, printed as a number")]
fn phases(text: &str) -> Vec<PhaseTime> {
    let mut rows: Vec<(PhaseTime, f64)> = Vec::new();
    for (name, phase, value) in text.lines().filter_map(sample) {
        let place = rows.iter().position(|(row, _)| row.phase == phase).unwrap_or(rows.len());
        if place == rows.len() {
            rows.push((PhaseTime { phase: phase.to_owned(), ..PhaseTime::default() }, 0.0));
        }
        let (row, seconds) = &mut rows[place];
        match name {
            "_count" => row.count = value as u64,
            _ => *seconds = value,
        }
    }
    let mean = |(row, seconds): (PhaseTime, f64)| PhaseTime { mean_us: seconds * 1e6 / row.count.max(1) as f64, ..row };
    rows.into_iter().map(mean).collect()
}

/// `_count` or `_sum`, the phase, and the value of one of the family's lines.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let rest = line.strip_prefix(FAMILY)?;
    let (name, rest) = rest.split_once('{')?;
    let (labels, value) = rest.split_once('}')?;
    let phase = labels.split(',').find_map(|label| label.trim().strip_prefix("phase=\"")?.strip_suffix('"'))?;
    let value = value.split_ascii_whitespace().next()?.parse().ok()?;
    matches!(name, "_count" | "_sum").then_some((name, phase, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const TEXT: &str = "# HELP tollgate_phase_seconds Time an exchange spent in each phase.\n\
        # TYPE tollgate_phase_seconds histogram\n\
        tollgate_phase_seconds_bucket{phase=\"read\",le=\"0.000002\"} 1\n\
        tollgate_phase_seconds_sum{phase=\"read\"} 0.000006\n\
        tollgate_phase_seconds_count{phase=\"read\"} 3\n\
        tollgate_phase_seconds_sum{phase=\"call\"} 1.5\n\
        tollgate_phase_seconds_count{phase=\"call\"} 0\n\
        tollgate_calls_total{tool=\"a\"} 7\n";

    fn row(phase: &str, count: u64, mean_us: f64) -> PhaseTime {
        PhaseTime { phase: phase.into(), count, mean_us }
    }

    #[test]
    fn phases_are_read_in_their_order() {
        let rows = phases(TEXT);
        assert_eq!(rows.iter().map(|row| row.phase.as_str()).collect::<Vec<_>>(), ["read", "call"]);
        assert_eq!(rows[0].count, 3);
        assert!((rows[0].mean_us - 2.0).abs() < 1e-9);
    }

    #[test]
    fn two_scrapes_give_what_was_between_them() {
        let (before, after) = ([row("a", 10, 4.0), row("b", 5, 1.0)], [row("a", 30, 6.0), row("b", 5, 1.0)]);
        let figures =
            |rows: Vec<PhaseTime>| rows.into_iter().map(|row| (row.phase, row.count, row.mean_us)).collect::<Vec<_>>();
        assert_eq!(figures(between(&before, &after)), [("a".to_owned(), 20, 7.0)]);
        assert_eq!(figures(between(&[], &after)), figures(after.into()));
    }

    #[test]
    fn a_scrape_needs_status_200() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for status in ["200 OK", "503 Service Unavailable"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n{TEXT}").as_bytes()).unwrap();
            }
        });
        assert_eq!(scrape(address, "/metrics").unwrap().len(), 2);
        assert!(scrape(address, "/metrics").unwrap_err().to_string().contains("503"));
        server.join().unwrap();
    }
}
