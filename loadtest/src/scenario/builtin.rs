//! The scenarios that come with the program.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        &[$(Builtin { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) }),*]
    };
}

/// All of them, in the order they are told.
pub fn builtins() -> &'static [Builtin] {
    builtin![
        "call",
        "call-4k",
        "call-64k",
        "list",
        "mixed",
        "churn-keys",
        "reconnect",
        "slow-reader",
        "sse-progress",
        "legacy-session",
        "idle-10k",
        "stdio",
    ]
}

/// The one of that name.
pub(super) fn find(name: &str) -> Option<&'static Builtin> {
    builtins().iter().find(|builtin| builtin.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use std::path::Path;

    #[test]
    fn every_built_in_compiles_and_is_called_as_its_file() {
        for builtin in builtins() {
            let scenario = Scenario::load(Path::new(builtin.name)).unwrap();
            assert_eq!(scenario.name, builtin.name);
            assert!(scenario.description.len() > 20, "{}", builtin.name);
        }
    }

    #[test]
    fn every_file_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(find(name).is_some(), "{name} is not built in");
        }
    }

    #[test]
    fn an_unknown_name_tells_the_known_ones() {
        let words = Scenario::load(Path::new("nonsense")).unwrap_err().to_string();
        assert!(words.contains("nonsense") && words.contains("legacy-session"), "{words}");
    }
}
