//! What an operator has switched off: keys, tools and whole servers, by the names people know them by.

use crate::base::error::{Error, Kind, Result};
use crate::base::ids::KeyId;
use crate::base::limits::SWITCHES_MAX;
use std::collections::BTreeSet;
use std::fmt;

/// Everything that is switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// Keys that are revoked here, whatever their own entry says.
    pub keys: BTreeSet<KeyId>,
    /// Tools, by server and the name their server knows them by.
    pub tools: BTreeSet<(Box<str>, Box<str>)>,
    /// Servers, with all they list.
    pub servers: BTreeSet<Box<str>>,
}

/// One thing that can be switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// A key. It does not come back: make a new one.
    Key(KeyId),
    /// A tool, by server and the name its server knows it by.
    Tool(Box<str>, Box<str>),
    /// A server.
    Server(Box<str>),
}

/// What of a call is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The caller's key is no longer taken.
    Key,
    /// Its tool is off.
    Tool,
    /// Its server is off.
    Server,
}

impl Stopped {
    /// What a caller is told whose call was under way.
    pub fn answer(self) -> Error {
        let what = match self {
            Self::Key => "the key was revoked while the call was under way, and the call was cancelled",
            Self::Tool => "the tool was switched off while the call was under way, and the call was cancelled",
            Self::Server => "the server was switched off while the call was under way, and the call was cancelled",
        };
        Error::new(Kind::Stopped, format!("{what}: ask whoever runs this gate"))
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key {id}"),
            Self::Tool(server, tool) => write!(f, "tool {server}/{tool}"),
            Self::Server(server) => write!(f, "server {server}"),
        }
    }
}

impl Switches {
    /// The reason in records of a call of something that is switched off.
    pub const REASON: &'static str = "switched_off";

    /// Whether nothing is off.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Switches something off or on; says whether that changed anything.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where as much is off as may be.
    pub fn set(&mut self, switch: &Switch, off: bool) -> Result<bool> {
        let full = self.keys.len() + self.tools.len() + self.servers.len() >= SWITCHES_MAX;
        if off && full && !self.has(switch) {
            let what = format!("{SWITCHES_MAX} things are switched off already: remove some from the configuration");
            return Err(Error::new(Kind::Overloaded, what));
        }
        Ok(match (switch.clone(), off) {
            (Switch::Key(id), true) => self.keys.insert(id),
            (Switch::Key(id), false) => self.keys.remove(&id),
            (Switch::Tool(server, tool), true) => self.tools.insert((server, tool)),
            (Switch::Tool(server, tool), false) => self.tools.remove(&(server, tool)),
            (Switch::Server(server), true) => self.servers.insert(server),
            (Switch::Server(server), false) => self.servers.remove(&server),
        })
    }

    /// Whether this very thing is off.
    pub fn has(&self, switch: &Switch) -> bool {
        match switch {
            Switch::Key(id) => self.keys.contains(id),
            Switch::Tool(server, tool) => self.tools.contains(&(server.clone(), tool.clone())),
            Switch::Server(server) => self.servers.contains(server),
        }
    }

    /// Whether a server is off, or one of its tools.
    pub fn stops(&self, server: &str, tool: Option<&str>) -> Option<Stopped> {
        if self.servers.contains(server) {
            return Some(Stopped::Server);
        }
        let is_off = |tool: &&str| !self.tools.is_empty() && self.tools.contains(&(server.into(), (*tool).into()));
        tool.filter(is_off).map(|_| Stopped::Tool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_off_until_it_is_on() {
        let (mut switches, key) = (Switches::default(), KeyId::parse("k1").unwrap());
        let tool = Switch::Tool("a".into(), "x".into());
        assert_eq!([switches.set(&tool, true), switches.set(&tool, true)], [Ok(true), Ok(false)]);
        assert_eq!(switches.set(&Switch::Server("b".into()), true), Ok(true));
        assert_eq!(switches.set(&Switch::Key(key), true), Ok(true));
        assert_eq!(switches.stops("a", Some("x")), Some(Stopped::Tool));
        assert_eq!((switches.stops("a", Some("y")), switches.stops("a", None)), (None, None));
        assert_eq!(switches.stops("b", Some("x")), Some(Stopped::Server));
        assert!(switches.has(&Switch::Key(key)) && !switches.is_empty());
        assert_eq!(switches.set(&tool, false), Ok(true));
        assert_eq!(switches.stops("a", Some("x")), None);
    }

    #[test]
    fn no_more_is_off_than_may_be_and_the_same_again_is_no_more() {
        let mut switches = Switches::default();
        let tool = |at: usize| Switch::Tool("a".into(), at.to_string().into());
        (0..SWITCHES_MAX).for_each(|at| assert_eq!(switches.set(&tool(at), true), Ok(true)));
        assert_eq!(switches.set(&tool(SWITCHES_MAX), true).unwrap_err().kind, Kind::Overloaded);
        assert_eq!(switches.set(&tool(0), true), Ok(false));
    }
}
