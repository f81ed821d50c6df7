//! Every metric the gate shows: name, type and help. `tests/tidy.rs` holds that the docs name each of them.

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

macro_rules! families {
    ($($id:ident $kind:ident $name:literal $help:literal)*) => {
        $(#[doc = $help] pub const $id: Family = Family { name: $name, kind: FamilyKind::$kind, help: $help };)*
        /// All families, in the order they are shown.
        pub const ALL: &[Family] = &[$($id),*];
    };
}

families! {
    INFO Gauge "tollgate_info" "Always 1; the labels say which version runs."
    CONNECTIONS Counter "tollgate_connections_total" "Client connections accepted."
    CONNECTIONS_OPEN Gauge "tollgate_connections_open" "Client connections open."
    CONNECTIONS_REFUSED Counter "tollgate_connections_refused_total" "Client connections refused at a bound."
    REQUESTS Counter "tollgate_requests_total" "HTTP requests read."
    REQUESTS_REFUSED Counter "tollgate_requests_refused_total" "HTTP requests answered with a 4xx or 5xx status."
    UNAUTHORIZED Counter "tollgate_unauthorized_total" "HTTP requests without a valid key."
    LISTS Counter "tollgate_lists_total" "Tool lists answered."
    STREAMS_OPEN Gauge "tollgate_streams_open" "Event streams open to clients."
    BYTES_IN Counter "tollgate_received_bytes_total" "Bytes read from clients."
    BYTES_OUT Counter "tollgate_sent_bytes_total" "Bytes written to clients."
    CALLS Counter "tollgate_calls_total" "Tool calls by server and outcome."
    CALLS_IN_FLIGHT Gauge "tollgate_calls_in_flight" "Tool calls under way by server."
    UPSTREAM_SECONDS Histogram "tollgate_upstream_seconds" "Time from sending a call to its whole answer, by server."
    UPSTREAM_ERRORS Counter "tollgate_upstream_errors_total" "Upstream connections or processes that failed, by server."
    PHASE_SECONDS Histogram "tollgate_phase_seconds" "Time an exchange spent in each phase."
    MAILBOX Gauge "tollgate_mailbox_messages" "Messages waiting in a shard's mailbox."
    EPOCH Gauge "tollgate_snapshot_epoch" "Epoch of the configuration snapshot in use, by shard."
    JOURNAL_RING_USED Gauge "tollgate_journal_ring_used_bytes" "Journal bytes in the ring, not yet durable, by shard."
    JOURNAL_RING_SIZE Gauge "tollgate_journal_ring_size_bytes" "Size of the journal ring, by shard."
    JOURNAL_ENTRIES Counter "tollgate_journal_entries_total" "Journal entries appended."
    JOURNAL_BYTES Counter "tollgate_journal_durable_bytes_total" "Journal bytes made durable."
    JOURNAL_LAG Gauge "tollgate_journal_lag_seconds" "Age of the oldest journal entry that is not durable, by shard."
    JOURNAL_POISONED Gauge "tollgate_journal_poisoned" "1 if the shard's journal takes no more entries and calls fail."
    JOURNAL_COMMIT Histogram "tollgate_journal_commit_seconds" "Time to write and sync one group of journal entries."
    PROCESS_CPU Counter "process_cpu_seconds_total" "User and system CPU time of the process."
    PROCESS_RSS Gauge "process_resident_memory_bytes" "Resident memory of the process."
    PROCESS_VIRTUAL Gauge "process_virtual_memory_bytes" "Virtual memory of the process."
    PROCESS_FDS Gauge "process_open_fds" "Open file descriptors of the process."
    PROCESS_FDS_MAX Gauge "process_max_fds" "Most file descriptors the process may open."
    PROCESS_THREADS Gauge "process_threads" "Threads of the process."
    PROCESS_START Gauge "process_start_time_seconds" "When the process began, in seconds since 1970."
}

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
