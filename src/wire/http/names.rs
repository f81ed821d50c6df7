//! The headers somebody here asks for by name, told apart once, when a head is parsed.

/// A header with a meaning to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Header {
    /// `Accept`
    Accept,
    /// `X-Api-Key`
    ApiKey,
    /// `Authorization`
    Authorization,
    /// `Connection`
    Connection,
    /// `Content-Encoding`
    ContentEncoding,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Cookie`
    Cookie,
    /// `Date`
    Date,
    /// `Expect`
    Expect,
    /// `Host`
    Host,
    /// `Keep-Alive`
    KeepAlive,
    /// `Last-Event-ID`
    LastEventId,
    /// `Mcp-Method`
    McpMethod,
    /// `Mcp-Name`
    McpName,
    /// Any `Mcp-Param-…`
    McpParam,
    /// `Mcp-Session-Id`
    McpSession,
    /// `MCP-Protocol-Version`
    McpVersion,
    /// `Origin`
    Origin,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `X-Request-Id`
    RequestId,
    /// `X-Tollgate-Key`
    TollgateKey,
    /// `X-Tollgate-Tools`
    TollgateTools,
    /// `traceparent`
    Traceparent,
    /// `tracestate`
    Tracestate,
    /// `Transfer-Encoding`
    TransferEncoding,
}

/// Start of the names of arguments mirrored in headers.
const PARAM: &str = "mcp-param-";

impl Header {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::TransferEncoding as usize + 1;

    /// The header of a name, compared without case. Lengths first: they tell most names apart.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let same: &[(Self, &str)] = match name.len() {
            4 => &[(Self::Host, "host"), (Self::Date, "date")],
            6 => &[
                (Self::Accept, "accept"),
                (Self::Origin, "origin"),
                (Self::Cookie, "cookie"),
                (Self::Expect, "expect"),
            ],
            8 => &[(Self::McpName, "mcp-name")],
            9 => &[(Self::ApiKey, "x-api-key")],
            10 => &[
                (Self::McpMethod, "mcp-method"),
                (Self::Connection, "connection"),
                (Self::KeepAlive, "keep-alive"),
                (Self::Tracestate, "tracestate"),
            ],
            11 => &[(Self::Traceparent, "traceparent")],
            12 => &[(Self::ContentType, "content-type"), (Self::RequestId, "x-request-id")],
            13 => &[(Self::Authorization, "authorization"), (Self::LastEventId, "last-event-id")],
            14 => &[
                (Self::ContentLength, "content-length"),
                (Self::McpSession, "mcp-session-id"),
                (Self::TollgateKey, "x-tollgate-key"),
            ],
            16 => &[(Self::ContentEncoding, "content-encoding"), (Self::TollgateTools, "x-tollgate-tools")],
            17 => &[(Self::TransferEncoding, "transfer-encoding")],
            19 => &[(Self::ProxyAuthorization, "proxy-authorization")],
            20 => &[(Self::McpVersion, "mcp-protocol-version")],
            _ => &[],
        };
        let found = same.iter().find(|(_, own)| own.eq_ignore_ascii_case(name)).map(|(header, _)| *header);
        let is_param = || name.get(..PARAM.len()).is_some_and(|start| start.eq_ignore_ascii_case(PARAM));
        found.or_else(|| is_param().then_some(Self::McpParam))
    }

    /// Whether its value changes from one message to the next and says nothing about how the head is to be read.
    pub(crate) fn is_free(self) -> bool {
        matches!(
            self,
            Self::Date
                | Self::McpMethod
                | Self::McpName
                | Self::McpParam
                | Self::RequestId
                | Self::Traceparent
                | Self::Tracestate
        )
    }

    /// Whether its value is a secret: compared in constant time, wiped when no longer needed.
    pub(crate) fn is_secret(self) -> bool {
        matches!(
            self,
            Self::ApiKey
                | Self::Authorization
                | Self::Cookie
                | Self::McpSession
                | Self::ProxyAuthorization
                | Self::TollgateKey
        )
    }
}

/// What a head says under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing.
    Absent,
    /// This.
    One(&'a str),
    /// The header is there more than once.
    Repeated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_without_case() {
        let known = [
            "accept",
            "x-api-key",
            "authorization",
            "connection",
            "content-encoding",
            "content-length",
            "content-type",
            "cookie",
            "date",
            "expect",
            "host",
            "keep-alive",
            "last-event-id",
            "mcp-method",
            "mcp-name",
            "mcp-param-region",
            "mcp-session-id",
            "mcp-protocol-version",
            "origin",
            "proxy-authorization",
            "x-request-id",
            "x-tollgate-key",
            "x-tollgate-tools",
            "traceparent",
            "tracestate",
            "transfer-encoding",
        ];
        assert_eq!(known.len(), Header::COUNT);
        for (at, name) in known.into_iter().enumerate() {
            assert_eq!(Header::of(name).map(|header| header as usize), Some(at), "{name}");
            assert_eq!(Header::of(&name.to_uppercase()), Header::of(name));
            assert_eq!(Header::of(&name[1..]), None);
        }
        for other in ["", "x", "mcp-param", "user-agent", "content-lengthy", "höst"] {
            assert_eq!(Header::of(other), None, "{other}");
        }
    }
}
