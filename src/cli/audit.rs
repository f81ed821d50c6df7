//! `tollgate audit tail|show|verify`: looks into a journal, whether or not a gate is writing it.

use crate::audit::{self, Entry, EntryKind, LogPlace, Record, ShardLog, ShardReport, render};
use crate::base::error::{Error, Kind};
use crate::base::ids::ShardId;
use crate::cli::Failure;
use crate::config::{Compiled, Purpose};
use clap::{Args, Subcommand, ValueEnum};
use std::io::{self, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pause between two looks of `tail --follow`.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

/// Look into the audit journal
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Journal directory; the configuration's where absent
    #[arg(long, global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Ring directory; the one the last writer used where absent
    #[arg(long, global = true, value_name = "DIR")]
    pub ring_dir: Option<PathBuf>,
    /// Only this shard
    #[arg(long, global = true, value_name = "N")]
    pub shard: Option<u16>,
    /// One JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show the last entries, one a line
    Tail(TailArgs),
    /// Show entries with all their fields
    Show(ShowArgs),
    /// Check every checksum, the chain, the numbering, and that each outcome has its intent
    Verify,
}

/// Which of the last entries to show.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// How many
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    pub lines: usize,
    /// Go on showing what comes
    #[arg(short, long)]
    pub follow: bool,
    /// Which entries
    #[command(flatten)]
    pub filter: Filter,
}

/// Which entries to show in full.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Only the entry of this number (on each shard, unless --shard says which)
    #[arg(long, value_name = "N")]
    pub seq: Option<u64>,
    /// Stop after so many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Which entries
    #[command(flatten)]
    pub filter: Filter,
}

/// Conditions that all must hold. One on a call's fields leaves outcomes out.
#[derive(Debug, Default, Args)]
pub struct Filter {
    /// Only entries of this kind
    #[arg(long, value_enum)]
    pub kind: Option<KindName>,
    /// Only calls with this key
    #[arg(long, value_name = "ID")]
    pub key: Option<String>,
    /// Only calls to this server
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// Only calls of this tool (its exposed name)
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Only entries that name this approval
    #[arg(long, value_name = "ID")]
    pub approval: Option<String>,
}

/// An entry's kind on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the variants are the kinds of `audit::EntryKind`")]
pub enum KindName {
    Boot,
    Intent,
    Outcome,
    Denied,
    Recovered,
    Admin,
    Held,
    Decided,
}

impl KindName {
    fn kind(self) -> EntryKind {
        match self {
            Self::Boot => EntryKind::Boot,
            Self::Intent => EntryKind::Intent,
            Self::Outcome => EntryKind::Outcome,
            Self::Denied => EntryKind::Denied,
            Self::Recovered => EntryKind::Recovered,
            Self::Admin => EntryKind::Admin,
            Self::Held => EntryKind::Held,
            Self::Decided => EntryKind::Decided,
        }
    }
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        let Ok(entry) = record.entry() else { return self.is_empty() };
        let call = match &entry {
            Entry::Intent(intent) => Some(intent),
            Entry::Reserved(reserved) => Some(&reserved.call),
            Entry::Denied(denied) => Some(&denied.call),
            Entry::Held(held) => Some(&held.call),
            _ => None,
        };
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|w| found == Some(w));
        self.kind.is_none_or(|kind| kind.kind() == entry.kind())
            && is(&self.key, call.map(|call| call.key))
            && is(&self.server, call.map(|call| call.server))
            && is(&self.tool, call.map(|call| call.tool))
            && is(&self.approval, approval_of(&entry))
    }

    fn is_empty(&self) -> bool {
        self.kind.is_none() && [&self.key, &self.server, &self.tool, &self.approval].into_iter().all(Option::is_none)
    }
}

/// The approval that an entry names.
fn approval_of<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    match entry {
        Entry::Held(held) => Some(held.approval),
        Entry::Decided(decided) => Some(decided.approval),
        _ => None,
    }
}

pub(crate) fn run(args: &AuditArgs, config: &Path) -> Result<(), Failure> {
    let place = LogPlace::find(&journal_dir(args, config)?, args.ring_dir.as_deref())?;
    let shards = chosen(&place, args.shard)?;
    let mut out = Output { out: io::stdout().lock(), json: args.json };
    match &args.command {
        AuditCommand::Tail(tail) => run_tail(&place, &shards, tail, &mut out),
        AuditCommand::Show(show) => run_show(&place, &shards, show, &mut out),
        AuditCommand::Verify => run_verify(&place, &shards, &mut out),
    }
}

/// The directory the arguments name, else the configuration's.
fn journal_dir(args: &AuditArgs, config: &Path) -> Result<PathBuf, Failure> {
    match &args.dir {
        Some(dir) => Ok(dir.clone()),
        None => Ok(Compiled::load(config, Purpose::Look)?.settings.journal.directory.clone()),
    }
}

type Ended = Result<(), Failure>;

/// Nobody reading any more (`| head`) is no failure.
fn printed(done: io::Result<()>) -> Ended {
    done.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Error::from(error).into(),
    })
}

struct Output {
    out: StdoutLock<'static>,
    json: bool,
}

