//! The configuration exactly as written: one type per table, every field with its unit and its default.
//!
//! Nothing here is checked beyond its type; `compile` turns it into what the program uses. The JSON Schema, the
//! reference page and the effective configuration that `tollgate check` prints all come from these types.

use crate::base::limits;
pub use crate::config::admins::AdminToken;
pub use crate::config::approval::{Approval, ApprovalRule, Need};
pub use crate::config::callers::{Anonymous, Customer, Group, Key, Team, ToolLimit, ToolPrice};
pub use crate::config::drift::{Drift, DriftMode};
pub use crate::config::oauth::{Grant, Oauth, TokenEndpointAuth};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The configuration of one gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub listen: Listen,
    /// Where health, metrics and, on loopback, the admin API are served.
    pub admin: Admin,
    /// Tokens for the admin API over TCP. The socket in the state directory needs none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admin_tokens: Vec<AdminToken>,
    /// Threads and the way they talk to the kernel.
    pub runtime: Runtime,
    /// Bounds that an operator may change.
    pub limits: Limits,
    /// Where the gate keeps what must survive a restart.
    pub state: State,
    /// The record of every call.
    pub journal: Journal,
    /// What is done about tools whose definitions change or are suspicious.
    pub drift: Drift,
    /// What a request without a key may use. Leave it out to refuse such requests. Loopback listeners only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<Anonymous>,
    /// Groups of tools, prompts and resources by name: 1 to 64 of `a-z`, `0-9` and `-`. Keys have them, and teams and
    /// customers may let their keys have them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Group>,
    /// Customers by name: 1 to 64 of `a-z`, `0-9` and `-`. Each bounds what all of its teams' keys may do together.
    /// `tollgate customer new` keeps its own in the store instead.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub customers: BTreeMap<String, Customer>,
    /// Teams by name: 1 to 64 of `a-z`, `0-9` and `-`. Each bounds what all of its keys may do together.
    /// `tollgate team new` keeps its own in the store instead.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teams: BTreeMap<String, Team>,
    /// Limits of tools, whoever calls them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_limits: Vec<ToolLimit>,
    /// Which tool calls are held until somebody approves them.
    pub approval: Approval,
    /// What calls of tools cost. Tools without a price are free.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_prices: Vec<ToolPrice>,
    /// The MCP servers behind the gate, by name: 1 to 32 of `a-z`, `0-9` and `-`. The name prefixes their tools
    /// (`name__tool`). Lists are in the order written here.
    pub servers: BTreeMap<String, Server>,
    /// Virtual keys kept in this file. `tollgate key new` keeps its own in the store instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// IP address and TCP port. An address other than loopback needs `tls` or `insecure_any_address`.
    pub address: String,
    /// Names a `Host` header may carry, with or without a port (without: any port). Loopback names and the listen
    /// address itself are always allowed on a loopback listener.
    pub allowed_hosts: Vec<String>,
    /// Web origins whose pages may call the gate, such as `https://app.example.com`. Requests without an `Origin`
    /// are not from a page and pass. Loopback origins are always allowed on a loopback listener.
    pub allowed_origins: Vec<String>,
    /// Certificate and key to speak TLS with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Allow an address other than loopback without TLS. Keys then cross the network in clear text unless something
    /// in front ends TLS.
    pub insecure_any_address: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8080".into(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            tls: None,
            insecure_any_address: false,
        }
    }
}

/// The listener's TLS identity, read at start and at every reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate chain, the gate's own first.
    pub cert: String,
    /// PEM file with the private key. Only the gate's user should be able to read it.
    pub key: String,
}

/// Where health (`/livez`, `/readyz`) and metrics (`/metrics`) are served and, on a loopback address, the admin API to
/// holders of a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// IP address and TCP port; loopback unless `insecure_any_address` says otherwise.
    pub address: String,
    /// Allow an address other than loopback. Whoever reaches it reads the metrics.
    pub insecure_any_address: bool,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: "127.0.0.1:8081".into(), insecure_any_address: false }
    }
}

/// Threads and the way they talk to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Runtime {
    /// How sockets and files are driven.
    pub driver: Driver,
    /// Number of shard threads; 0 means one for each core the process may use.
    #[schemars(range(max = 1024))]
    pub shards: u32,
    /// Bind each shard thread to one core.
    pub pin: bool,
}

impl Default for Runtime {
    fn default() -> Self {
        Self { driver: Driver::Auto, shards: 0, pin: true }
    }
}

/// How sockets and files are driven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// io_uring where the kernel offers it, else epoll with a line in the log.
    #[default]
    Auto,
    /// io_uring, or do not start.
    IoUring,
    /// epoll.
    Epoll,
}

/// Bounds that an operator may change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest request body accepted from a client, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub body_max_bytes: u64,
    /// Longest answer read from a server for one call, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub answer_max_bytes: u64,
    /// Time one call may take without a sign of life, in milliseconds. Servers may set their own.
    #[schemars(range(min = 1, max = 900_000))]
    pub call_timeout_ms: u64,
    /// Most client connections of one shard. Each is an open file; the gate raises its own limit as far as it may.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub connections_per_shard_max: u64,
    /// Most event streams (GET, `subscriptions/listen`) that one key may hold open on one shard.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub streams_per_key_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_max_bytes: limits::BODY_MAX as u64,
            answer_max_bytes: limits::UPSTREAM_BODY_MAX as u64,
            call_timeout_ms: limits::CALL_DEADLINE_MS,
            connections_per_shard_max: limits::CONNECTIONS_PER_SHARD_MAX as u64,
            streams_per_key_max: limits::STREAMS_PER_KEY_MAX as u64,
        }
    }
}

