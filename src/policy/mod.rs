//! Rank 4: who may call what. Pure: state and now in, verdict out.

mod call;
mod decide;
mod explain;
mod familiar;
mod key;
mod limits;
mod meter;
mod pepper;
mod slots;
mod switches;
mod token;
mod tree;

pub use call::{Admission, Asked, unknown_tool};
pub use decide::{Question, Reason, Verdict, decide};
pub use explain::{Explanation, Found, Grounds, Step, Subject, Thing};
pub use familiar::Familiar;
pub use key::{Anonymous, KeyEntry, KeyRing, Principal, Refusal, VirtualKey};
pub use limits::{ChainId, Charged, Limits, LimitsBuilder, Permit, Refused};
pub use meter::{Allowance, Bound, Exceeded, Level, Meter, Period, Rate};
pub use pepper::Pepper;
pub use switches::{Stopped, Switch, Switches};
pub use token::{Credential, Mac, Presented, Token};
pub use tree::{Customer, Team};
