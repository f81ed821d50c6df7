//! Rank 4: who may call what. Pure: state and now in, verdict out.

mod approval;
mod call;
mod decide;
mod exact;
mod explain;
mod familiar;
mod key;
mod limits;
mod meter;
mod pepper;
mod plea;
mod slots;
mod switches;
mod token;
mod tree;

pub use approval::{ApprovalRule, ApprovalRules, Approvals, Binding, Need};
pub use call::{Admission, Asked, unknown_tool};
pub use decide::{Question, Reason, Verdict, decide};
pub use exact::exact_digest;
pub use explain::{Explanation, Found, Grounds, Step, Subject, Thing};
pub use familiar::Familiar;
pub use key::{Anonymous, KeyEntry, KeyRing, Principal, Refusal, VirtualKey};
pub use limits::{ChainId, Charged, Limits, LimitsBuilder, Permit, Refused};
pub use meter::{Allowance, Bound, Exceeded, Level, Meter, Period, Rate};
pub use pepper::Pepper;
pub use plea::{Decision, Hold, Pending, Plea, Standing, Wish};
pub use switches::{Stopped, Switch, Switches};
pub use token::{Credential, Mac, Presented, Token};
pub use tree::{Customer, Team};
