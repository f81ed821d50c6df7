//! `tollgate-load scenarios`: what comes built in.

use crate::failure::Failure;
use crate::order::Era;
use crate::scenario::{Scenario, builtins};
use clap::Args;
use std::path::Path;

/// Lists the built-in scenarios, or prints one's file.
#[derive(Debug, Args)]
pub struct ScenariosArgs {
    /// Print the file of this one, to be changed and given to `run` by its path
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// There is none of that name.
pub(super) fn run(args: &ScenariosArgs) -> Result<(), Failure> {
    match &args.name {
        Some(name) => print_file(name),
        None => builtins().iter().try_for_each(|builtin| print_line(builtin.name)),
    }
}

fn print_file(name: &str) -> Result<(), Failure> {
    let builtin = builtins().iter().find(|builtin| builtin.name == name).ok_or_else(|| {
        Failure::usage(format!("no built-in scenario is called {name}; `tollgate-load scenarios` lists them"))
    })?;
    print!("{}", builtin.text);
    Ok(())
}

fn print_line(name: &str) -> Result<(), Failure> {
    let scenario = Scenario::load(Path::new(name))?;
    let eras: Vec<_> = scenario.eras.iter().map(|era| if *era == Era::Modern { "modern" } else { "legacy" }).collect();
    println!("{name:<15} {:<15} {}", eras.join(", "), scenario.description);
    Ok(())
}
