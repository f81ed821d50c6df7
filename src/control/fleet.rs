//! What control tells the shards. The shards' mailboxes stand behind it: control and shards do not know each other.

use crate::audit::Act;
use crate::base::ids::ShardId;
use crate::config::Snapshot;
use crate::policy::{Decision, Standing};
use crate::upstream::credential;
use crate::upstream::leg::Verdict;
use rustls::ServerConfig;
use std::sync::Arc;

/// All shards of the process, as control sees them. Nothing here waits.
pub trait Fleet {
    /// A new snapshot is in force on every shard.
    fn publish(&self, snapshot: &Arc<Snapshot>);

    /// Every shard learns what a server's home found out about it.
    fn learn(&self, server: &str, verdict: Verdict);

    /// Every shard learns how the token of a server stands.
    fn credential(&self, server: &str, standing: &credential::Standing);

    /// Connections that come from now on are greeted with this identity.
    fn present(&self, identity: &Arc<ServerConfig>);

    /// A shard records what somebody did through the admin API.
    fn record_act(&self, act: Act);

    /// A shard learns how an approval stands that it asked about with this number.
    fn stand(&self, shard: ShardId, number: u64, standing: Standing);

    /// A shard is to record what became of an approval.
    fn record_decision(&self, shard: ShardId, decision: Decision);

    /// Every shard takes no more requests, finishes what is under way and stops.
    fn drain(&self);
}
