//! `tollgate approval`: calls that wait for somebody to approve them.
//!
//! Works on the store of the state directory, beside a running gate, which sees a decision within a moment.

use crate::audit::render;
use crate::base::clock::{Clock, WallTime};
use crate::base::error::{Error, Kind, Result};
use crate::base::ids::{ApprovalId, Place};
use crate::base::limits::APPROVAL_REASON_MAX;
use crate::cli::{Failure, output};
use crate::config::state::StateDir;
use crate::config::{Compiled, Purpose};
use crate::store::approvals::{self as table, Approval, State};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Arguments of `approval`.
#[derive(Debug, Args)]
pub struct ApprovalArgs {
    #[command(subcommand)]
    command: ApprovalCommand,
}

#[derive(Debug, Subcommand)]
enum ApprovalCommand {
    /// List calls that wait, the newest first
    List(ListArgs),
    /// Show one with its arguments
    Show {
        /// The approval
        id: String,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Let the call be made, once
    Approve(DecideArgs),
    /// Refuse the call
    Deny(DecideArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Those of this state
    #[arg(long, value_enum, default_value = "pending")]
    state: Which,
    /// Most to list
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Print one line of JSON for each
    #[arg(long)]
    json: bool,
}

/// Which approvals to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    Pending,
    Approved,
    Denied,
    Used,
    Expired,
    All,
}

impl Which {
    fn state(self) -> Option<State> {
        State::ALL.get(self as usize).copied()
    }
}

#[derive(Debug, Args)]
struct DecideArgs {
    /// The approval
    id: String,
    /// Why; the caller reads it where the call is denied, and the journal keeps it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ApprovalArgs, config: &Path) -> std::result::Result<(), Failure> {
    let state = state_dir(config)?;
    match &args.command {
        ApprovalCommand::List(args) => list(args, &state),
        ApprovalCommand::Show { id, json } => show(id, *json, &state),
        ApprovalCommand::Approve(args) => decide(args, true, &state),
        ApprovalCommand::Deny(args) => decide(args, false, &state),
    }
}

/// The state directory, whatever else is wrong with the configuration file.
fn state_dir(config: &Path) -> std::result::Result<StateDir, Failure> {
    match Compiled::load(config, Purpose::Look) {
        Ok(compiled) => Ok(compiled.settings.state.clone()),
        Err(report) => Ok(Compiled::state_dir(config).ok_or(report)?),
    }
}

fn list(args: &ListArgs, state: &StateDir) -> std::result::Result<(), Failure> {
    let found = match state.look()? {
        Some(store) => store.read(|store| table::list(store, args.state.state(), args.limit))?,
        None => Vec::new(),
    };
    if args.json {
        return found.iter().try_for_each(|approval| print(&json(approval)));
    }
    let head = ["ID", "STATE", "KEY", "TOOL", "ASKED", "EXPIRES", "BY"].map(str::to_owned).to_vec();
    let row = |approval: &Approval| {
        let (of, by) = (&approval.of, output::tame(&approval.decided_by));
        let times = [approval.created, approval.expires].map(output::timestamp);
        let [asked, expires] = times;
        let name = word(approval, Clock::wall()).to_owned();
        vec![approval.id.to_string(), name, of.key.to_string(), output::tame(&of.tool), asked, expires, by]
    };
    let rows: Vec<_> = std::iter::once(head).chain(found.iter().map(row)).collect();
    output::print(&output::table(&rows))
}

fn show(id: &str, as_json: bool, state: &StateDir) -> std::result::Result<(), Failure> {
    let approval = find(id, state)?;
    if as_json {
        return print(&json(&approval));
    }
    output::print(&text(&approval))
}

fn decide(args: &DecideArgs, approves: bool, state: &StateDir) -> std::result::Result<(), Failure> {
    if args.reason.len() > APPROVAL_REASON_MAX || args.reason.chars().any(char::is_control) {
        let what = format!("--reason: write at most {APPROVAL_REASON_MAX} bytes on one line");
        return Err(Error::new(Kind::InvalidParams, what).into());
    }
    let before = find(&args.id, state)?;
    let (now, who) = (Clock::wall(), who());
    let mut store = state.store()?;
    let reason = (who.as_str(), args.reason.as_str());
    let decided = store.change(|store| table::decide(store, before.id, approves, reason, now))?;
    let after = store.read(|store| table::get(store, before.id))?.unwrap_or(before);
    if !decided {
        return Err(undecided(&after, now).into());
    }
    if args.json {
        return print(&json(&after));
    }
    let (word, tool) = (after.state.name(), output::tame(&after.of.tool));
    let then = match (approves, state.running()) {
        (false, _) => String::new(),
        (true, Some(_)) => format!(": the call may be made, once, until {}", output::timestamp(after.expires)),
        (true, None) => "; no gate runs on this state directory now".to_owned(),
    };
    output::complain(&format!("approval {} of {tool} for key {} is {word}{then}\n", after.id, after.of.key));
    Ok(())
}

/// Why there is nothing to decide.
fn undecided(approval: &Approval, now: WallTime) -> Error {
    let why = match (word(approval, now), &*approval.decided_by) {
        ("pending", _) => "was asked for this moment: try again".to_owned(),
        ("expired", _) => "has expired: the call must be made again".to_owned(),
        (state, "") => format!("is {state}"),
        (state, by) => format!("is {state} already, decided by {}", output::tame(by)),
    };
    Error::new(Kind::InvalidParams, format!("approval {} {why}", approval.id))
}

fn find(id: &str, state: &StateDir) -> Result<Approval> {
    let unknown = || {
        let what = format!("no approval has the id {:.40}; see `tollgate approval list --state all`", output::tame(id));
        Error::new(Kind::NotFound, what)
    };
    let parsed = ApprovalId::parse(id).ok_or_else(unknown)?;
    let store = state.look()?.ok_or_else(unknown)?;
    store.read(|store| table::get(store, parsed))?.ok_or_else(unknown)
}

/// Who runs the command: the user of this process, and by what name it was begun.
fn who() -> String {
    let uid = std::fs::metadata("/proc/self").map_or_else(|_| "?".to_owned(), |meta| meta.uid().to_string());
    let name = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let name: String = name.unwrap_or_default().chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    if name.is_empty() { format!("cli:uid={uid}") } else { format!("cli:{name} (uid {uid})") }
}

/// The state, also where nobody has looked since its time was over.
fn word(approval: &Approval, now: WallTime) -> &'static str {
    match approval.state {
        State::Pending | State::Approved if approval.expires <= now => State::Expired.name(),
        state => state.name(),
    }
}

