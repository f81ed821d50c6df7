//! What happens to an approval, as it is counted.

/// A step of an approval, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ApprovalStep {
    /// A call asked for it.
    Held,
    /// Somebody said yes.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody said anything in time.
    Expired,
    /// The call was made.
    Used,
}

impl ApprovalStep {
    /// All steps, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Held, Self::Approved, Self::Denied, Self::Expired, Self::Used];

    /// The label's value.
    pub fn name(self) -> &'static str {
        ["held", "approved", "denied", "expired", "used"][self as usize]
    }

    /// The step of that name; the first one where none has it.
    pub fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|step| step.name() == name).unwrap_or(Self::Held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_by_their_names() {
        assert!(ApprovalStep::ALL.into_iter().all(|step| ApprovalStep::of(step.name()) == step));
        assert_eq!(ApprovalStep::of("else"), ApprovalStep::Held);
    }
}
