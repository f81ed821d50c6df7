//! Servers: each either a URL or a command, its references read.

use super::listen::{resolved_path, size};
use crate::base::limits::{EXTENSIONS_MAX, SERVER_NAME_MAX, SERVERS_MAX};
use crate::config::document::Step;
use crate::config::env::Lookup;
use crate::config::file::{self, Config, Era, Server, SessionScope};
use crate::config::notes::Notes;
use crate::mcp::caps::Policy;
use crate::mcp::vendor;
use crate::upstream::spec::{EraSetting, HttpSpec, Processes, Scope, ServerSpec, StdioSpec, Target, TransportSpec};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Stands in for a value whose reference was left unread.
pub(crate) const UNREAD: &str = "http://unread.invalid/";

/// Headers that the gate writes itself.
const OWN_HEADERS: [&str; 10] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "accept",
    "expect",
    "upgrade",
    "te",
    "trailer",
];

/// The enabled servers in the order they are written.
pub(crate) fn compile(written: &Config, lookup: &Lookup, notes: &mut Notes<'_>) -> Vec<ServerSpec> {
    let document = notes.document;
    let names = document.keys(&["servers".into()]);
    if names.len() > SERVERS_MAX {
        notes.error(&["servers".into()], format!("more than {SERVERS_MAX} servers"), "split them over several gates");
    }
    let mut specs = Vec::new();
    for name in names {
        check_name(name, notes);
        let Some(server) = written.servers.get(name) else { continue };
        let one = One { name, server, written, lookup };
        specs.extend(one.compile(notes));
    }
    specs
}

fn check_name(name: &str, notes: &mut Notes<'_>) {
    let sane = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=SERVER_NAME_MAX).contains(&name.len());
    if fits && name.bytes().all(sane) {
        return;
    }
    let better = nearest_name(name);
    let help = format!("1 to {SERVER_NAME_MAX} of a-z, 0-9 and -, such as `{better}`");
    notes.key_error(&["servers".into()], name, "this is not a server name", help);
}