fn print(value: &Value) -> std::result::Result<(), Failure> {
    let line = render::json_text(value).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    output::print(&format!("{line}\n"))
}

fn json(approval: &Approval) -> Value {
    let of = &approval.of;
    let place = |place: Place| json!({"shard": place.shard.0, "seq": place.seq.0});
    json!({
        "id": approval.id.as_str(),
        "state": word(approval, Clock::wall()),
        "key": of.key.as_str(),
        "server": of.server,
        "tool": of.tool,
        "arguments": arguments(approval),
        "arguments_digest": hex(&of.arguments_digest),
        "definition": hex(&of.definition),
        "created": output::timestamp(approval.created),
        "expires": output::timestamp(approval.expires),
        "decided": approval.decided.map(output::timestamp),
        "decided_by": Some(&approval.decided_by).filter(|by| !by.is_empty()),
        "reason": Some(&approval.reason).filter(|reason| !reason.is_empty()),
        "used": approval.used.map(output::timestamp),
        "held_entry": approval.held.map(place),
        "decision_entry": approval.recorded.map(place),
    })
}

/// The arguments as they were sent: as text, for a reader of JSON may not keep each number as it is.
fn arguments(approval: &Approval) -> Option<&str> {
    Some(&*approval.of.arguments).filter(|text| !text.is_empty())
}

