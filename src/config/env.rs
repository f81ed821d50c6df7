//! References in values: `${env:NAME}`, `${env:NAME:-default}`, `${file:path}`, `${credential:name}`.
//!
//! A reference is read when the configuration is compiled, once per compile, and never written anywhere. `$${` stands
//! for a literal `${`.

use crate::base::limits;
use crate::config::words;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where references are looked up. The process's own in production, given ones in tests.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The environment, or nothing for the process's own.
    variables: Option<BTreeMap<String, String>>,
    /// The directory systemd put this unit's credentials into.
    credentials: Option<PathBuf>,
    /// What relative paths count from.
    base: PathBuf,
    lenient: Lenient,
}

/// Which references may be left unread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lenient {
    /// None: the gate needs them all.
    #[default]
    Nothing,
    /// Credentials where no credentials directory was passed in: a check from a shell cannot see the unit's.
    Credentials,
    /// All: only names and places are wanted.
    Everything,
}

/// A reference that could not be read: what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// What is wrong, naming the reference but never a value.
    pub what: String,
    /// What to do.
    pub help: String,
}

/// A value with its references read, and what should be looked at.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The value. It may be a secret.
    pub value: String,
    /// Files that were read and that every user of the machine can read too.
    pub open_files: Vec<PathBuf>,
    /// Why a reference was left unread, where that is allowed; the value is then of no use.
    pub unread: Option<Unresolved>,
}

impl Lookup {
    /// The process's environment and credentials; relative paths count from `base`.
    pub fn process(base: &Path) -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { variables: None, credentials, base: base.into(), lenient: Lenient::Nothing }
    }

    /// A fixed environment, for tests and for checking a file away from its host.
    pub fn fixed(variables: &[(&str, &str)], credentials: Option<&Path>, base: &Path) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self {
            variables: Some(variables),
            credentials: credentials.map(Into::into),
            base: base.into(),
            lenient: Lenient::Nothing,
        }
    }

    /// The same, leaving some references unread.
    #[must_use]
    pub fn lenient(self, lenient: Lenient) -> Self {
        Self { lenient, ..self }
    }

    /// A path as the configuration means it: relative ones count from the configuration file's directory.
    pub fn path(&self, written: &str) -> PathBuf {
        self.base.join(written)
    }

    /// The value with every reference in it read.
    pub fn resolve(&self, written: &str) -> Result<Resolved, Unresolved> {
        let mut out = Resolved::default();
        for part in Parts(written) {
            match part {
                Part::Text(text) => out.value.push_str(text),
                Part::Open => {
                    return Err(unresolved("a `${` has no closing `}`", "close it, or write `$${` for a literal `${`"));
                }
                Part::Reference(inner) => match self.read(inner, &mut out) {
                    Err(unread) if self.may_skip(inner) => out.unread = Some(unread),
                    read => read?,
                },
            }
        }
        Ok(out)
    }

    fn may_skip(&self, inner: &str) -> bool {
        match self.lenient {
            Lenient::Nothing => false,
            Lenient::Credentials => inner.starts_with("credential:") && self.credentials.is_none(),
            Lenient::Everything => inner.contains(':'),
        }
    }

    fn read(&self, inner: &str, out: &mut Resolved) -> Result<(), Unresolved> {
        match inner.split_once(':') {
            Some(("env", name)) => out.value.push_str(&self.variable(name)?),
            Some(("file", path)) => self.file(&self.path(path), inner, out)?,
            Some(("credential", name)) => self.credential(name, inner, out)?,
            Some((kind, rest)) => return Err(unknown_kind(kind, rest)),
            None => {
                let what = format!("`${{{}}}` does not say where to look", words::visible(inner));
                return Err(unresolved(what, format!("write `${{env:{}}}`", words::visible(inner))));
            }
        }
        Ok(())
    }

    fn variable(&self, inner: &str) -> Result<String, Unresolved> {
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let value = match &self.variables {
            Some(variables) => variables.get(name).cloned(),
            None => name_is_sane(name).then(|| std::env::var(name).ok()).flatten(),
        };
        // An empty variable counts as absent where there is a default, as in a shell's `:-`.
        let value = value.filter(|value| default.is_none() || !value.is_empty());
        value.or_else(|| default.map(str::to_owned)).ok_or_else(|| {
            let name = words::visible(name);
            let help = format!("set it, or give a default: `${{env:{name}:-…}}`");
            unresolved(format!("the environment has no {name}"), help)
        })
    }

    fn credential(&self, name: &str, inner: &str, out: &mut Resolved) -> Result<(), Unresolved> {
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            let what = format!("`{}` is not the name of a credential", words::visible(name));
            return Err(unresolved(what, "name the file only, as in `LoadCredential=name:/path`"));
        }
        let Some(directory) = &self.credentials else {
            let what = format!("no credentials were passed in, so `{}` is not there", words::visible(name));
            let help = format!(
                "add `LoadCredential={}:/path` to the unit, or set CREDENTIALS_DIRECTORY",
                words::visible(name)
            );
            return Err(unresolved(what, help));
        };
        let before = out.open_files.len();
        self.file(&directory.join(name), inner, out)?;
        // systemd guards this directory itself, whatever the mode of the files in it.
        out.open_files.truncate(before);
        Ok(())
    }

    fn file(&self, path: &Path, inner: &str, out: &mut Resolved) -> Result<(), Unresolved> {
        let shown = words::visible(inner);
        let failed = |error: &dyn std::fmt::Display| {
            unresolved(format!("`${{{shown}}}` cannot be read: {error}"), format!("looked at {}", path.display()))
        };
        let meta = std::fs::metadata(path).map_err(|error| failed(&error))?;
        if !meta.is_file() {
            return Err(failed(&"it is not a file"));
        }
        if meta.len() > limits::SECRET_FILE_BYTES_MAX {
            return Err(failed(&format!("it is longer than {} bytes", limits::SECRET_FILE_BYTES_MAX)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        if meta.permissions().mode() & 0o004 != 0 {
            out.open_files.push(path.into());
        }
        out.value.push_str(text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line)));
        Ok(())
    }
}

