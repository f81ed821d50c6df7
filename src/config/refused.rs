//! Why a stored object is not changed, in words for people and in kinds for programs.

use crate::base::error::{Error, Kind};
use crate::config::report::Report;
use crate::config::words;
use std::fmt;

/// Why a change was not made. Nothing is changed then.
#[derive(Clone, Debug)]
pub enum Refused {
    /// There is nothing of this kind and name.
    Absent(&'static str, String),
    /// There is one already.
    Exists(&'static str, String),
    /// It stands in the configuration file of this path.
    Written(&'static str, String, String),
    /// It is of another revision than was seen: this one.
    Changed(&'static str, String, i64),
    /// Others name it: how many, of what kind, and one of them.
    InUse(&'static str, String, String),
    /// It cannot be used, for these reasons.
    Invalid(Report),
    /// There are as many as there may be.
    Full(&'static str, usize),
    /// The configuration file is wrong, and what is asked needs it.
    NoFile,
    /// The store cannot be read or changed now.
    Store(Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tame = |name: &String| words::visible(name);
        match self {
            Self::Absent(kind, name) => {
                write!(f, "no stored {kind} is called `{}`; see `tollgate {kind} list`", tame(name))
            }
            Self::Exists(kind, name) => {
                write!(f, "there is a {kind} `{}` already: change it with `tollgate {kind} set`", tame(name))
            }
            Self::Written(kind, name, path) => {
                write!(f, "{kind} `{}` is in {path}: change it there, then reload", tame(name))
            }
            Self::Changed(kind, name, now) => {
                write!(f, "{kind} `{}` was changed meanwhile and has revision {now}: look at it again", tame(name))
            }
            Self::InUse(kind, name, user) => {
                write!(f, "{kind} `{}` is used by {user}: change or delete that first", tame(name))
            }
            Self::Invalid(report) => f.write_str(&report.lines().join("\n")),
            Self::Full(kind, max) => write!(f, "there are {max} of {kind} already: delete those that have ended"),
            Self::NoFile => f.write_str("the configuration file is wrong: mend it first; see `tollgate check`"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let kind = match &refused {
            Refused::Store(error) => return error.clone(),
            Refused::Absent(..) => Kind::NotFound,
            Refused::NoFile => Kind::Config,
            Refused::Invalid(_) => Kind::InvalidParams,
            _ => Kind::InvalidRequest,
        };
        Self::new(kind, refused.to_string())
    }
}
