//! How a command of the load tool fails: what is printed on standard error, and the exit code.

use std::fmt;
use std::process::ExitCode;

/// Exit code of a command that could not do what it was asked to.
const FAILED: u8 = 1;
/// Exit code of arguments or files that make no sense (as clap's own).
const USAGE: u8 = 2;
/// Exit code of a whole run of which a threshold did not hold.
const THRESHOLD: u8 = 3;
/// Exit code of a whole run that cannot be believed: the client had no headroom.
const INVALID: u8 = 4;

/// Why a command failed: what happened, where, what to do; lower case, one line where it fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    what: String,
    code: u8,
}

impl Failure {
    /// Something could not be done: exit code 1.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), code: FAILED }
    }

    /// Arguments, or a file they name, make no sense: exit code 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), code: USAGE }
    }

    /// A threshold did not hold: exit code 3.
    pub fn threshold(what: impl Into<String>) -> Self {
        Self { what: what.into(), code: THRESHOLD }
    }

    /// The run cannot be believed: exit code 4.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self { what: what.into(), code: INVALID }
    }

    /// The same failure with words in front that say where it came about.
    #[must_use]
    pub fn within(self, place: impl fmt::Display) -> Self {
        Self { what: format!("{place}: {}", self.what), code: self.code }
    }

    /// The exit code for it.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_code_when_it_is_told_where() {
        let failure = Failure::usage("no such tool").within("scenario call");
        assert_eq!(failure.to_string(), "scenario call: no such tool");
        assert_eq!(failure.exit_code(), ExitCode::from(2));
        assert_ne!(Failure::new("x").exit_code(), ExitCode::from(2));
    }
}