/// Where the gate keeps what must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Directory of the store with all that the command line makes, the last good tool lists and, unless set apart, the
    /// journal. A relative path counts from this file's directory.
    pub directory: String,
}

impl Default for State {
    fn default() -> Self {
        Self { directory: "/var/lib/tollgate".into() }
    }
}

/// The record of every call. A call that cannot be recorded is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// Directory of the segment files; `journal` in the state directory where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Directory on a tmpfs that holds records until they are on disk, so that a killed gate loses none. Where absent:
    /// the unit's `RuntimeDirectory`, else a directory of this gate in `/dev/shm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_directory: Option<String>,
    /// Longest time between a record and its sync to disk, in milliseconds.
    #[schemars(range(min = 1, max = 10_000))]
    pub commit_ms: u64,
    /// Size of one segment file, in bytes.
    #[schemars(range(min = 8_388_608, max = 4_294_967_296_u64))]
    pub segment_bytes: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            directory: None,
            ring_directory: None,
            commit_ms: limits::JOURNAL_COMMIT_MS,
            segment_bytes: limits::JOURNAL_SEGMENT_BYTES,
        }
    }
}

/// One MCP server: either `url` (Streamable HTTP) or `command` (a child process that speaks over stdin and stdout).
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// URL of a Streamable HTTP server, `https://` or `http://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Headers sent with every request to `url`, such as its credential. Use references, not literal secrets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// PEM file of certificate authorities to trust for `url` instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// How the gate gets tokens for `url`, where that wants OAuth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<Oauth>,
    /// Program to start: an absolute path, or a name found in `PATH`. No shell is involved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Arguments of `command`, passed as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment of `command`, beside `PATH`, `HOME`, `LANG` and `TMPDIR`: it inherits nothing else.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working directory of `command`; the gate's own where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The protocol era it speaks: `auto` probes and remembers.
    pub era: Era,
    /// Who shares one legacy session or one child process of it.
    pub session_scope: SessionScope,
    /// Which clients of one scope share a child process: one that speaks the legacy era alone hears but once what its
    /// client can be asked. Only with `command`.
    pub processes: Processes,
    /// Time one call may take without a sign of life, in milliseconds; `limits.call_timeout_ms` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 900_000))]
    pub call_timeout_ms: Option<u64>,
    /// Time the probe for its era may take, in milliseconds.
    #[schemars(range(min = 1, max = 60_000))]
    pub probe_timeout_ms: u64,
    /// Whether it may ask a client's user for input during a call (`elicitation/create`).
    pub elicitation: bool,
    /// Whether it may use a client's model during a call (`sampling/createMessage`): at the client's cost.
    pub sampling: bool,
    /// Whether it may ask a client for its roots (`roots/list`), which name folders on the client's machine.
    pub roots: bool,
    /// Whether what it calls `public` of its resources may be kept for all clients, by proxies too, whoever's key may
    /// read it. `false` tells each client to keep it for itself.
    pub share_public: bool,
    /// Extensions unknown to the gate that pass between it and its clients, such as `com.example/thing`: what both
    /// declare of them, and `_meta` under their prefix. None of their methods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Time between two looks at its tool list when nothing else asks for one, in milliseconds.
    #[schemars(range(min = 1_000, max = 86_400_000))]
    pub refresh_ms: u64,
    /// Most calls in a time, such as `["10/second", "2000/day"]`: of `second`, `minute`, `hour` and `day`, one each.
    /// All of them hold. `0/day` lets nothing through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<String>,
    /// Most calls under way at once; as many as there are where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// What is done about changed or suspicious definitions of it; `drift.mode` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftMode>,
    /// Most money in a time, in US dollars, such as `["5.00/day", "100/month"]`: of `minute`, `hour`, `day`, `week`,
    /// `month` and `year`, one each. All of them hold. What tools cost is said by `tool_prices`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<String>,
    /// Time zone of its days and months, such as `Europe/Berlin`; `UTC` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// `false` keeps it in the file but out of the gate; an imported `command` starts out that way.
    pub enabled: bool,
}

impl fmt::Debug for Server {
    /// Without what may hold a secret: URL, arguments, values of headers and environment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Server");
        out.field("command", &self.command).field("headers", &self.headers.keys()).field("env", &self.env.keys());
        out.field("era", &self.era).field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            url: None,
            headers: BTreeMap::new(),
            ca_file: None,
            oauth: None,
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            era: Era::Auto,
            session_scope: SessionScope::Shared,
            processes: Processes::PerScope,
            call_timeout_ms: None,
            probe_timeout_ms: limits::PROBE_DEADLINE_MS,
            elicitation: true,
            sampling: false,
            roots: false,
            share_public: false,
            extensions: Vec::new(),
            refresh_ms: limits::LIST_REFRESH_MS,
            rates: Vec::new(),
            concurrency_max: None,
            drift: None,
            budgets: Vec::new(),
            time_zone: None,
            enabled: true,
        }
    }
}

/// The protocol era a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// Probe, and remember what was found.
    #[default]
    Auto,
    /// 2026-07-28 and later, without a handshake.
    Modern,
    /// 2025-11-25 and earlier, with `initialize`.
    Legacy,
    /// 2024-11-05 over HTTP+SSE, whose `url` is that of the event stream. Only with `url`.
    Sse,
}

/// Who shares one legacy session or one child process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionScope {
    /// All keys.
    #[default]
    Shared,
    /// Each virtual key has its own.
    PerKey,
    /// Each client session has its own.
    PerSession,
}

/// Which clients of one scope share a child process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Processes {
    /// All: the process is told of everything that this configuration lets it ask.
    #[default]
    PerScope,
    /// Those that declare the same: each process is told of just that.
    PerCapabilities,
}
