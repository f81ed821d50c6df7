//! Whom we trust and who we are. All of this reads files and is for the control thread, not for shards.

use crate::base::error::{Error, Kind, Result};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The one protocol we offer and take inside TLS.
const ALPN: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn wrong(words: String) -> Error {
    Error::new(Kind::Config, words)
}

/// How we check servers: against the machine's root certificates, or, with a `ca_file`, against the certificates in
/// that PEM file alone. TLS 1.2 and 1.3, HTTP/1.1.
///
/// # Errors
/// [`Kind::Config`]: the file cannot be read or holds no certificate, or the machine has no root certificates.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let roots = match ca_file {
        Some(path) => roots_of(path)?,
        None => native_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| wrong(format!("tls: {e}")))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

fn native_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |e| format!(" ({e})"));
        return Err(wrong(format!(
            "tls: the machine has no root certificates{why}; install the package ca-certificates or set ca_file"
        )));
    }
    Ok(roots)
}

fn roots_of(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(path)? {
        roots.add(cert).map_err(|e| wrong(format!("{}: a certificate cannot be used: {e}", path.display())))?;
    }
    Ok(roots)
}

/// The certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |e| wrong(format!("{}: cannot read certificates: {e}", path.display()));
    let certs: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
    if certs.is_empty() {
        return Err(wrong(format!("{}: holds no certificate in PEM form", path.display())));
    }
    Ok(certs)
}

/// Our certificate and key, as files that may be replaced while we run. A connection keeps the configuration it
/// started with; [`ServerIdentity::reload`] gives the next ones another.
#[derive(Clone, Debug)]
pub struct ServerIdentity {
    cert: PathBuf,
    key: PathBuf,
    config: Arc<ServerConfig>,
}

impl ServerIdentity {
    /// Reads a chain of certificates, ours first, and its private key, both PEM.
    ///
    /// # Errors
    /// [`Kind::Config`]: a file cannot be read or holds no such thing, or the key is not the certificate's.
    pub fn load(cert: &Path, key: &Path) -> Result<Self> {
        let config = server_config(cert, key)?;
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), config })
    }

    /// Reads the same files again. On an error the old identity still stands.
    ///
    /// # Errors
    /// As [`ServerIdentity::load`].
    pub fn reload(&self) -> Result<Self> {
        Self::load(&self.cert, &self.key)
    }

    /// What a new connection is served with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_file(key);
    let secret = secret.map_err(|e| wrong(format!("{}: cannot read a private key: {e}", key.display())))?;
    let unfit = |e| wrong(format!("tls: {} and {} do not fit each other: {e}", cert.display(), key.display()));
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| wrong(format!("tls: {e}")))?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, secret).map_err(unfit)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Sessions are resumed by sealed tickets: any shard can open them, and no cache is locked between shards.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|e| wrong(format!("tls: {e}")))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A certificate for `localhost`, signed by itself, as PEM files in a directory.
    pub(crate) fn write_identity(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let (cert, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert, key)
    }

    #[test]
    fn the_machines_roots_are_found_or_their_lack_is_told() {
        match client_config(None) {
            Ok(config) => assert_eq!(config.alpn_protocols, [b"http/1.1"]),
            Err(e) => assert!(e.context.contains("ca-certificates"), "{e}"),
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = write_identity(dir.path(), "a");
        let (_, other_key) = write_identity(dir.path(), "b");
        let missing = dir.path().join("missing.pem");
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "nothing here").unwrap();
        let told = |cert: &Path, key: &Path| ServerIdentity::load(cert, key).unwrap_err();
        for (error, words) in [
            (told(&missing, &key), "missing.pem"),
            (told(&empty, &key), "no certificate"),
            (told(&cert, &empty), "private key"),
            (told(&cert, &other_key), "do not fit"),
            (client_config(Some(&missing)).unwrap_err(), "missing.pem"),
            (client_config(Some(&key)).unwrap_err(), "no certificate"),
        ] {
            assert_eq!(error.kind, Kind::Config);
            assert!(error.context.contains(words), "{error}");
        }
    }

    #[test]
    fn a_reload_takes_the_new_files_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = write_identity(dir.path(), "a");
        let first = ServerIdentity::load(&cert, &key).unwrap();
        write_identity(dir.path(), "a");
        let second = first.reload().unwrap();
        assert!(!Arc::ptr_eq(&first.config(), &second.config()));
        std::fs::write(&cert, "broken").unwrap();
        assert!(second.reload().is_err());
        assert!(Arc::ptr_eq(&second.config(), &second.clone().config()));
    }
}
