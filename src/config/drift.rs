//! How definitions are watched: as written, and as the program uses it.

use crate::catalog::drift::{self, ChangeKind, Policy};
use crate::config::compile::Compiled;
use crate::config::document::Step;
use crate::config::file::Config;
use crate::config::nearest;
use crate::config::notes::Notes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kinds of change that may be called harmless.
const HARMLESS: [ChangeKind; 4] =
    [ChangeKind::Typo, ChangeKind::OptionalField, ChangeKind::OutputField, ChangeKind::Order];

/// What is done about tools whose definitions change or are suspicious (docs/drift.md).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drift {
    /// What is done; servers may say otherwise.
    pub mode: DriftMode,
    /// What is done about a tool that was never seen before.
    pub first_sight: FirstSight,
    /// Changes that need no approval: of `typo` (a description spelt anew), `optional_field` (an argument that may be
    /// left out), `output_field` (one more field in the answer) and `order` (the same values in another order).
    pub harmless: Vec<String>,
}

impl Default for Drift {
    fn default() -> Self {
        let harmless = HARMLESS.iter().map(|kind| kind.name().to_owned()).collect();
        Self { mode: DriftMode::Hold, first_sight: FirstSight::Pin, harmless }
    }
}

/// What is done about a changed or suspicious definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftMode {
    /// Nothing: definitions are neither pinned nor looked at.
    Off,
    /// It is told of, and served.
    Flag,
    /// Its tool is neither listed nor callable until somebody approves it.
    #[default]
    Hold,
}

/// What is done about a tool that was never seen before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FirstSight {
    /// It is pinned and served as it is, unless it is suspicious.
    #[default]
    Pin,
    /// It waits for approval.
    Hold,
}

/// Notes kinds of change that cannot be called harmless.
pub(super) fn check(written: &Config, notes: &mut Notes<'_>) {
    for (at, name) in written.drift.harmless.iter().enumerate() {
        let place = [Step::Key("drift"), Step::Key("harmless"), Step::Index(at)];
        if HARMLESS.iter().any(|kind| kind.name() == name) {
            continue;
        }
        let names = HARMLESS.map(ChangeKind::name);
        let help = match nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", names.join(", ")),
        };
        notes.error(&place, "no change of this kind can be called harmless", help);
    }
}

impl Compiled {
    /// How the definitions of a server are watched.
    pub fn drift_policy(&self, server: &str) -> Policy {
        let drift = &self.written.drift;
        let own = self.written.servers.get(server).and_then(|server| server.drift);
        let mut harmless = [false; ChangeKind::ALL.len()];
        for kind in HARMLESS.iter().filter(|kind| drift.harmless.iter().any(|name| name == kind.name())) {
            harmless[*kind as usize] = true;
        }
        Policy {
            mode: match own.unwrap_or(drift.mode) {
                DriftMode::Off => drift::Mode::Off,
                DriftMode::Flag => drift::Mode::Flag,
                DriftMode::Hold => drift::Mode::Hold,
            },
            first_sight: match drift.first_sight {
                FirstSight::Pin => drift::FirstSight::Pin,
                FirstSight::Hold => drift::FirstSight::Hold,
            },
            harmless,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Lookup, Purpose};
    use std::path::Path;

    fn compiled(text: &str) -> Result<Compiled, String> {
        let dir = tempfile::tempdir().expect("dir");
        let text =
            format!("state.directory = \"s\"\n{text}[servers.a]\nurl = \"http://127.0.0.1\"\ndrift = \"flag\"\n");
        let lookup = Lookup::fixed(&[], None, dir.path());
        let compiled = Compiled::from_text(Path::new("t"), &text, &lookup, Purpose::Check);
        compiled.map_err(|report| report.lines().join("\n"))
    }

    #[test]
    fn a_server_has_its_own_mode() {
        let policies = compiled("").expect("good");
        assert_eq!(policies.drift_policy("a").mode, drift::Mode::Flag);
        let other = policies.drift_policy("b");
        assert_eq!((other.mode, other.first_sight), (drift::Mode::Hold, drift::FirstSight::Pin));
        assert!(other.takes(ChangeKind::Typo) && !other.takes(ChangeKind::Text));
        let strict =
            compiled("[drift]\nmode = \"off\"\nfirst_sight = \"hold\"\nharmless = [\"order\"]\n").expect("good");
        let other = strict.drift_policy("b");
        assert_eq!((other.mode, other.first_sight), (drift::Mode::Off, drift::FirstSight::Hold));
        assert!(other.takes(ChangeKind::Order) && !other.takes(ChangeKind::Typo));
    }

    #[test]
    fn what_is_never_harmless_is_refused() {
        let told = compiled("[drift]\nharmless = [\"typos\", \"required_field\"]\n").expect_err("wrong");
        for words in ["t:3:13: error: no change of this kind", "did you mean `typo`?", "t:3:22: error"] {
            assert!(told.contains(words), "`{words}` is not in {told}");
        }
    }
}
