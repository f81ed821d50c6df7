//! What ties the bounds to each other.

#[allow(clippy::wildcard_imports, reason = "each bound may be tied to each other")]
use super::*;

const _: () = assert!(APPROVALS_PENDING_PER_KEY_MAX < APPROVALS_PENDING_MAX);
const _: () = assert!(APPROVAL_WAIT_MS < IDLE_DEADLINE_MS, "a client does not give its connection up meanwhile");
const _: () = assert!(APPROVAL_REASON_MAX <= JOURNAL_TEXT_MAX);
const _: () = assert!(REQUEST_LINE_MAX < HEAD_MAX);
const _: () = assert!(SESSION_ID_MAX < HEAD_MAX / 4, "a session id must fit a head beside everything else");
const _: () = assert!(TASK_ID_MAX < HEAD_MAX / 4, "a task id is repeated in a header");
const _: () = assert!(REQUEST_STATE_MAX < BODY_MAX / 4, "a state must fit a body beside everything else");
const _: () = assert!(BODY_MAX <= UPSTREAM_BODY_MAX, "an upstream may echo what a client sent");
const _: () = assert!(SERVER_NAME_MAX + 2 < TOOL_NAME_MAX, "a prefix must leave room for a name");
const _: () = assert!(
    (4 + BUDGETED_TOOL_LIMITS_MAX) * 6 * (LEVEL_NAME_MAX + 32) + 4 * JOURNAL_TEXT_MAX < JOURNAL_RECORD_MAX,
    "the budgets of a call must fit its record"
);
const _: () = assert!(JOURNAL_RECORD_MAX * 64 <= JOURNAL_RING_BYTES, "the ring must hold a burst");
const _: () = assert!(JOURNAL_RING_BYTES as u64 <= JOURNAL_SEGMENT_BYTES, "a full ring must fit one segment");
const _: () = assert!(URI_MAX * 4 < HEAD_MAX, "a URI, encoded, must fit a head beside everything else");
const _: () = assert!(TEMPLATE_MAX <= URI_MAX);
const _: () = assert!(SIDE_LIST_DEADLINE_MS < LIST_DEADLINE_MS);
const _: () = assert!(HEAD_DEADLINE_MS < IDLE_DEADLINE_MS);
const _: () = assert!(SSE_EVENT_MAX <= RELAY_BYTES_MAX);
const _: () = assert!(OAUTH_TOKEN_MAX < HEAD_MAX / 2, "a token must fit a head beside everything else");
const _: () = assert!(OAUTH_REQUEST_MS < OAUTH_WAIT_MS && OAUTH_WAIT_MS < CALL_DEADLINE_MS);
const _: () = assert!(EVENT_ID_MAX < HEAD_MAX / 4, "an event's id must fit a head beside everything else");
const _: () =
    assert!(REPLAY_STREAM_BYTES_MAX <= REPLAY_KEY_BYTES_MAX && REPLAY_KEY_BYTES_MAX <= REPLAY_SHARD_BYTES_MAX);
const _: () = assert!(SUBSCRIPTIONS_MAX < SUBSCRIPTIONS_PER_KEY_MAX);
const _: () = assert!(SSE_SESSION_REQUESTS_MAX < SSE_KEY_REQUESTS_MAX);
const _: () = assert!(REPLAY_KEY_STREAMS_MAX <= REPLAY_SHARD_STREAMS_MAX);
const _: () = assert!(REPLAY_POLL_MS * 2 < REPLAY_TTL_MS, "a stream that is read is not given up");
const _: () = assert!(CALL_DEADLINE_MS < CALL_CAP_MS);
const _: () = assert!(INPUT_TTL_MS < CALL_CAP_MS);
const _: () = assert!(BACKOFF_MIN_MS < BACKOFF_MAX_MS);
const _: () =
    assert!(KEYS_MAX as u64 * 512 <= KEYS_FILE_BYTES_MAX, "all keys fit their file, with a few patterns each");
const _: () = assert!(LIST_REFRESH_MS < SCOPE_IDLE_MS, "a listing must come often enough to keep its session alive");
