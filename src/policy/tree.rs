//! The tree that a key hangs in: its team, and that team's customer. A call must pass all of them and counts at all.

use super::meter::Allowance;
use crate::catalog::Ceiling;
use std::sync::Arc;

/// A customer: who is billed, and for whom a whole set of teams may be cut off at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customer {
    /// Its name.
    pub name: Box<str>,
    /// What keys of its teams may be granted at most.
    pub ceiling: Ceiling,
    /// What all of its keys together may do.
    pub allowance: Allowance,
}

impl Customer {
    /// Stands in for a stored customer that does not compile: keys of its teams see nothing.
    pub fn gone(name: &str) -> Self {
        Self { name: name.into(), ceiling: Ceiling::closed(), ..Self::default() }
    }
}

/// A team: keys with a common bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Team {
    /// Its name.
    pub name: Box<str>,
    /// The customer it belongs to, if any.
    pub customer: Option<Arc<Customer>>,
    /// What its keys may be granted at most.
    pub ceiling: Ceiling,
    /// What all of its keys together may do.
    pub allowance: Allowance,
    /// Whether it stands in for a team that is not there.
    pub gone: bool,
}

impl Team {
    /// Stands in for a team that a stored key names and that is not there, or does not compile: the key sees nothing.
    pub fn gone(name: &str) -> Self {
        Self { name: name.into(), ceiling: Ceiling::closed(), gone: true, ..Self::default() }
    }

    /// What cuts the rights of its keys.
    pub fn ceilings(&self) -> impl Iterator<Item = &Ceiling> {
        std::iter::once(&self.ceiling).chain(self.customer.iter().map(|customer| &customer.ceiling))
    }
}
