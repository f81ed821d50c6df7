//! What a peer's bytes got wrong, as the HTTP status that answers it and the error that says it.

use crate::base::error::{Error, Kind, Retry, Side};

/// A breach of HTTP by a peer. As a server we answer `status` and close; as a client it becomes a bad answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The status that answers a request with this fault.
    pub status: u16,
    /// What is wrong, lower case.
    pub words: &'static str,
}

impl Fault {
    /// A fault answered with 400.
    pub const fn bad(words: &'static str) -> Self {
        Self { status: 400, words }
    }

    /// A fault answered with another status.
    pub const fn with(status: u16, words: &'static str) -> Self {
        Self { status, words }
    }

    /// The error of a server whose client sent this.
    pub fn downstream(self) -> Error {
        let kind = match self.status {
            405 => Kind::MethodNotAllowed,
            408 => Kind::Timeout,
            413 => Kind::TooLarge,
            415 => Kind::UnsupportedMedia,
            _ => Kind::InvalidRequest,
        };
        Error::new(kind, self.words).side(Side::Downstream)
    }

    /// The error of a client whose server sent this. The request was processed as far as anyone knows.
    pub fn upstream(self) -> Error {
        Error::new(Kind::BadAnswer, self.words).side(Side::Upstream).retry(Retry::Unsafe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_its_side() {
        let fault = Fault::with(413, "the body is too long");
        assert_eq!((fault.downstream().kind, fault.downstream().side), (Kind::TooLarge, Side::Downstream));
        assert_eq!((fault.upstream().kind, fault.upstream().retry), (Kind::BadAnswer, Retry::Unsafe));
    }
}
