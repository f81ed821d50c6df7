//! Where the log goes: native fields to journald when it owns our standard error, else plain lines on standard error,
//! in colour on a terminal.

use crate::cli::output;
use std::os::unix::fs::MetadataExt as _;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging at a level or filter. A wrong filter falls back to `info`, with a line that says so.
pub fn start(filter: &str) {
    let parsed = filter.parse::<EnvFilter>();
    let wrong = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = match journald() {
        Some(journald) => registry.with(journald).try_init(),
        None => registry.with(plain()).try_init(),
    };
    if let (Ok(()), Some(wrong)) = (started, wrong) {
        tracing::warn!("--log is not a level or filter ({wrong}): logging at info");
    }
}

fn journald() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    is_stderr(&stream).then(|| tracing_journald::layer().ok()).flatten()
}

/// Whether `device:inode`, as systemd writes it, is our standard error: it may have been redirected since.
fn is_stderr(stream: &str) -> bool {
    let Ok(meta) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream.split_once(':') == Some((&meta.dev().to_string(), &meta.ino().to_string()))
}

fn plain<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    layer.with_ansi(output::stderr_has_colour()).with_target(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journald_is_used_only_where_it_owns_our_standard_error() {
        let meta = std::fs::metadata("/proc/self/fd/2").expect("stderr");
        assert!(is_stderr(&format!("{}:{}", meta.dev(), meta.ino())));
        for other in ["", "0:0", "1", "a:b"] {
            assert!(!is_stderr(other), "{other}");
        }
    }
}