/// Whether every part of a value that could be a secret is a reference: `Bearer ${env:TOKEN}` is, `abc` is not.
pub(crate) fn only_references(value: &str) -> bool {
    let mut any = false;
    let plain = Parts(value).all(|part| match part {
        Part::Text(text) => matches!(text.trim(), "" | "Bearer" | "Basic" | "Token" | "token" | "bearer" | "basic"),
        Part::Reference(inner) => {
            any = true;
            !inner.contains(":-")
        }
        Part::Open => false,
    });
    plain && any
}

/// Whether a value holds a reference at all.
pub(crate) fn has_reference(value: &str) -> bool {
    Parts(value).any(|part| matches!(part, Part::Reference(_)))
}

/// A piece of a written value.
enum Part<'a> {
    Text(&'a str),
    Reference(&'a str),
    Open,
}

/// The pieces of a written value, in order.
struct Parts<'a>(&'a str);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if let Some(rest) = self.0.strip_prefix("$${") {
            self.0 = rest;
            return Some(Part::Text("${"));
        }
        if let Some(rest) = self.0.strip_prefix("${") {
            let Some((inner, after)) = rest.split_once('}') else {
                self.0 = "";
                return Some(Part::Open);
            };
            self.0 = after;
            return Some(Part::Reference(inner));
        }
        let end = [self.0.find("${"), self.0.find("$${")].into_iter().flatten().min().unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        (!text.is_empty()).then_some(Part::Text(text))
    }
}

fn name_is_sane(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn unknown_kind(kind: &str, rest: &str) -> Unresolved {
    let what = format!("`${{{}:…}}` is not a reference", words::visible(kind));
    if rest.starts_with('-') {
        return unresolved(what, format!("write `${{env:{}:{}}}`", words::visible(kind), words::visible(rest)));
    }
    match words::nearest(kind, ["env", "file", "credential"]) {
        Some(near) => unresolved(what, format!("did you mean `${{{near}:…}}`?")),
        None => unresolved(what, "known are env, file and credential; write `$${` for a literal `${`"),
    }
}

fn unresolved(what: impl Into<String>, help: impl Into<String>) -> Unresolved {
    Unresolved { what: what.into(), help: help.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(base: &Path) -> Lookup {
        Lookup::fixed(&[("TOKEN", "t0"), ("EMPTY", "")], Some(base), base)
    }

    fn value(written: &str) -> Result<String, String> {
        let resolved = lookup(Path::new("/nonexistent")).resolve(written);
        resolved.map(|resolved| resolved.value).map_err(|error| error.what)
    }

    #[test]
    fn variables_defaults_and_literals() {
        assert_eq!(value("Bearer ${env:TOKEN}!"), Ok("Bearer t0!".into()));
        assert_eq!(value("${env:NONE:-a:-b}${env:EMPTY:-c}${env:EMPTY}"), Ok("a:-bc".into()));
        assert_eq!(value("$${env:TOKEN} $5 $"), Ok("${env:TOKEN} $5 $".into()));
        assert_eq!(value(""), Ok(String::new()));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (written, part) in [
            ("${env:NONE}", "no NONE"),
            ("${TOKEN}", "does not say where"),
            ("${TOKEN:-x}", "not a reference"),
            ("${evn:TOKEN}", "not a reference"),
            ("${env:TOKEN", "no closing"),
            ("${file:absent}", "cannot be read"),
            ("${credential:../etc/passwd}", "not the name"),
            ("${credential:absent}", "cannot be read"),
        ] {
            let error = value(written).expect_err(written);
            assert!(error.contains(part), "{written}: {error}");
        }
    }

    #[test]
    fn files_lose_one_newline_and_open_ones_are_named() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("s"), "secret\r\n").expect("write");
        let set =
            |mode| std::fs::set_permissions(dir.path().join("s"), std::fs::Permissions::from_mode(mode)).expect("mode");
        set(0o644);
        let resolved = lookup(dir.path()).resolve("${file:s}").expect("file");
        assert_eq!((resolved.value.as_str(), resolved.open_files.len()), ("secret", 1));
        assert_eq!(lookup(dir.path()).resolve("${credential:s}").expect("credential").open_files.len(), 0);
        set(0o600);
        assert_eq!(lookup(dir.path()).resolve("${file:s}").expect("file").open_files.len(), 0);
    }

    #[test]
    fn a_look_leaves_unread_what_it_cannot_read() {
        let look = |lenient, written| lookup(Path::new("/nonexistent")).lenient(lenient).resolve(written);
        assert!(look(Lenient::Everything, "${env:NONE}").expect("unread").unread.is_some());
        assert!(look(Lenient::Everything, "${env:TOKEN}").expect("read").unread.is_none());
        assert!(look(Lenient::Credentials, "${env:NONE}").is_err());
        assert!(look(Lenient::Credentials, "${credential:c}").is_err(), "there is a directory, and it lacks the file");
        let bare = Lookup::fixed(&[], None, Path::new("/")).lenient(Lenient::Credentials);
        assert!(bare.resolve("${credential:c}").expect("unread").unread.is_some());
    }

    #[test]
    fn a_default_is_not_only_a_reference() {
        assert!(only_references("Bearer ${env:T}") && only_references("${file:x}"));
        assert!(!only_references("${env:T:-secret}") && !only_references("x${env:T}") && !only_references(""));
    }
}
