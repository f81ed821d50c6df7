//! Rank 8: one file per command.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage (clap's), 78 wrong configuration (`EX_CONFIG`).

mod admin;
mod approval;
mod audit;
mod authorize;
mod bounds;
mod budget;
mod check;
mod client;
mod completions;
mod connect;
mod demo;
mod drift;
mod explain;
mod failure;
mod import;
mod key;
mod known;
mod level;
pub mod logging;
mod man;
mod output;
mod policy;
mod schema;
mod serve;
mod switch;
mod tools;

pub use failure::Failure;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the configuration is looked for when `--config` does not say.
const CONFIG_PLACES: [&str; 2] = ["/etc/tollgate/tollgate.toml", "tollgate.toml"];

/// One URL in front of many MCP servers, keys that deny by default, and a record of every call.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, about, max_term_width = 100)]
pub struct Cli {
    /// Configuration file [default: /etc/tollgate/tollgate.toml, else ./tollgate.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or filters such as `tollgate::upstream=debug`
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub log: String,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gate until SIGTERM; SIGHUP reads the configuration anew
    Serve,
    /// Start a gate with two small built-in servers and print how to connect
    Demo(demo::DemoArgs),
    /// The stdio server of the demo
    #[command(name = demo::SERVER_COMMAND, hide = true)]
    DemoServer,
    /// Check the configuration and print it as the gate understands it, secrets covered
    Check(check::CheckArgs),
    /// Make, list, change and revoke virtual keys
    Key(key::KeyArgs),
    /// Make, list and change teams: what the keys of each may do together
    Team(level::TeamArgs),
    /// Make, list and change customers: what the teams of each may do together
    Customer(level::CustomerArgs),
    /// Allow the gate at a server that wants OAuth: prints a page to open, and keeps the token
    Authorize(authorize::AuthorizeArgs),
    /// Switch a tool off, at once and everywhere, and on again
    Tool(switch::ToolArgs),
    /// Switch a server off, at once and everywhere, and on again
    Server(switch::ServerArgs),
    /// Make tokens for the admin API
    Admin(admin::AdminArgs),
    /// List, show, approve and deny calls that wait for an approval
    Approval(approval::ApprovalArgs),
    /// Show what is spent of budgets, reset them, raise them for a time
    Budget(budget::BudgetArgs),
    /// Print the tools of the last good lists, or those that a key sees
    Tools(tools::ToolsArgs),
    /// Say why a key may use a tool, or why not; asks no server and changes nothing
    Explain(explain::ExplainArgs),
    /// Hold what keys may do against tests of it
    Policy(policy::PolicyArgs),
    /// Look at tools whose definitions changed or are suspicious; approve or reject them
    Drift(drift::DriftArgs),
    /// Turn another program's list of MCP servers into ours; starts nothing
    Import(import::ImportArgs),
    /// Look into the journal: show entries, follow it, check it
    Audit(audit::AuditArgs),
    /// Bridge standard input and output to a gate, for clients that only start programs
    Connect(connect::ConnectArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page (roff)
    Man,
    /// Print the JSON Schema of the configuration
    #[command(hide = true)]
    Schema,
}

/// Reads the arguments, runs the command, and says how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(&cli.log);
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let config = config_path(cli.config.as_deref());
    match &cli.command {
        Command::Serve => serve::run(&config),
        Command::Demo(args) => Ok(demo::run(args)?),
        Command::DemoServer => Ok(demo::run_server()?),
        Command::Check(args) => check::run(args, &config),
        Command::Key(args) => key::run(args, &config),
        Command::Team(args) => level::run_team(args, &config),
        Command::Customer(args) => level::run_customer(args, &config),
        Command::Authorize(args) => authorize::run(args, &config),
        Command::Tool(args) => switch::run_tool(args, &config),
        Command::Server(args) => switch::run_server(args, &config),
        Command::Admin(args) => admin::run(args, &config),
        Command::Approval(args) => approval::run(args, &config),
        Command::Budget(args) => budget::run(args, &config),
        Command::Tools(args) => tools::run(args, &config),
        Command::Explain(args) => explain::run(args, &config),
        Command::Policy(args) => policy::run(args, &config),
        Command::Drift(args) => drift::run(args, &config),
        Command::Import(args) => import::run(args, &config),
        Command::Audit(args) => audit::run(args, &config),
        Command::Connect(args) => connect::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man => man::run(),
        Command::Schema => schema::run(),
    }
}

/// The configuration file: as said, else the first place where one is, else the first place.
fn config_path(said: Option<&Path>) -> PathBuf {
    let found = || CONFIG_PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    said.map(Into::into).or_else(found).unwrap_or_else(|| CONFIG_PLACES[0].into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_explanation_is_of_one_thing() {
        let parses =
            |more: &[&str]| Cli::try_parse_from(["tollgate", "explain", "--key", "k"].iter().chain(more)).is_ok();
        assert!(parses(&["--tool", "a"]) && parses(&["--prompt", "a"]) && parses(&["--resource", "a", "--json"]));
        assert!(!parses(&[]) && !parses(&["--tool", "a", "--prompt", "b"]));
    }

    #[test]
    fn the_configuration_file_may_be_named_before_or_after_the_command() {
        for args in [["tollgate", "--config", "a.toml", "check"], ["tollgate", "check", "--config", "a.toml"]] {
            let cli = Cli::try_parse_from(args).expect("arguments");
            assert_eq!(config_path(cli.config.as_deref()), Path::new("a.toml"));
        }
    }
}
