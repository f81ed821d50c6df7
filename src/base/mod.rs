//! Rank 0: words that every other module shares. Imports nothing of ours.

pub mod buf;
pub mod clock;
pub mod error;
pub mod hex;
pub mod ids;
pub mod limits;
pub mod phase;

/// Takes the value of an `Option` or `Result` that an invariant guarantees, or stops the process with the reason.
///
/// The second argument says why the value is always there; it is the only way outside tests to unwrap.
#[macro_export]
macro_rules! invariant {
    ($value:expr, $why:literal) => {
        match $crate::base::Certain::certain($value) {
            Some(value) => value,
            None => panic!(concat!("broken invariant: ", $why)),
        }
    };
}

/// What [`invariant!`](crate::invariant) can take apart.
pub trait Certain {
    /// The value that is said to be there.
    type Value;
    /// The value, or nothing where the invariant is broken.
    fn certain(self) -> Option<Self::Value>;
}

impl<T> Certain for Option<T> {
    type Value = T;
    fn certain(self) -> Self {
        self
    }
}

impl<T, E> Certain for Result<T, E> {
    type Value = T;
    fn certain(self) -> Option<T> {
        self.ok()
    }
}