fn text(approval: &Approval) -> String {
    let of = &approval.of;
    let entry = |place: Place| format!("s{}#{}", place.shard.0, place.seq.0);
    let said = |text: &str| if text.is_empty() { "-".to_owned() } else { output::tame(text) };
    let rows = [
        ("approval", approval.id.to_string()),
        ("state", word(approval, Clock::wall()).to_owned()),
        ("key", of.key.to_string()),
        ("tool", output::tame(&of.tool)),
        ("server", of.server.to_string()),
        ("definition", hex(&of.definition)),
        ("asked", output::timestamp(approval.created)),
        ("expires", output::timestamp(approval.expires)),
        ("decided", approval.decided.map_or("-".to_owned(), output::timestamp)),
        ("by", said(&approval.decided_by)),
        ("reason", said(&approval.reason)),
        ("used", approval.used.map_or("-".to_owned(), output::timestamp)),
        ("held in", approval.held.map_or("-".to_owned(), entry)),
        ("decided in", approval.recorded.map_or("-".to_owned(), entry)),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect();
    let arguments = match arguments(approval) {
        Some(raw) => render::escaped(raw),
        None if matches!(approval.state, State::Pending | State::Approved) => "none were sent".to_owned(),
        None => "no longer kept".to_owned(),
    };
    format!("{}arguments:\n{arguments}\n", output::table(&rows))
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{KeyId, Seq, ShardId};
    use crate::store::Store;
    use crate::store::approvals::Suggestion;

    fn suggested(dir: &Path, arguments: &str) -> ApprovalId {
        let id = ApprovalId::from_entropy([3; 16]);
        let of = Suggestion {
            binding: [7; 32],
            key: KeyId::parse("k1").expect("a key's id"),
            server: "a".into(),
            tool: "a__wipe".into(),
            definition: [1; 32],
            policy: [2; 32],
            arguments: arguments.into(),
            arguments_digest: [3; 32],
        };
        let now = Clock::wall();
        let place = Place { shard: ShardId(0), seq: Seq(5) };
        let mut store = Store::open(dir).expect("store");
        let kept = store.change(|store| {
            table::suggest(store, id, &of, (now, WallTime(now.0 + 60_000)))?;
            table::note_held(store, id, place)
        });
        kept.expect("suggested");
        id
    }

    fn args(id: &str, reason: &str) -> DecideArgs {
        DecideArgs { id: id.into(), reason: reason.into(), json: true }
    }

    #[test]
    fn what_is_decided_is_shown_with_who_did() {
        let dir = tempfile::tempdir().expect("dir");
        let state = StateDir::new(dir.path());
        assert_eq!(find("abc", &state).expect_err("no store").kind, Kind::NotFound);
        let id = suggested(dir.path(), "{\"big\":9007199254740993,\"t\":\"a\u{1b}[2J\"}");
        let shown = text(&find(id.as_str(), &state).expect("there"));
        assert!(shown.contains("state       pending\n") && shown.contains("9007199254740993"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "a terminal is safe");
        assert!(decide(&args(id.as_str(), "two\nlines"), true, &state).is_err());
        decide(&args(id.as_str(), "checked"), true, &state).expect("approved");
        let after = find(id.as_str(), &state).expect("there");
        assert_eq!((after.state, after.reason.as_str()), (State::Approved, "checked"));
        assert!(after.decided_by.starts_with("cli:") && after.decided_by.contains("uid"), "{}", after.decided_by);
        let again = decide(&args(id.as_str(), ""), false, &state);
        let Err(Failure::Error(error)) = again else { panic!("decided twice") };
        assert!(error.context.contains("is approved already, decided by cli:"), "{error}");
        assert_eq!(json(&after)["held_entry"], json!({"shard": 0, "seq": 5}));
    }

    #[test]
    fn every_state_can_be_listed() {
        let named: Vec<_> = Which::value_variants().iter().map(|which| which.state()).collect();
        assert_eq!(named[..5], State::ALL.map(Some));
        assert_eq!((named[5], named.len()), (None, 6));
    }
}
