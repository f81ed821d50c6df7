//! Every bound in one file; the unit, or `_MAX`, stands last in the name.
//!
//! A bound that an operator may change is the default of a configuration field; the others are fixed. Asserts in
//! `limits/asserts.rs` tie the bounds to each other, so that a change to one that breaks another does not compile.

/// Longest request line accepted, in bytes (security defaults, line 7).
pub const REQUEST_LINE_MAX: usize = 8 * 1024;
/// Longest request or response head accepted (request line and all headers), in bytes.
pub const HEAD_MAX: usize = 32 * 1024;
/// Most headers in one head.
pub const HEADERS_MAX: usize = 100;
/// Default for the longest request body, in bytes. Configurable.
pub const BODY_MAX: usize = 4 * 1024 * 1024;
/// Longest answer read from an upstream for one call, in bytes. Configurable.
pub const UPSTREAM_BODY_MAX: usize = 32 * 1024 * 1024;
/// Longest chunk-size line, extensions included, in bytes.
pub const CHUNK_LINE_MAX: usize = 256;
/// Longest trailer section, and longest sum of chunk extensions in one body, in bytes: a body may not be all overhead.
pub const CHUNK_OVERHEAD_MAX: usize = 16 * 1024;
/// Most informational answers (1xx) skipped before an upstream's real one.
pub const INFORMATIONAL_MAX: usize = 8;
/// Most of a request body that nobody wanted which is read only to keep its connection, in bytes.
pub const DRAIN_MAX: usize = 64 * 1024;
/// Most bytes read and dropped after a connection's last answer, so that the client reads it before our reset.
pub const LINGER_MAX: usize = 1024 * 1024;
/// Longest time spent on that, in milliseconds.
pub const LINGER_MS: u64 = 1_000;
/// Longest single SSE event (all its lines), in bytes.
pub const SSE_EVENT_MAX: usize = 4 * 1024 * 1024;
/// Longest JSON line read from a stdio server, in bytes.
pub const STDIO_LINE_MAX: usize = 32 * 1024 * 1024;
/// Kept tail of a stdio server's stderr line before it is cut, in bytes.
pub const STDERR_LINE_MAX: usize = 4 * 1024;
/// Deepest nesting of arrays and objects in any JSON we read.
pub const JSON_DEPTH_MAX: usize = 64;
/// Most keys in one JSON object that is checked for duplicates.
pub const JSON_KEYS_MAX: usize = 4096;
/// Longest JSON-RPC id (its raw text), in bytes.
pub const RPC_ID_MAX: usize = 256;
/// Most messages in one JSON-RPC batch (2025-03-26 only).
pub const RPC_BATCH_MAX: usize = 64;
/// Longest exposed tool name: the shortest limit among clients and model providers.
pub const TOOL_NAME_MAX: usize = 64;
/// Longest tool name an upstream may give, in bytes.
pub const UPSTREAM_TOOL_NAME_MAX: usize = 256;
/// Longest server name in the configuration.
pub const SERVER_NAME_MAX: usize = 32;
/// Most servers one gate fronts.
pub const SERVERS_MAX: usize = 1024;
/// Most tools taken from one server; more is refused with a warning.
pub const SERVER_TOOLS_MAX: usize = 8192;
/// Most prompts taken from one server; more is refused with a warning.
pub const SERVER_PROMPTS_MAX: usize = 4096;
/// Most resources taken from one server; more is refused with a warning.
pub const SERVER_RESOURCES_MAX: usize = 8192;
/// Most resource templates taken from one server; more is refused with a warning.
pub const SERVER_TEMPLATES_MAX: usize = 512;
/// Longest URI or URI template of a resource, in bytes.
pub const URI_MAX: usize = 4096;
/// Longest URI template that URIs are matched against, in bytes.
pub const TEMPLATE_MAX: usize = 1024;
/// Most expressions of a URI template that URIs are matched against.
pub const TEMPLATE_EXPRESSIONS_MAX: usize = 16;
/// Most bytes looked at to match one URI against all templates.
pub const TEMPLATE_WORK_MAX: usize = 4 * 1024 * 1024;
/// Most pages walked of one upstream's list.
pub const LIST_PAGES_MAX: usize = 256;
/// Most entries of one page of our own lists.
pub const LIST_PAGE_MAX: usize = 1000;
/// Most skills taken from one server; more is refused with a warning.
pub const SERVER_SKILLS_MAX: usize = 1024;
/// Files and folders that one skill may have.
pub const SKILL_URIS_MAX: usize = 1024;
/// Files and folders of all skills taken from one server.
pub const SERVER_SKILL_URIS_MAX: usize = 16_384;
/// Extensions unknown to the gate that one server may be allowed.
pub const EXTENSIONS_MAX: usize = 16;
/// Longest object in which a server says which extensions it has, in bytes.
pub const EXTENSIONS_BYTES_MAX: usize = 16 * 1024;
/// Longest single definition of a tool, prompt, resource, template or skill kept, in bytes.
pub const DEFINITION_MAX: usize = 256 * 1024;
/// Tools of one server of which a pin is kept.
pub const PINS_MAX: usize = 16_384;
/// Bytes of pinned definitions of one server; new tools beyond it are held.
pub const PINS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest file of pins that is read, in bytes.
pub const PINS_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Rejected definitions of one tool that are remembered.
pub const PINS_REFUSED_MAX: usize = 16;
/// Parts of one definition's change that are told.
pub const DIFFERENCES_MAX: usize = 64;
/// Suspicious places of one definition that are told.
pub const FINDINGS_MAX: usize = 32;
/// Deepest nesting of a schema that a tool may have.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Most objects in one schema.
pub const SCHEMA_PARTS_MAX: usize = 2_000;
/// Most objects met when all references of one schema are followed.
pub const SCHEMA_EXPANDED_MAX: u64 = 100_000;
/// Most values of one enumeration.
pub const SCHEMA_ENUM_MAX: usize = 2_000;
/// Longest regular expression in a schema, in bytes.
pub const SCHEMA_PATTERN_MAX: usize = 2_048;
/// Bytes of rendered lists that one snapshot keeps; lists beyond it are rendered for each request.
pub const VIEWS_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Most items in one request's `x-tollgate-tools` header.
pub const NARROWING_ITEMS_MAX: usize = 64;
/// Longest sealed session id, in bytes (visible ASCII).
pub const SESSION_ID_MAX: usize = 1024;
/// Longest id of an event given to a client, in bytes (visible ASCII).
pub const EVENT_ID_MAX: usize = 448;
/// Longest sealed cursor, in bytes (visible ASCII).
pub const CURSOR_MAX: usize = 256;
/// Life of a cursor, in seconds.
pub const CURSOR_TTL_S: u64 = 60 * 60;
/// Longest client name or version kept from a handshake, in bytes.
pub const CLIENT_INFO_MAX: usize = 64;
/// Ended sessions remembered by each shard until they would have expired.
pub const ENDED_SESSIONS_MAX: usize = 65_536;
/// Resources, and tasks, that one stream or legacy session may be subscribed to.
pub const SUBSCRIPTIONS_MAX: usize = 256;
/// Resources and tasks that the legacy sessions of one key, and the open streams of one key on one shard, may be
/// subscribed to.
pub const SUBSCRIPTIONS_PER_KEY_MAX: usize = 8_192;
/// Time a client that subscribes waits for the server's word that it will tell, in milliseconds.
pub const SUBSCRIBE_WAIT_MS: u64 = 1_000;
/// Time between two changes of what a server is asked to tell of, in milliseconds.
pub const SUBSCRIBE_SPACING_MS: u64 = 100;
/// Longest notice of a task that is passed on, in bytes; of one that says more a client hears when it asks.
pub const TASK_NOTICE_MAX: usize = 1024 * 1024;
/// Notices of tasks that wait in one shard for the streams they are for, in bytes.
pub const TASK_NOTICES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Log levels of legacy sessions remembered by each shard.
pub const LOG_LEVELS_MAX: usize = 16_384;
/// Life of a legacy session without renewal, in seconds.
pub const SESSION_TTL_S: u64 = 24 * 60 * 60;
/// Most things a server asks of a client at once.
pub const INPUT_REQUESTS_MAX: usize = 16;
/// Longest key that a server gives such a thing, in bytes.
pub const INPUT_KEY_MAX: usize = 256;
/// Longest `requestState` taken from a server, in bytes.
pub const UPSTREAM_STATE_MAX: usize = 64 * 1024;
/// Longest `requestState` given to a client: a server's, or a parked call's, sealed; in bytes.
pub const REQUEST_STATE_MAX: usize = 96 * 1024;
/// Time a client has to answer what a server asks during a call, in milliseconds.
pub const INPUT_TTL_MS: u64 = 10 * 60_000;
/// Visits to pages remembered of each session or process of a server, until it says that they are done.
pub const VISITS_MAX: usize = 256;
/// Longest id of such a visit, in bytes.
pub const VISIT_ID_MAX: usize = 256;
/// Longest word of a server that one is done, in bytes.
pub const VISIT_NOTICE_MAX: usize = 16 * 1024;
/// Time a visit is remembered, in milliseconds.
pub const VISIT_TTL_MS: u64 = 60 * 60_000;
/// Such words that wait for one stream of a client.
pub const VISIT_NOTICES_MAX: usize = 16;
/// Longest task id taken from a server, in bytes.
pub const UPSTREAM_TASK_ID_MAX: usize = 256;
/// Longest task id given to a client: a server's, sealed; in bytes (visible ASCII).
pub const TASK_ID_MAX: usize = 512;
/// Default for the most connections of one shard; more are closed as they come. Configurable.
pub const CONNECTIONS_PER_SHARD_MAX: usize = 16_384;
/// Most idle upstream connections kept by one shard to one endpoint.
pub const IDLE_PER_ENDPOINT_MAX: usize = 64;
/// Longest instructions shown to clients, in bytes; more is cut.
pub const INSTRUCTIONS_MAX: usize = 8 * 1024;
/// Time a client may keep our list of tools, in milliseconds: lists change without notice to those who do not listen.
pub const LIST_TTL_MS: u64 = 5_000;
/// Time a client may keep our answer to `server/discover`, in milliseconds.
pub const DISCOVER_TTL_MS: u64 = 60_000;
/// Default for the most open listen and GET streams of one key on one shard. Configurable.
pub const STREAMS_PER_KEY_MAX: usize = 256;
/// Calls in flight to one stdio server, or in one HTTP+SSE session of a server.
pub const STDIO_IN_FLIGHT_MAX: usize = 256;
/// Messages under way at once in one session of a server that nobody waits for, such as answers to its own requests.
pub const ASIDES_MAX: usize = 64;
/// Requests under way at once in one downstream HTTP+SSE session.
pub const SSE_SESSION_REQUESTS_MAX: usize = 64;
/// Requests under way at once in all such sessions of one key on one shard, ended ones too.
pub const SSE_KEY_REQUESTS_MAX: usize = 1_024;
/// Messages waiting in one shard's mailbox.
pub const MAILBOX_MAX: usize = 4096;
/// Events of one relayed answer waiting for a slow client before it is cut.
pub const RELAY_EVENTS_MAX: usize = 256;
/// Bytes of one relayed answer waiting for a slow client before it is cut.
pub const RELAY_BYTES_MAX: usize = SSE_EVENT_MAX * 2;
/// Time what was said on a legacy session's event stream is kept for a client that comes back, in milliseconds: of a
/// call's stream from its answer on, of a GET stream from the client's going, of each event on an open one.
pub const REPLAY_TTL_MS: u64 = 5 * 60_000;
/// Events kept of one such stream; the oldest go first.
pub const REPLAY_EVENTS_MAX: usize = 256;
/// Bytes of events kept of one such stream; the oldest go first.
pub const REPLAY_STREAM_BYTES_MAX: usize = SSE_EVENT_MAX;
/// Bytes of events kept on one shard for one key.
pub const REPLAY_KEY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of events kept on one shard.
pub const REPLAY_SHARD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Streams kept on one shard for one key once they have ended or lost their client.
pub const REPLAY_KEY_STREAMS_MAX: usize = 256;
/// The same for all keys of one shard.
pub const REPLAY_SHARD_STREAMS_MAX: usize = 4_096;
/// Time after which a call of a 2025-11-25 session that was not answered is answered as an event stream, in
/// milliseconds: from then on its client can come back for the answer.
pub const REPLAY_BEGIN_MS: u64 = 100;
/// Time a client is told to wait before it comes back to a stream that broke, in milliseconds.
pub const REPLAY_RETRY_MS: u64 = 1_000;
/// Longest time a shard waits for more of another shard's stream before it asks again, in milliseconds.
pub const REPLAY_POLL_MS: u64 = 20_000;
/// Bytes of one stream that cross shards at once, where one event is not longer.
pub const REPLAY_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Ring entries of one shard's io_uring.
pub const RING_ENTRIES: u32 = 1024;
/// Time a peer has to send a whole head, in milliseconds.
pub const HEAD_DEADLINE_MS: u64 = 5_000;
/// Time a peer has to send a whole body, in milliseconds.
pub const BODY_DEADLINE_MS: u64 = 30_000;
/// Time a connection may idle between requests, in milliseconds.
pub const IDLE_DEADLINE_MS: u64 = 60_000;
/// Time one write to a peer may take before the peer counts as a slow reader, in milliseconds.
pub const WRITE_DEADLINE_MS: u64 = 30_000;
/// Time one call may take in all, in milliseconds. Configurable.
pub const CALL_DEADLINE_MS: u64 = 60_000;
/// Hard cap of a call whose idle timer progress keeps resetting, in milliseconds.
pub const CALL_CAP_MS: u64 = 15 * 60_000;
/// Questions of servers that legacy clients of one shard have open.
pub const QUESTIONS_MAX: usize = 4_096;
/// Calls of one shard that wait for their modern clients' answers.
pub const PARKED_MAX: usize = 4_096;
/// Those of one key among them.
pub const PARKED_PER_KEY_MAX: usize = 64;
/// Time in which questions of one call are gathered into one answer to a modern client, in milliseconds.
pub const GATHER_MS: u64 = 25;
/// Rounds of questions that one request of a legacy client may lead to.
pub const INPUT_ROUNDS_MAX: usize = 8;
/// Time a `server/discover` probe may take, in milliseconds. Configurable per server.
pub const PROBE_DEADLINE_MS: u64 = 3_000;
/// Default time between two listings of a server that announces no changes, in milliseconds. Configurable per server.
pub const LIST_REFRESH_MS: u64 = 5 * 60_000;
/// Shortest wait before an upstream that failed is tried again, in milliseconds.
pub const BACKOFF_MIN_MS: u64 = 500;
/// Longest wait before an upstream that failed is tried again, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 60_000;
/// Deaths of a stdio server, each soon after its start, after which it is left down for a cool-down.
pub const RESTARTS_MAX: u32 = 5;
/// Life of a stdio process after which its earlier deaths are forgiven, in milliseconds.
pub const RESTART_STABLE_MS: u64 = 60_000;
/// Time a stdio server that keeps dying is left down, in milliseconds. A changed configuration ends it at once.
pub const RESTART_COOL_DOWN_MS: u64 = 5 * 60_000;
/// Legacy sessions, or stdio processes, of one server on one shard.
pub const SCOPES_PER_SERVER_MAX: usize = 64;
/// Idle time after which a scope's session is ended or its process stopped, in milliseconds.
pub const SCOPE_IDLE_MS: u64 = 10 * 60_000;
/// Time after which a verdict that a server is legacy is probed again, in milliseconds: an upgraded server still
/// answers `initialize`, so the verdict goes stale in silence.
pub const LEGACY_VERDICT_MS: u64 = 24 * 60 * 60_000;
/// Longest error body read from an upstream, in bytes.
pub const UPSTREAM_ERROR_MAX: usize = 64 * 1024;
/// Messages waiting to be written to one stdio server.
pub const STDIO_QUEUE_MAX: usize = 512;
/// Time the calls of a server that is being stopped have to end, in milliseconds.
pub const STOP_DRAIN_MS: u64 = 5_000;
/// Limits of tools that have budgets. A record names every budget in the way of its call: a key's, its team's, its
/// customer's, its server's and these, of one for each length of the calendar.
pub const BUDGETED_TOOL_LIMITS_MAX: usize = 8;
/// Longest time a call waits until more of a budget is leased, in milliseconds.
pub const LEASE_WAIT_MS: u64 = 2_000;
/// Time between two looks of the ledger into the journal, in milliseconds.
pub const LEDGER_LOOK_MS: u64 = 5_000;
/// Records of the journal that the ledger takes before control turns to something else.
pub const LEDGER_TURN_RECORDS_MAX: usize = 2_000;
/// Periods of one budget that the ledger keeps, the newest: so many may a clock that jumps go back.
pub const LEDGER_PERIODS_MAX: usize = 8;
/// Time a burst of list changes is gathered before one listing, in milliseconds.
pub const LIST_DEBOUNCE_MS: u64 = 50;
/// Shortest time between two listings of a server whose list keeps changing, in milliseconds.
pub const LIST_SPACING_MS: u64 = 1_000;
/// Longest document or answer read of an authorization server, in bytes.
pub const OAUTH_BODY_MAX: usize = 256 * 1024;
/// Longest token taken from one, in bytes.
pub const OAUTH_TOKEN_MAX: usize = 12 * 1024;
/// Most scopes in one set.
pub const OAUTH_SCOPES_MAX: usize = 128;
/// Time one request to an authorization server may take, in milliseconds.
pub const OAUTH_REQUEST_MS: u64 = 10_000;
/// Time a refused request of a server waits for another token, in milliseconds.
pub const OAUTH_WAIT_MS: u64 = 20_000;
/// Shortest time between two tokens of one server, in milliseconds: one that refuses each is not asked on.
pub const OAUTH_SPACING_MS: u64 = 10_000;
/// Time before its end at which a token is renewed, in milliseconds.
pub const OAUTH_REFRESH_MARGIN_MS: u64 = 60_000;
/// Time a person has to allow the gate, in milliseconds.
pub const OAUTH_PERSON_MS: u64 = 10 * 60_000;
/// Longest state file of one server's tokens, in bytes.
pub const OAUTH_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Time one whole listing of a server may take, all pages, in milliseconds.
pub const LIST_DEADLINE_MS: u64 = 60_000;
/// Time the lists beside the tools may take, all pages of each, in milliseconds: a server that hangs in one of them
/// delays its tools by no more.
pub const SIDE_LIST_DEADLINE_MS: u64 = 15_000;
/// Bytes of all tool definitions taken from one server.
pub const SERVER_LIST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of all prompts, of all resources, of all templates, and of all skills taken from one server.
pub const SIDE_LIST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Time an upstream connection may take to open, in milliseconds.
pub const CONNECT_DEADLINE_MS: u64 = 5_000;
/// Idle time after which a pooled upstream connection is closed, in milliseconds.
pub const POOL_IDLE_MS: u64 = 30_000;
/// Bytes of one shard's journal ring.
pub const JOURNAL_RING_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one journal segment file.
pub const JOURNAL_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Longest journal record, frame included, in bytes.
pub const JOURNAL_RECORD_MAX: usize = 8 * 1024;
/// Default time between group commits of the journal, in milliseconds.
pub const JOURNAL_COMMIT_MS: u64 = 50;
/// Longest free text (a tool name, a reason) kept in a journal entry, in bytes.
pub const JOURNAL_TEXT_MAX: usize = 256;
/// Room kept in the journal's ring and segment for the outcome of each admitted call, in bytes.
pub const JOURNAL_OUTCOME_BYTES: usize = 512;
/// Longest wait of one call for room in the journal, in milliseconds.
pub const JOURNAL_ROOM_MS: u64 = 2_000;
/// Most servers with metrics of their own; calls to more are counted under `other`.
pub const METRIC_SERVERS_MAX: usize = 256;

