//! The arguments that say where to: a URL, keys, what is known of the process behind it.

use crate::failure::Failure;
use crate::order::Target;
use clap::Args;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

/// Where the load goes.
#[derive(Clone, Debug, Args)]
pub(super) struct TargetArgs {
    /// The MCP endpoint, for instance http://127.0.0.1:8080/mcp
    #[arg(long, value_name = "URL")]
    url: String,
    /// How reports name the target
    #[arg(long, value_name = "NAME", default_value = "target")]
    name: String,
    /// A bearer key; repeat it for more
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// A file with a bearer key a line
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// What the target puts before a tool's own name [default: found out]
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Where the target tells its metrics as Prometheus text
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// The target's process, to count its CPU time and memory
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Load a target that is not on this machine; make sure that it is yours
    #[arg(long)]
    allow_remote: bool,
}

impl TargetArgs {
    /// The target, its name resolved.
    ///
    /// # Errors
    /// A URL that is none, a name that does not resolve, a key file that cannot be read, or a target elsewhere without
    /// `--allow-remote`.
    pub(super) fn target(&self) -> Result<Target, Failure> {
        let url = Url::parse("--url", &self.url)?;
        let address = url.resolve("--url")?;
        if !address.ip().is_loopback() && !self.allow_remote {
            let words = format!("--url: {address} is not on this machine; if it is yours to load, add --allow-remote");
            return Err(Failure::usage(words));
        }
        let metrics = self.metrics.as_deref().map(|metrics| {
            let url = Url::parse("--metrics", metrics)?;
            Ok((url.resolve("--metrics")?, url.path))
        });
        let mut keys = self.keys.clone();
        if let Some(file) = &self.key_file {
            keys.extend(read_keys(file)?);
        }
        Ok(Target {
            name: self.name.clone(),
            address,
            host: url.authority,
            path: url.path,
            keys,
            prefix: self.prefix.clone(),
            metrics: metrics.transpose()?,
            process: self.pid,
        })
    }
}

/// An `http` URL in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    /// Host and port as written.
    authority: String,
    path: String,
}

impl Url {
    fn parse(what: &str, text: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::usage(format!("{what}: {text:?} {why}; write http://HOST:PORT/PATH"));
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(wrong("asks for TLS, which the load tool does not speak")),
            _ => return Err(wrong("does not start with http://")),
        };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if authority.is_empty() || authority.contains('@') || !is_plain(authority) || !is_plain(path) {
            return Err(wrong("has no plain host and path"));
        }
        Ok(Self { authority: authority.to_owned(), path: path.to_owned() })
    }

    fn resolve(&self, what: &str) -> Result<SocketAddr, Failure> {
        let has_port = self.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let place = if has_port { self.authority.clone() } else { format!("{}:80", self.authority) };
        let failed = |why: String| Failure::usage(format!("{what}: {place} does not resolve: {why}"));
        let mut found = place.to_socket_addrs().map_err(|error| failed(error.to_string()))?;
        found.next().ok_or_else(|| failed("no address".into()))
    }
}

fn read_keys(file: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("--key-file: {}: {error}", file.display())))?;
    let keys: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if keys.is_empty() {
        return Err(Failure::usage(format!("--key-file: {} has no key; write one a line", file.display())));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(args: &[&str]) -> Result<Target, Failure> {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            target: TargetArgs,
        }
        Only::try_parse_from([&["x"], args].concat()).unwrap().target.target()
    }

    #[test]
    fn a_url_becomes_an_address_a_host_and_a_path() {
        let target = target(&["--url", "http://127.0.0.1:81/mcp", "--key", "a", "--key", "b"]).unwrap();
        assert_eq!((target.address.port(), &*target.host, &*target.path), (81, "127.0.0.1:81", "/mcp"));
        assert_eq!(target.keys, ["a", "b"]);
    }

    #[test]
    fn wrong_urls_and_strangers_are_refused_with_what_to_do() {
        for (url, word) in [
            ("https://127.0.0.1/mcp", "TLS"),
            ("127.0.0.1/mcp", "http://"),
            ("http:///mcp", "host"),
            ("http://a b/mcp", "host"),
            ("http://192.0.2.1/mcp", "--allow-remote"),
        ] {
            let words = target(&["--url", url]).unwrap_err().to_string();
            assert!(words.contains(word), "{url}: {words}");
        }
        assert!(target(&["--url", "http://192.0.2.1/mcp", "--allow-remote"]).is_ok());
    }
}
