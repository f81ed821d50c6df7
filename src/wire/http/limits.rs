//! The bounds of one connection, from `base::limits` unless the configuration says otherwise.

use crate::base::limits;
use std::time::Duration;

/// What a peer may send and how long it may take. Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Longest request or status line.
    pub request_line_max: usize,
    /// Longest head, its empty line included.
    pub head_max: usize,
    /// Most headers in a head.
    pub headers_max: usize,
    /// Longest request body.
    pub body_max: usize,
    /// Time from a head's first byte to its last.
    pub head_time: Duration,
    /// Time to read a whole body.
    pub body_time: Duration,
    /// Time a connection may idle between requests.
    pub idle_time: Duration,
    /// Time one write may take before the peer counts as a slow reader.
    pub write_time: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            request_line_max: limits::REQUEST_LINE_MAX,
            head_max: limits::HEAD_MAX,
            headers_max: limits::HEADERS_MAX,
            body_max: limits::BODY_MAX,
            head_time: Duration::from_millis(limits::HEAD_DEADLINE_MS),
            body_time: Duration::from_millis(limits::BODY_DEADLINE_MS),
            idle_time: Duration::from_millis(limits::IDLE_DEADLINE_MS),
            write_time: Duration::from_millis(limits::WRITE_DEADLINE_MS),
        }
    }
}
