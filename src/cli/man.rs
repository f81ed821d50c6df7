//! `tollgate man`: the manual page, from the same definition as the arguments.

use crate::base::error::Error;
use crate::cli::{Cli, Failure, output};
use clap::CommandFactory as _;

pub(crate) fn run() -> Result<(), Failure> {
    output::print(&page()?)
}

/// The page of the program, then those of its commands, as one.
fn page() -> Result<String, Failure> {
    let mut program = Cli::command();
    program.build();
    let mut out = roff(&program)?;
    for command in program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        out.push_str(&roff(command)?);
    }
    Ok(out)
}

fn roff(command: &clap::Command) -> Result<String, Failure> {
    let mut out = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut out).map_err(Error::from)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_page() {
        let page = page().expect("page");
        for words in [
            "tollgate\\-check",
            "tollgate\\-key",
            "tollgate\\-explain",
            "tollgate\\-policy",
            "\\-\\-offline",
            "virtual keys",
        ] {
            assert!(page.contains(words), "{words} is not in the page");
        }
        assert!(!page.contains("schema"), "a hidden command is shown");
    }
}
