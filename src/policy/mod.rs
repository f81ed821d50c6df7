//! Rank 4: who may call what. Pure: state and now in, verdict out.

mod call;
mod decide;
mod familiar;
mod key;
mod pepper;
mod slots;
mod token;

pub use call::{Admission, Asked, unknown_tool};
pub use decide::{Question, Reason, Verdict, decide};
pub use familiar::Familiar;
pub use key::{KeyEntry, KeyRing, Principal, Refusal, VirtualKey};
pub use pepper::Pepper;
pub use token::{Credential, Mac, Presented, Token};
