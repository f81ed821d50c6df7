//! How a command fails: what is printed on standard error, and the exit code.

use crate::base::error::Error;
use crate::cli::output;
use crate::config::Report;
use crate::config::edit::Refused;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// One thing went wrong.
    Error(Error),
    /// The configuration is wrong in these places.
    Report(Report),
    /// What failed stands in the result that was printed.
    Shown,
    /// Whoever read our output has stopped: no failure.
    ReaderGone,
}

impl Failure {
    /// Prints the failure and gives the exit code.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Error(error) => output::complain(&format!("tollgate: {error}\n")),
            Self::Report(report) => output::complain(&report.render(output::stderr_has_colour())),
            Self::Shown | Self::ReaderGone => {}
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Error(error) => error.kind.exit_code(),
            Self::Report(report) => report.kind().exit_code(),
            Self::Shown => 1,
            Self::ReaderGone => 0,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Error(refused.into())
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    #[test]
    fn a_wrong_configuration_is_78_and_a_closed_pipe_is_fine() {
        assert_eq!(Failure::Report(Report::default()).code(), 78);
        assert_eq!(Failure::Error(Error::new(Kind::Io, "x")).code(), 1);
        assert_eq!(Failure::ReaderGone.code(), 0);
    }
}
