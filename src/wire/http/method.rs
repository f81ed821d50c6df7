//! The request methods that are told apart.

use crate::wire::http::fault::Fault;

/// A request method we tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// DELETE
    Delete,
    /// HEAD
    Head,
    /// OPTIONS
    Options,
    /// Any other token; answer 405.
    Other,
}

impl Method {
    pub(crate) fn parse(token: &str) -> Result<Self, Fault> {
        Ok(match token {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "CONNECT" | "TRACE" => return Err(Fault::with(405, "the method is not served here")),
            _ => Self::Other,
        })
    }

    /// The method as it stands in a request line; `Other` has no text of its own.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Other => "",
        }
    }
}
