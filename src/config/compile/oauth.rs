//! The `oauth` table of a server, its references read.

use super::servers::One;
use crate::config::document::Step;
use crate::config::file::{Grant, Oauth, TokenEndpointAuth};
use crate::config::notes::Notes;
use crate::upstream::oauth::{self, AuthMethod, OauthSpec, Secret, check_key};
use crate::upstream::spec::Target;

impl<'a> One<'a> {
    /// How the gate gets tokens for the server, where it is to.
    pub(super) fn oauth(&self, notes: &mut Notes<'_>) -> Option<Box<OauthSpec>> {
        let written = self.server.oauth.as_ref()?;
        self.check_oauth(written, notes);
        let mut secret = |field, value: &Option<String>| {
            let value = self.value(value.as_ref()?, &self.below("oauth", field), notes)?;
            Some(Secret::from(&*value))
        };
        let client_secret = secret("client_secret", &written.client_secret);
        let private_key = secret("private_key", &written.private_key);
        if let Some(Err(error)) = private_key.as_ref().filter(|key| !is_unread(key)).map(|key| check_key(key.reveal()))
        {
            notes.error(&self.below("oauth", "private_key"), error.context, "make one with `openssl genpkey`");
        }
        let mut plain = |field, value: &Option<String>| {
            self.value(value.as_ref()?, &self.below("oauth", field), notes).map(Into::into)
        };
        Some(Box::new(OauthSpec {
            grant: match written.grant {
                Grant::AuthorizationCode => oauth::Grant::AuthorizationCode,
                Grant::ClientCredentials => oauth::Grant::ClientCredentials,
            },
            client_id: plain("client_id", &written.client_id),
            client_secret,
            private_key,
            client_metadata_url: written.client_metadata_url.as_deref().map(Into::into),
            scopes: written.scopes.iter().map(String::as_str).collect(),
            auth_method: written.token_endpoint_auth_method.map(|method| match method {
                TokenEndpointAuth::None => AuthMethod::None,
                TokenEndpointAuth::ClientSecretBasic => AuthMethod::ClientSecretBasic,
                TokenEndpointAuth::ClientSecretPost => AuthMethod::ClientSecretPost,
                TokenEndpointAuth::PrivateKeyJwt => AuthMethod::PrivateKeyJwt,
            }),
            issuer: written.issuer.as_deref().map(Into::into),
            redirect_port: written.redirect_port,
        }))
    }

    fn check_oauth(&self, written: &Oauth, notes: &mut Notes<'_>) {
        let table = [Step::Key("servers"), self.name.into(), "oauth".into()];
        let has_proof = written.client_secret.is_some() || written.private_key.is_some();
        if self.server.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
            let what = "`oauth` and a header `authorization` exclude each other";
            notes.error(&table, what, "remove one of them");
        }
        if written.grant == Grant::ClientCredentials && (written.client_id.is_none() || !has_proof) {
            let what = "`client_credentials` needs a `client_id`, and a `client_secret` or a `private_key`";
            notes.error(&table, what, "register the gate at the authorization server, and set what it gives");
        } else if has_proof && written.client_id.is_none() && written.client_metadata_url.is_none() {
            let what = "a `client_secret` or `private_key` belongs to a `client_id`";
            notes.error(&table, what, "set the id that it was given for");
        }
        if has_proof && written.issuer.is_none() {
            let what = "the secret goes to whichever authorization server `url` names first";
            notes.warning(&table, what, "set `issuer`");
        }
        let needs_key = written.token_endpoint_auth_method == Some(TokenEndpointAuth::PrivateKeyJwt);
        if needs_key && written.private_key.is_none() {
            let place = self.below("oauth", "token_endpoint_auth_method");
            notes.error(&place, "`private_key_jwt` needs a `private_key`", "set it, or choose another method");
        }
        for (field, url) in [("client_metadata_url", &written.client_metadata_url), ("issuer", &written.issuer)] {
            self.check_oauth_url(field, url.as_deref(), notes);
        }
        let wrong =
            |scope: &&String| scope.contains(' ') || oauth::Scopes::parse(scope).text().as_ref() != Some(*scope);
        if let Some(scope) = written.scopes.iter().find(wrong) {
            let what = format!("{scope:?} is not a scope");
            notes.error(&self.below("oauth", "scopes"), what, "visible ASCII without spaces, quotes and backslashes");
        }
    }

    fn check_oauth_url(&self, field: &'static str, url: Option<&str>, notes: &mut Notes<'_>) {
        let Some(url) = url else { return };
        let place = self.below("oauth", field);
        match Target::parse(url) {
            Err(error) => notes.error(&place, error.context, "such as `https://auth.example.com`"),
            Ok(target) if field == "client_metadata_url" && (!target.tls || &*target.path == "/") => {
                let what = "a client metadata document has an `https://` URL with a path";
                notes.error(&place, what, "such as `https://example.com/tollgate.json`");
            }
            Ok(_) => {}
        }
    }
}

