//! `tollgate admin`: tokens for the admin API over TCP.

use crate::base::error::{Error, Kind};
use crate::base::limits::LEVEL_NAME_MAX;
use crate::cli::{Failure, output, switch};
use crate::config::Role;
use crate::policy::{Pepper, Token};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::Path;

/// Arguments of `admin`.
#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Tokens for the admin API over TCP
    Token(TokenArgs),
}

#[derive(Debug, Args)]
struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token, print it once, and print the lines that let the gate know it
    New {
        /// What people call it, in records too
        name: String,
        /// What it may do
        #[arg(long)]
        role: RoleName,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Everything
    Admin,
    /// Reload, revoke, switch off and on
    Operator,
    /// Read, and change nothing
    Auditor,
    /// Decide what is held for approval
    Approver,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Admin => Self::Admin,
            RoleName::Operator => Self::Operator,
            RoleName::Auditor => Self::Auditor,
            RoleName::Approver => Self::Approver,
        }
    }
}

pub(crate) fn run(args: &AdminArgs, config: &Path) -> Result<(), Failure> {
    let AdminCommand::Token(TokenArgs { command: TokenCommand::New { name, role, json } }) = &args.command;
    let is_name = (1..=LEVEL_NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if !is_name {
        let what = format!("the name must be 1 to {LEVEL_NAME_MAX} characters on one line");
        return Err(Error::new(Kind::InvalidParams, what).into());
    }
    let token = Token::generate();
    let mut pepper = switch::state_dir(config)?.pepper()?;
    let mac = Pepper::new(&mut pepper).mac(&token.presented()).to_hex();
    let role = Role::from(*role).name();
    if *json {
        return output::print_json(&json!({"token": token.reveal(), "name": name, "role": role, "mac": mac}));
    }
    // The name as a TOML string is the same as in JSON for what a name may hold.
    let lines = format!("[[admin_tokens]]\nname = {}\nrole = \"{role}\"\nmac = \"{mac}\"\n", json!(name));
    output::complain(&format!("put these lines into {}, then reload:\n\n{lines}\n", config.display()));
    output::complain("the token, shown this once:\n");
    output::print(&format!("{}\n", token.reveal()))
}
