//! `tollgate explain`: why a key may use a tool, a prompt or a resource, or why not. Asks no server, changes nothing.

mod case;
mod words;

pub(crate) use case::Case;

use crate::base::clock::Clock;
use crate::base::ids::KeyId;
use crate::catalog::Sort;
use crate::cli::known::{self, Known};
use crate::cli::{Failure, output};
use crate::policy::Refusal;
use clap::Args;
use std::path::Path;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Whose request: the public half of a key, or `anonymous`
    #[arg(long, value_name = "ID")]
    key: String,
    #[command(flatten)]
    about: About,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct About {
    /// The tool: `server__tool` as it is listed, or `server/tool`
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// The prompt: `server__prompt` as it is listed, or `server/prompt`
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// The resource: its URI as it is listed, or `server/uri`
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
}

impl About {
    fn subject(&self) -> (Sort, &str) {
        let said = [&self.tool, &self.prompt, &self.resource];
        let mut said = Sort::ALL.into_iter().zip(said).filter_map(|(sort, name)| Some((sort, name.as_deref()?)));
        crate::invariant!(said.next(), "the arguments require one of them")
    }
}

pub(crate) fn run(args: &ExplainArgs, config: &Path) -> Result<(), Failure> {
    let known = Known::load(config)?;
    let key = KeyId::parse(&args.key).ok_or_else(|| known::no_key(&args.key))?;
    let case = Case::ask(&known, key, args.about.subject(), (Clock::wall(), Clock::now()));
    if case.explanation.refusal == Some(Refusal::Unknown) {
        output::complain(&known.compiled.warnings.render(output::stderr_has_colour()));
        return Err(known::no_key(&args.key).into());
    }
    if args.json {
        return output::print_json(&case.json());
    }
    output::print(&case.text())
}

#[cfg(test)]
mod tests;
