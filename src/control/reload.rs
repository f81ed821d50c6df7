//! Reload: compile the file anew, look what changed, swap. A file with errors changes nothing.

use crate::config::{Compiled, Diff, Purpose};
use crate::control::{Control, Fleet};
use crate::telemetry::events;
use crate::wire::tls::ServerIdentity;

impl<F: Fleet> Control<F> {
    /// Reads the configuration and the stored keys anew.
    pub(super) fn reload(&mut self) {
        let mut compiled = match Compiled::load(&self.compiled.path, Purpose::Serve) {
            Ok(compiled) => compiled,
            Err(report) => {
                for line in report.lines() {
                    tracing::error!("reload refused: {line}");
                }
                // A key is revoked at once, whatever state the configuration file is in.
                match self.compiled.with_stored_keys() {
                    Ok(compiled) => compiled,
                    Err(_) => return,
                }
            }
        };
        for line in std::mem::take(&mut compiled.warnings).lines() {
            tracing::warn!("{line}");
        }
        let diff = Diff::between(&self.compiled, &compiled);
        tracing::info!("reload: {diff}");
        self.compiled = compiled.on_listener_of(&self.compiled);
        self.lists.follow(&self.compiled);
        self.renew_identity();
        self.publish();
    }

    /// Certificates are renewed under the same name, so the files are read whether or not the configuration changed.
    fn renew_identity(&self) {
        let Some(paths) = &self.compiled.settings.listen.tls else { return };
        match ServerIdentity::load(&paths.cert, &paths.key) {
            Ok(identity) => self.fleet.present(&identity.config()),
            Err(error) => events::reload_refused(&error),
        }
    }
}
