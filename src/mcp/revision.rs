//! The revisions of MCP and their eras.

/// How a revision converses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Era {
    /// `initialize`, sessions (2025-11-25 and earlier).
    Legacy,
    /// Every request stands for itself (2026-07-28 and later).
    #[default]
    Modern,
}

/// A revision of MCP, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// 2024-11-05.
    V2024_11_05,
    /// 2025-03-26: the only one with batches.
    V2025_03_26,
    /// 2025-06-18.
    V2025_06_18,
    /// 2025-11-25: the newest legacy one.
    V2025_11_25,
    /// 2026-07-28: the first modern one.
    V2026_07_28,
}

impl Revision {
    /// All of them, oldest first.
    pub const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];
    /// The newest that `initialize` may be answered with.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;
    /// The newest modern one.
    pub const NEWEST_MODERN: Self = Self::V2026_07_28;
    /// What `supportedVersions` and `data.supported` name: modern revisions only, as legacy ones are reached by
    /// `initialize` alone. Raw JSON.
    pub const SUPPORTED_MODERN: &'static str = r#"["2026-07-28"]"#;

    /// The revision of that name, if it is one we know.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text)
    }

    /// The revision's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The era it belongs to.
    pub fn era(self) -> Era {
        if self >= Self::V2026_07_28 { Era::Modern } else { Era::Legacy }
    }

    /// The revision an `initialize` is answered with: the one asked for if it is legacy and known, else the newest
    /// legacy one; never a modern one (2025-11-25 basic/lifecycle).
    pub fn negotiate(asked: &str) -> Self {
        Self::parse(asked).filter(|revision| revision.era() == Era::Legacy).unwrap_or(Self::NEWEST_LEGACY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_eras() {
        for revision in Revision::ALL {
            assert_eq!(Revision::parse(revision.as_str()), Some(revision));
        }
        assert_eq!(Revision::parse("2025-11-26"), None);
        assert_eq!(Revision::V2025_11_25.era(), Era::Legacy);
        assert_eq!(Revision::V2026_07_28.era(), Era::Modern);
        assert!(Revision::SUPPORTED_MODERN.contains(Revision::NEWEST_MODERN.as_str()));
    }

    #[test]
    fn initialize_is_never_answered_with_a_modern_revision() {
        assert_eq!(Revision::negotiate("2025-03-26"), Revision::V2025_03_26);
        assert_eq!(Revision::negotiate("2024-11-05"), Revision::V2024_11_05);
        for other in ["2026-07-28", "1999-01-01", "", "2099-01-01"] {
            assert_eq!(Revision::negotiate(other), Revision::V2025_11_25, "{other}");
        }
    }
}
