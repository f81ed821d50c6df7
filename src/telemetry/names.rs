//! Every metric the gate shows: name, type and help. `tests/tidy.rs` holds that the docs name each of them.
#![allow(missing_docs, reason = "the help text of a family says what it is")]

/// One metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Full name, unit last.
    pub name: &'static str,
    /// Prometheus type.
    pub kind: FamilyKind,
    /// What it counts, one line.
    pub help: &'static str,
}

/// Prometheus type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

impl FamilyKind {
    /// The type's word in the text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Family {
    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Counter, help }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Gauge, help }
    }

    const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Histogram, help }
    }
}

pub const INFO: Family = Family::gauge("tollgate_info", "Always 1; the labels say which version runs.");
pub const CONNECTIONS: Family = Family::counter("tollgate_connections_total", "Client connections accepted.");
pub const CONNECTIONS_OPEN: Family = Family::gauge("tollgate_connections_open", "Client connections open.");
pub const CONNECTIONS_REFUSED: Family =
    Family::counter("tollgate_connections_refused_total", "Client connections refused at a bound.");
pub const REQUESTS: Family = Family::counter("tollgate_requests_total", "HTTP requests read.");
pub const REQUESTS_REFUSED: Family =
    Family::counter("tollgate_requests_refused_total", "HTTP requests answered with a 4xx or 5xx status.");
pub const UNAUTHORIZED: Family = Family::counter("tollgate_unauthorized_total", "HTTP requests without a valid key.");
pub const LISTS: Family = Family::counter("tollgate_lists_total", "Tool lists answered.");
pub const STREAMS_OPEN: Family = Family::gauge("tollgate_streams_open", "Event streams open to clients.");
/// Parked calls.
pub const PARKED_CALLS: Family =
    Family::gauge("tollgate_parked_calls", "Calls that wait for their client to answer what a server asked.");
/// Streams kept for clients that may come back.
pub const REPLAY_STREAMS: Family = Family::gauge(
    "tollgate_replay_streams",
    "Event streams of legacy sessions, ended or without their client, that are kept for it to come back to.",
);
/// Events kept for clients that may come back.
pub const REPLAY_BYTES: Family = Family::gauge(
    "tollgate_replay_bytes",
    "Bytes of events on streams of legacy sessions, open ones too, that are kept for clients to come back for.",
);
pub const BYTES_IN: Family = Family::counter("tollgate_received_bytes_total", "Bytes read from clients.");
pub const BYTES_OUT: Family = Family::counter("tollgate_sent_bytes_total", "Bytes written to clients.");
pub const CALLS: Family = Family::counter("tollgate_calls_total", "Tool calls by server and outcome.");
pub const CALLS_LIMITED: Family =
    Family::counter("tollgate_calls_limited_total", "Calls refused by a limit, by the level it stands at.");
pub const CALLS_OVER_BUDGET: Family =
    Family::counter("tollgate_calls_over_budget_total", "Calls refused by a budget, by the level it stands at.");
pub const COST: Family =
    Family::counter("tollgate_cost_microdollars_total", "What calls of tools with a price cost, in micro-dollars.");
pub const COST_UNREAD: Family = Family::counter(
    "tollgate_cost_unread_total",
    "Calls charged with the most they could cost, as their results did not tell what they cost.",
);
pub const APPROVALS: Family = Family::counter(
    "tollgate_approvals_total",
    "Approvals by what happened to them: held, approved, denied, expired, used.",
);
pub const APPROVALS_PENDING: Family =
    Family::gauge("tollgate_approvals_pending", "Calls that wait for somebody to approve or deny them.");
pub const CALLS_IN_FLIGHT: Family = Family::gauge("tollgate_calls_in_flight", "Tool calls under way by server.");
pub const TOOLS_WITHHELD: Family = Family::gauge(
    "tollgate_tools_withheld",
    "Tools kept from clients because their definition changed or is suspicious, by server.",
);
pub const TOOL_CHANGES: Family = Family::counter(
    "tollgate_tool_changes_total",
    "Definitions seen that are not the pinned ones, by server and what came of them.",
);
pub const PINS_UNREADABLE: Family =
    Family::gauge("tollgate_pins_unreadable", "Pins of tools, or files of them, that cannot be read, by server.");