/// Longest configuration or import file read, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most findings reported about one configuration.
pub const CONFIG_FINDINGS_MAX: usize = 100;
/// Longest file a `${file:…}` or `${credential:…}` reference reads, in bytes.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Time a program waits for another that holds the store, in milliseconds.
pub const STORE_BUSY_MS: u64 = 5_000;

/// How long the gate's control waits for whoever holds the store, as all else that it does waits meanwhile.
pub const STORE_BUSY_CONTROL_MS: u64 = 20;
/// Longest file of stored keys read or written, in bytes.
pub const KEYS_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest name that people give a stored key, in characters.
pub const KEY_NAME_MAX: usize = 128;
/// Most virtual keys one gate knows.
pub const KEYS_MAX: usize = 100_000;
/// Most tokens for the admin API.
pub const ADMIN_TOKENS_MAX: usize = 256;
/// Longest body of a request to the admin API, in bytes.
pub const ADMIN_BODY_MAX: usize = 256 * 1024;
/// Most entries of one page of a list of the admin API.
pub const ADMIN_PAGE_MAX: usize = 1_000;
/// Most keys, tools and servers that are switched off apart from the configuration.
pub const SWITCHES_MAX: usize = KEYS_MAX;
/// Most allow patterns of one key, and tools that one group renames or describes.
pub const PATTERNS_PER_KEY_MAX: usize = 256;
/// Longest name of a customer, a team or a limit.
pub const LEVEL_NAME_MAX: usize = 64;
/// Most groups of one key, team or customer.
pub const GROUPS_PER_LEVEL_MAX: usize = 16;
/// Longest description that a group gives a tool, in bytes.
pub const ALIAS_DESCRIPTION_MAX: usize = 16 * 1024;
/// Most groups, customers, teams, and limits of tools, each.
pub const LEVELS_MAX: usize = 10_000;
/// Calls that wait for an approval, of all keys.
pub const APPROVALS_PENDING_MAX: usize = 1_024;
/// Those of one key among them.
pub const APPROVALS_PENDING_PER_KEY_MAX: usize = 32;
/// Longest arguments of a call that may wait for an approval, in bytes: they are kept for whoever decides.
pub const APPROVAL_ARGUMENTS_MAX: usize = 256 * 1024;
/// Default life of an approval, from the call it is asked for to its use, in seconds. Configurable.
pub const APPROVAL_TTL_S: u64 = 10 * 60;
/// Time a call that is made again waits for a decision before it is told that there is none yet, in milliseconds.
pub const APPROVAL_WAIT_MS: u64 = 15_000;
/// Time between two looks for decisions while any is waited for, in milliseconds.
pub const APPROVAL_LOOK_MS: u64 = 100;
/// Time after which the recording of a decision is asked for again, in milliseconds.
pub const APPROVAL_RECORD_MS: u64 = 5_000;
/// Requests of shards about approvals waiting for control, and requests waiting for a decision, each.
pub const APPROVAL_REQUESTS_MAX: usize = 4_096;
/// Longest reason somebody gives for a decision, in bytes.
pub const APPROVAL_REASON_MAX: usize = 256;
/// Time an approval that has ended stays in lists, without its arguments, in milliseconds.
pub const APPROVAL_KEPT_MS: u64 = 7 * 24 * 60 * 60_000;
/// Most rules of which tools need an approval.
pub const APPROVAL_RULES_MAX: usize = 1_024;
/// Longest address of a page where approvals are decided, in bytes.
pub const APPROVAL_PAGE_URL_MAX: usize = 1_024;

mod asserts;