/// A name that fits the grammar and looks like the one given.
pub(crate) fn nearest_name(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars().map(|letter| letter.to_ascii_lowercase()) {
        let sane = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        if sane {
            out.push(letter);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.truncate(SERVER_NAME_MAX);
    let out = out.trim_end_matches('-');
    if out.is_empty() { "server".into() } else { out.into() }
}

/// One server being compiled.
pub(super) struct One<'a> {
    pub(super) name: &'a str,
    pub(super) server: &'a Server,
    written: &'a Config,
    lookup: &'a Lookup,
}

impl<'a> One<'a> {
    fn compile(&self, notes: &mut Notes<'_>) -> Option<ServerSpec> {
        self.check_fields(notes);
        self.check_extensions(notes);
        let transport = match (&self.server.url, &self.server.command) {
            (Some(url), None) => self.http(url, notes),
            (None, Some(command)) => self.stdio(command, notes),
            (Some(_), Some(_)) => {
                notes.error(&self.at("command"), "a server has either `url` or `command`", "remove one of them");
                None
            }
            (None, None) if notes.document.has(&self.at("url")) || notes.document.has(&self.at("command")) => None,
            (None, None) => {
                let help = "give it a `url` (Streamable HTTP) or a `command` (a program to start)";
                notes.error(&self.place(), "the server has neither `url` nor `command`", help);
                None
            }
        };
        let enabled = self.server.enabled;
        transport.filter(|_| enabled).map(|transport| self.spec(transport))
    }

    fn spec(&self, transport: TransportSpec) -> ServerSpec {
        let call_timeout = self.server.call_timeout_ms.unwrap_or(self.written.limits.call_timeout_ms);
        ServerSpec {
            era: match self.server.era {
                Era::Auto => EraSetting::Auto,
                Era::Modern => EraSetting::Modern,
                Era::Legacy => EraSetting::Legacy,
                Era::Sse => EraSetting::Sse,
            },
            scope: match self.server.session_scope {
                SessionScope::Shared => Scope::Shared,
                SessionScope::PerKey => Scope::PerKey,
                SessionScope::PerSession => Scope::PerSession,
            },
            processes: match self.server.processes {
                file::Processes::PerScope => Processes::PerScope,
                file::Processes::PerCapabilities => Processes::PerCapabilities,
            },
            call_timeout: Duration::from_millis(call_timeout),
            probe_timeout: Duration::from_millis(self.server.probe_timeout_ms),
            asks: Policy {
                elicitation: self.server.elicitation,
                sampling: self.server.sampling,
                roots: self.server.roots,
            },
            share_public: self.server.share_public,
            extensions: self.server.extensions.iter().map(|name| name.as_str().into()).collect(),
            refresh: Duration::from_millis(self.server.refresh_ms),
            answer_max: size(self.written.limits.answer_max_bytes),
            ..ServerSpec::new(self.name, transport)
        }
    }

    fn check_extensions(&self, notes: &mut Notes<'_>) {
        let (place, all) = (self.at("extensions"), &self.server.extensions);
        let help = "write identifiers such as \"com.example/thing\", each once";
        if all.len() > EXTENSIONS_MAX {
            notes.error(&place, format!("more than {EXTENSIONS_MAX} extensions"), "allow fewer");
        }
        for (at, name) in all.iter().enumerate() {
            let twice = all[..at].contains(name).then_some("is there twice");
            if let Some(why) = vendor::wrong_name(name).or(twice) {
                notes.error(&place, format!("{name:?} {why}"), help);
            }
        }
    }

    /// Fields that belong to the other transport.
    fn check_fields(&self, notes: &mut Notes<'_>) {
        if self.server.era == Era::Sse && self.server.command.is_some() {
            let what = "`era = \"sse\"` is a way to speak to a `url`, which this server does not have";
            notes.error(&self.at("era"), what, "remove it, or use \"legacy\"");
        }
        let (fields, needs): (&[&str], _) = match (&self.server.url, &self.server.command) {
            (Some(_), None) => (&["args", "env", "cwd", "processes"], "command"),
            (None, Some(_)) => (&["headers", "ca_file", "oauth"], "url"),
            _ => return,
        };
        for field in fields.iter().filter(|field| notes.document.has(&self.at(field))) {
            let place = [Step::Key("servers"), self.name.into()];
            let what = format!("`{field}` goes with `{needs}`, which this server does not have");
            notes.key_error(&place, field, what, "remove it");
        }
    }

    fn http(&self, url: &str, notes: &mut Notes<'_>) -> Option<TransportSpec> {
        let headers = self.headers(notes);
        let oauth = self.oauth(notes);
        let ca_file = self.server.ca_file.as_ref().map(|file| self.file(file, "ca_file", notes));
        let url = self.value(url, &self.at("url"), notes)?;
        match Target::parse(&url) {
            Ok(target) => self.check_clear_text(&target, notes),
            Err(error) => notes.error(&self.at("url"), error.context, "such as `https://mcp.example.com/mcp`"),
        }
        Some(TransportSpec::Http(HttpSpec { url: url.into(), headers, ca_file, oauth }))
    }

    fn check_clear_text(&self, target: &Target, notes: &mut Notes<'_>) {
        let local = &*target.host == "localhost" || target.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let has_secrets = !self.server.headers.is_empty() || self.server.oauth.is_some();
        if !target.tls && !local && has_secrets {
            let what = "the headers cross the network in clear text";
            notes.warning(&self.at("url"), what, "use `https://` unless that network is trusted");
        }
    }

    fn headers(&self, notes: &mut Notes<'_>) -> Vec<(Box<str>, Box<str>)> {
        let mut out: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (name, written) in &self.server.headers {
            let place = self.below("headers", name);
            let lower = name.to_ascii_lowercase();
            let table = [Step::Key("servers"), self.name.into(), "headers".into()];
            if !is_token(name) {
                notes.key_error(&table, name, "this is not a header name", "letters, digits and `-`");
            } else if OWN_HEADERS.contains(&&*lower) || lower.starts_with("mcp-") {
                notes.key_error(&table, name, "the gate writes this header itself", "remove it");
            } else if out.iter().any(|(known, _)| **known == *lower) {
                notes.key_error(&table, name, "this header is given twice", "header names ignore case; keep one");
            }
            let Some(value) = self.value(written, &place, notes) else { continue };
            if !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t') {
                let help = "visible ASCII only; a secret's file may end in more than one newline";
                notes.error(&place, "the value cannot stand in a header", help);
            }
            out.push((lower.into(), value.into()));
        }
        out
    }

    fn stdio(&self, command: &str, notes: &mut Notes<'_>) -> Option<TransportSpec> {
        let args = self.args(notes);
        let env = self.environment(notes);
        let cwd = self.server.cwd.as_ref().map(|cwd| self.directory(cwd, notes));
        let command = self.value(command, &self.at("command"), notes)?;
        if self.server.enabled {
            self.check_command(&command, notes);
        }
        Some(TransportSpec::Stdio(StdioSpec { command: command.into(), args, env, cwd }))
    }

    fn directory(&self, written: &str, notes: &mut Notes<'_>) -> PathBuf {
        if !self.server.enabled {
            return PathBuf::from(written);
        }
        let path = resolved_path(written, &self.at("cwd"), self.lookup, notes);
        if !path.is_dir() && !path.as_os_str().is_empty() {
            let what = format!("{} is not a directory now", path.display());
            notes.warning(&self.at("cwd"), what, "the server will not start until it is");
        }
        path
    }

    fn check_command(&self, command: &str, notes: &mut Notes<'_>) {
        let place = self.at("command");
        if command == UNREAD {
            return;
        }
        if command.contains('/') && !command.starts_with('/') {
            let help = "write an absolute path, or a name that PATH leads to";
            notes.error(&place, "a relative path depends on where the gate was started", help);
        } else if command.is_empty() || command.contains(char::is_whitespace) {
            let help = "name the program only; its arguments go into `args`";
            notes.error(&place, "this is not a program's name", help);
        } else if !is_program(command) {
            let what = format!("no program `{}` is there now", crate::config::words::visible(command));
            notes.warning(&place, what, "the server will not start until it is; an absolute path is safest");
        }
    }

    fn args(&self, notes: &mut Notes<'_>) -> Vec<Box<str>> {
        let one = |(at, arg): (usize, &String)| {
            let place = [Step::Key("servers"), self.name.into(), "args".into(), Step::Index(at)];
            self.value(arg, &place, notes).map(Into::into)
        };
        self.server.args.iter().enumerate().filter_map(one).collect()
    }

    fn environment(&self, notes: &mut Notes<'_>) -> Vec<(Box<str>, Box<str>)> {
        self.variables(&self.server.env, notes)
    }

    fn variables(&self, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) -> Vec<(Box<str>, Box<str>)> {
        let mut out: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (name, written) in env {
            if name.is_empty() || name.contains(['=', '\0']) {
                let table = [Step::Key("servers"), self.name.into(), "env".into()];
                notes.key_error(&table, name, "this is not a variable's name", "letters, digits and `_`");
            }
            if let Some(value) = self.value(written, &self.below("env", name), notes) {
                out.push((name.as_str().into(), value.into()));
            }
        }
        out
    }

    /// A value with its references read. Those of a disabled server stay unread: what they name may not be there yet.
    pub(super) fn value(&self, written: &str, place: &[Step<'_>], notes: &mut Notes<'_>) -> Option<String> {
        if !self.server.enabled {
            return Some(written.to_owned()).filter(|value| !crate::config::env::has_reference(value));
        }
        match self.lookup.resolve(written) {
            Ok(resolved) => {
                if let Some(unread) = resolved.unread {
                    notes.warning(place, unread.what, unread.help);
                    return Some(UNREAD.into());
                }
                for file in resolved.open_files {
                    let what = format!("every user of this machine can read {}", file.display());
                    notes.warning(place, what, format!("run `chmod 600 {}`", file.display()));
                }
                if resolved.value.contains('\0') {
                    notes.error(place, "the value holds a NUL character", "remove it");
                }
                Some(resolved.value)
            }
            Err(error) => {
                notes.error(place, error.what, error.help);
                None
            }
        }
    }

    fn file(&self, written: &str, field: &'static str, notes: &mut Notes<'_>) -> PathBuf {
        if !self.server.enabled {
            return PathBuf::from(written);
        }
        let path = resolved_path(written, &self.at(field), self.lookup, notes);
        if let Err(error) = std::fs::File::open(&path) {
            let what = format!("{} cannot be read: {error}", path.display());
            notes.error(&self.at(field), what, "name a PEM file");
        }
        path
    }

    fn place(&self) -> [Step<'a>; 2] {
        ["servers".into(), self.name.into()]
    }

    fn at<'b>(&self, field: &'b str) -> [Step<'b>; 3]
    where
        'a: 'b,
    {
        ["servers".into(), self.name.into(), field.into()]
    }

    pub(super) fn below<'b>(&self, table: &'b str, key: &'b str) -> [Step<'b>; 4]
    where
        'a: 'b,
    {
        ["servers".into(), self.name.into(), table.into(), key.into()]
    }
}

/// A token as RFC 9110 section 5.6.2 has it.
fn is_token(name: &str) -> bool {
    let sane = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(sane)
}

/// Whether a program can be started: the file at an absolute path, or one of its name in `PATH`.
fn is_program(command: &str) -> bool {
    let runs = |path: &Path| path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if command.starts_with('/') {
        return runs(Path::new(command));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| runs(&directory.join(command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_mended_into_the_grammar() {
        for (written, mended) in
            [("GitHub", "github"), ("my_server.v2", "my-server-v2"), ("__", "server"), ("é", "server")]
        {
            assert_eq!(nearest_name(written), mended);
        }
        assert_eq!(nearest_name(&"a".repeat(40)).len(), SERVER_NAME_MAX);
    }

    #[test]
    fn programs_are_looked_for_in_path() {
        assert!(is_program("sh") && is_program("/bin/sh"));
        assert!(!is_program("no-such-program-here") && !is_program("/etc/passwd") && !is_program("/bin"));
    }
}