pub const UPSTREAM_SECONDS: Family =
    Family::histogram("tollgate_upstream_seconds", "Time from sending a call to its whole answer, by server.");
pub const UPSTREAM_ERRORS: Family =
    Family::counter("tollgate_upstream_errors_total", "Upstream connections or processes that failed, by server.");
pub const PHASE_SECONDS: Family = Family::histogram("tollgate_phase_seconds", "Time an exchange spent in each phase.");
pub const MAILBOX: Family = Family::gauge("tollgate_mailbox_messages", "Messages waiting in a shard's mailbox.");
pub const EPOCH: Family =
    Family::gauge("tollgate_snapshot_epoch", "Epoch of the configuration snapshot in use, by shard.");
pub const JOURNAL_RING_USED: Family =
    Family::gauge("tollgate_journal_ring_used_bytes", "Journal bytes in the ring, not yet durable, by shard.");
pub const JOURNAL_RING_SIZE: Family =
    Family::gauge("tollgate_journal_ring_size_bytes", "Size of the journal ring, by shard.");
pub const JOURNAL_ENTRIES: Family = Family::counter("tollgate_journal_entries_total", "Journal entries appended.");
pub const JOURNAL_BYTES: Family =
    Family::counter("tollgate_journal_durable_bytes_total", "Journal bytes made durable.");
pub const JOURNAL_LAG: Family =
    Family::gauge("tollgate_journal_lag_seconds", "Age of the oldest journal entry that is not durable, by shard.");
pub const JOURNAL_POISONED: Family =
    Family::gauge("tollgate_journal_poisoned", "1 if the shard's journal takes no more entries and calls fail.");
pub const JOURNAL_COMMIT: Family =
    Family::histogram("tollgate_journal_commit_seconds", "Time to write and sync one group of journal entries.");
pub const PROCESS_CPU: Family =
    Family::counter("process_cpu_seconds_total", "User and system CPU time of the process.");
pub const PROCESS_RSS: Family = Family::gauge("process_resident_memory_bytes", "Resident memory of the process.");
pub const PROCESS_VIRTUAL: Family = Family::gauge("process_virtual_memory_bytes", "Virtual memory of the process.");
pub const PROCESS_FDS: Family = Family::gauge("process_open_fds", "Open file descriptors of the process.");
pub const PROCESS_FDS_MAX: Family = Family::gauge("process_max_fds", "Most file descriptors the process may open.");
pub const PROCESS_THREADS: Family = Family::gauge("process_threads", "Threads of the process.");
pub const PROCESS_START: Family =
    Family::gauge("process_start_time_seconds", "When the process began, in seconds since 1970.");

/// All families, in the order they are shown.
pub const ALL: &[Family] = &[
    INFO,
    CONNECTIONS,
    CONNECTIONS_OPEN,
    CONNECTIONS_REFUSED,
    REQUESTS,
    REQUESTS_REFUSED,
    UNAUTHORIZED,
    LISTS,
    STREAMS_OPEN,
    BYTES_IN,
    BYTES_OUT,
    CALLS,
    CALLS_OVER_BUDGET,
    COST,
    COST_UNREAD,
    APPROVALS,
    APPROVALS_PENDING,
    CALLS_IN_FLIGHT,
    TOOLS_WITHHELD,
    TOOL_CHANGES,
    PINS_UNREADABLE,
    UPSTREAM_SECONDS,
    UPSTREAM_ERRORS,
    PHASE_SECONDS,
    MAILBOX,
    EPOCH,
    JOURNAL_RING_USED,
    JOURNAL_RING_SIZE,
    JOURNAL_ENTRIES,
    JOURNAL_BYTES,
    JOURNAL_LAG,
    JOURNAL_POISONED,
    JOURNAL_COMMIT,
    PROCESS_CPU,
    PROCESS_RSS,
    PROCESS_VIRTUAL,
    PROCESS_FDS,
    PROCESS_FDS_MAX,
    PROCESS_THREADS,
    PROCESS_START,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_keep_to_the_usual_form() {
        for (at, family) in ALL.iter().enumerate() {
            assert!(ALL[..at].iter().all(|other| other.name != family.name), "{} stands twice", family.name);
            assert!(family.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind == FamilyKind::Counter, "{}", family.name);
        }
    }
}