/// Whether a secret stands for a reference that could not be read from here.
fn is_unread(secret: &Secret) -> bool {
    secret.reveal() == super::servers::UNREAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Compiled, Lookup, Purpose};
    use std::path::Path;

    /// The findings of a server's table, and how the gate gets tokens where there is no error.
    fn compile(table: &str) -> (String, Option<OauthSpec>) {
        let folder = tempfile::tempdir().unwrap();
        let lookup = Lookup::fixed(&[("SECRET", "canary")], None, folder.path());
        let text = format!("state.directory = \"s\"\n[servers.a]\nurl = \"https://h/mcp\"\n[servers.a.oauth]\n{table}");
        match Compiled::from_text(Path::new("t.toml"), &text, &lookup, Purpose::Check) {
            Ok(compiled) => {
                let spec = compiled.servers[0].oauth().map(|(_, oauth)| oauth.clone());
                (compiled.warnings.lines().join("\n"), spec)
            }
            Err(report) => (report.lines().join("\n"), None),
        }
    }

    #[test]
    fn an_empty_table_is_enough() {
        let (said, spec) = compile("");
        assert_eq!((said.as_str(), spec), ("", Some(OauthSpec::default())));
    }

    #[test]
    fn secrets_are_read_and_not_shown() {
        let own = "grant = \"client_credentials\"\nclient_id = \"c\"\nclient_secret = \"${env:SECRET}\"\n";
        let (said, spec) = compile(&format!("{own}issuer = \"https://as\"\nscopes = [\"x\", \"y\"]"));
        assert_eq!(said, "");
        let spec = spec.expect("a spec");
        assert_eq!(spec.client_secret.as_ref().map(Secret::reveal), Some("canary"));
        assert_eq!(spec.scopes.text().as_deref(), Some("x y"));
        assert!(!format!("{spec:?}").contains("canary"));
        let (said, _) = compile(own);
        assert!(said.contains("set `issuer`"), "{said}");
    }

    #[test]
    fn what_cannot_work_is_said() {
        for (table, part) in [
            ("grant = \"client_credentials\"", "needs a `client_id`"),
            ("client_secret = \"${env:SECRET}\"", "belongs to a `client_id`"),
            ("client_id = \"c\"\nprivate_key = \"${env:SECRET}\"", "no private key"),
            ("token_endpoint_auth_method = \"private_key_jwt\"", "needs a `private_key`"),
            ("client_metadata_url = \"https://h\"", "with a path"),
            ("client_metadata_url = \"http://h/doc\"", "with a path"),
            ("issuer = \"as\"", "http"),
            ("scopes = [\"a b\"]", "is not a scope"),
            ("redirect_port = 0", "out of its range"),
            ("[servers.a.headers]\nauthorization = \"x\"", "exclude each other"),
        ] {
            let (said, spec) = compile(table);
            assert!(said.contains(part) && spec.is_none() && !said.contains("canary"), "{table}: {said}");
        }
    }
}
