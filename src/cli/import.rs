//! `tollgate import`: other programs' server lists as TOML, printed or added to the configuration. Starts nothing.

use crate::base::error::{Error, Kind};
use crate::cli::{Failure, output};
use crate::config::import::{Fit, Import, import};
use crate::config::{Compiled, Lookup, Purpose, Report};
use crate::rt::disk;
use clap::Args;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files of Claude, Cursor, VS Code, Codex, Gemini CLI, Zed, opencode and the like: JSON (with comments) or TOML
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Add what is printed to the configuration file
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(args: &ImportArgs, config: &Path) -> Result<(), Failure> {
    let (old, mut taken) = present(config, args.write)?;
    let mut imports = Vec::new();
    let mut failed = Report::default();
    for file in &args.files {
        let text = disk::read(file).map_err(|error| Error::from(error).at(&file.display().to_string()));
        match text.and_then(|text| import(file, &text, &mut taken)) {
            Ok(import) => imports.push(import),
            Err(error) => failed.error(error.context, "name a file with a list of MCP servers"),
        }
    }
    if failed.has_errors() {
        output::complain(&failed.render(output::stderr_has_colour()));
        return Err(Error::new(Kind::InvalidParams, "nothing was imported").into());
    }
    let toml: String = imports.iter().map(Import::to_toml).collect();
    if args.write {
        write(config, &old, &toml)?;
    }
    output::complain(&summary(&imports));
    output::print(&toml)
}

/// The configuration's text and the names it uses. It may be missing where nothing is to be written.
fn present(config: &Path, needed: bool) -> Result<(String, BTreeSet<String>), Failure> {
    if !needed && !config.exists() {
        return Ok((String::new(), BTreeSet::new()));
    }
    let text = disk::read(config).map_err(|error| Error::from(error).at(&config.display().to_string()))?;
    let compiled = Compiled::load(config, Purpose::Look)?;
    Ok((text, compiled.written.servers.into_keys().collect()))
}

/// Adds the tables at the end, if the whole then still compiles.
fn write(config: &Path, old: &str, toml: &str) -> Result<(), Failure> {
    let gap = if old.is_empty() || old.ends_with("\n\n") { "" } else { "\n" };
    let new = format!("{}{gap}{toml}", with_newline(old));
    let base = std::path::absolute(config).map_err(Error::from)?;
    let lookup = Lookup::process(base.parent().unwrap_or(Path::new("/")));
    Compiled::from_text(config, &new, &lookup, Purpose::Look)?;
    Ok(disk::rewrite(config, new.as_bytes())?)
}

fn with_newline(text: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}")
}

/// A line an entry, and a count of each word.
fn summary(imports: &[Import]) -> String {
    let entries = || imports.iter().flat_map(|import| import.entries.iter().map(move |entry| (import, entry)));
    let row = |(import, entry): (&Import, &crate::config::import::Entry)| {
        vec![entry.fit.word().to_owned(), output::tame(&entry.name), import.file.clone()]
    };
    let rows: Vec<_> = entries().map(row).collect();
    let count = |fit: Fit| entries().filter(|(_, entry)| entry.fit == fit).count();
    let counts = [Fit::Exact, Fit::Approximate, Fit::NeedsYou, Fit::Unsupported];
    let counts: Vec<String> = counts.iter().map(|fit| format!("{} {}", count(*fit), fit.word())).collect();
    format!("{}{}\n", output::table(&rows), counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"mcpServers":{"a":{"url":"https://a/mcp"},"b":{"command":"sh"}}}"#;

    fn args(dir: &Path, write: bool) -> ImportArgs {
        let file = dir.join("list.json");
        std::fs::write(&file, LIST).expect("write");
        ImportArgs { files: vec![file], write }
    }

    #[test]
    fn what_is_written_compiles_and_is_not_written_twice() {
        let dir = tempfile::tempdir().expect("dir");
        let config = dir.path().join("t.toml");
        std::fs::write(&config, "# kept\nstate.directory = \"s\"").expect("write");
        run(&args(dir.path(), true), &config).expect("import");
        let once = std::fs::read_to_string(&config).expect("read");
        assert!(
            once.starts_with("# kept\n") && once.contains("[servers.a]") && once.contains("enabled = false"),
            "{once}"
        );
        run(&args(dir.path(), true), &config).expect("import");
        let twice = std::fs::read_to_string(&config).expect("read");
        assert_eq!(twice.matches("\n[servers.a]").count(), 1, "{twice}");
        assert_eq!(Compiled::load(&config, Purpose::Check).expect("good").written.servers.len(), 2);
    }

    #[test]
    fn without_write_nothing_changes() {
        let dir = tempfile::tempdir().expect("dir");
        let config = dir.path().join("t.toml");
        run(&args(dir.path(), false), &config).expect("import");
        assert!(!config.exists());
        let mut bad = args(dir.path(), false);
        bad.files.push(dir.path().join("absent.json"));
        assert!(run(&bad, &config).is_err());
    }
}