impl Output {
    fn put(&mut self, text: &str) -> Ended {
        printed(writeln!(self.out, "{text}"))
    }

    fn flush(&mut self) -> Ended {
        printed(self.out.flush())
    }

    fn line(&mut self, record: &Record) -> Ended {
        let text = if self.json { render::json(record) } else { render::line(record) };
        self.put(&text)
    }

    fn block(&mut self, record: &Record) -> Ended {
        if self.json { self.line(record) } else { self.put(&render::block(record)) }
    }
}

fn chosen(place: &LogPlace, shard: Option<u16>) -> Result<Vec<ShardId>, Error> {
    let mut shards = place.shards()?;
    let Some(wanted) = shard else { return Ok(shards) };
    shards.retain(|shard| shard.0 == wanted);
    if shards.is_empty() {
        return Err(Error::new(Kind::Journal, format!("the journal has no shard {wanted}")));
    }
    Ok(shards)
}

fn run_tail(place: &LogPlace, shards: &[ShardId], args: &TailArgs, out: &mut Output) -> Ended {
    let mut logs = Vec::new();
    let mut last = Vec::new();
    for shard in shards {
        let (records, log) = place.read_last(*shard, args.lines, &|record| args.filter.takes(record))?;
        last.extend(records);
        logs.push(log);
    }
    last.sort_by_key(|record| (record.hlc, record.shard));
    let skip = last.len().saturating_sub(args.lines);
    last.iter().skip(skip).try_for_each(|record| out.line(record))?;
    out.flush()?;
    if !args.follow {
        return Ok(());
    }
    loop {
        pause();
        show_new(&mut logs, &args.filter, out)?;
    }
}

#[allow(clippy::disallowed_methods, reason = "a command of its own process, no shard")]
fn pause() {
    std::thread::sleep(FOLLOW_PAUSE);
}

fn show_new(logs: &mut [ShardLog], filter: &Filter, out: &mut Output) -> Ended {
    let mut new = Vec::new();
    for log in logs {
        log.refresh()?;
        while let Some(record) = log.next().map_err(Error::from)? {
            if filter.takes(&record) {
                new.push(record);
            }
        }
    }
    new.sort_by_key(|record| (record.hlc, record.shard));
    new.iter().try_for_each(|record| out.line(record))?;
    out.flush()
}

fn run_show(place: &LogPlace, shards: &[ShardId], args: &ShowArgs, out: &mut Output) -> Ended {
    let mut heads = Vec::new();
    for shard in shards {
        let mut log = place.read(*shard)?;
        let first = next_shown(&mut log, args)?;
        heads.extend(first.map(|record| (record, log)));
    }
    let mut shown = 0;
    while args.limit.is_none_or(|limit| shown < limit) {
        let oldest = (0..heads.len()).min_by_key(|at| (heads[*at].0.hlc, heads[*at].0.shard));
        let Some(oldest) = oldest else { break };
        out.block(&heads[oldest].0)?;
        shown += 1;
        match next_shown(&mut heads[oldest].1, args)? {
            Some(record) => heads[oldest].0 = record,
            None => drop(heads.swap_remove(oldest)),
        }
    }
    if shown == 0 && args.seq.is_some() {
        return Err(Error::new(Kind::Journal, "there is no such entry").into());
    }
    Ok(())
}

/// The next entry that the arguments ask for.
fn next_shown(log: &mut ShardLog, args: &ShowArgs) -> Result<Option<Record>, Error> {
    while let Some(record) = log.next().map_err(Error::from)? {
        if args.seq.is_none_or(|seq| seq == record.seq) && args.filter.takes(&record) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn run_verify(place: &LogPlace, shards: &[ShardId], out: &mut Output) -> Ended {
    let mut damaged = 0;
    for shard in shards {
        let report = audit::verify(place, *shard)?;
        damaged += u32::from(report.damage.is_some());
        let text = if out.json { render::json_text(&report).unwrap_or_default() } else { report_text(&report) };
        out.put(&text)?;
    }
    if damaged > 0 {
        let context = format!("{damaged} of {} shard logs are damaged; keep a copy of the journal", shards.len());
        return Err(Error::new(Kind::Journal, context).into());
    }
    if !out.json {
        out.put(&format!("log {}: {} shard logs are intact", place.log_id(), shards.len()))?;
    }
    Ok(())
}

fn report_text(report: &ShardReport) -> String {
    let ShardReport { shard, entries, segments, intents, outcomes, denied, boots, unfinished, .. } = report;
    let mut text = format!(
        "shard {shard}: {entries} entries in {segments} segments: {boots} starts, {intents} intents, {outcomes} \
         outcomes, {denied} denied"
    );
    if *unfinished > 0 {
        text += &format!(", {unfinished} calls without outcome");
    }
    if report.unknown > 0 {
        text += &format!(", {} of a newer version", report.unknown);
    }
    if let Some(offset) = report.torn_tail {
        text += &format!("; a write is unfinished at byte {offset} of the last segment");
    }
    if let Some(damage) = &report.damage {
        text += &format!("\nshard {shard}: DAMAGED at {}", render::escaped(&damage.to_string()));
    }
    text
}
