//! One request as it goes its way: who asks, at which door, under which snapshot, and how long each phase took.

use crate::base::phase::Stamps;
use crate::catalog::{Catalog, Door, Grant, ListKind, Narrowing, Offers};
use crate::config::Snapshot;
use crate::mcp::call::CallMethod;
use crate::mcp::skill::SkillMethod;
use crate::mcp::state::Cleared;
use crate::policy::Principal;
use crate::shard::{InForce, Shard};
use std::rc::Rc;

/// One request and its answer. The snapshot stays the same from the first check to the last byte.
#[derive(Clone)]
pub(crate) struct Exchange {
    /// The shard it runs on.
    pub(crate) shard: Rc<Shard>,
    /// The snapshot that decides.
    pub(crate) in_force: Rc<InForce>,
    /// Who asks.
    pub(crate) principal: Principal,
    /// Where they came in.
    pub(crate) door: Door,
    /// What the request itself narrowed its rights to.
    pub(crate) narrowing: Option<Narrowing>,
    /// The approval that the call is made with, where it needs one.
    pub(crate) cleared: Option<Cleared>,
    /// When each phase ended.
    pub(crate) stamps: Stamps,
}

impl Exchange {
    /// The snapshot that decides.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.in_force.snapshot
    }

    /// The catalogue in force.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.snapshot().catalog
    }

    /// Whether some server that the principal sees here offers a list: the core ones are there for everybody.
    pub(crate) fn offers_list(&self, kind: ListKind) -> bool {
        kind != ListKind::Skills || self.offers().skills
    }

    /// The same of a method.
    pub(crate) fn offers_method(&self, method: CallMethod) -> bool {
        match method {
            CallMethod::Skill(SkillMethod::Get) => self.offers().skills,
            CallMethod::Skill(SkillMethod::Directory) => self.offers().directories,
            _ => true,
        }
    }

    fn offers(&self) -> Offers {
        self.snapshot().offers(self.principal.grant, self.door)
    }

    /// What the principal may see.
    pub(crate) fn grant(&self) -> &Grant {
        self.snapshot().grant(self.principal.grant)
    }
}
