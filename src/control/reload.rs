//! Reload: compile the file anew, look what changed, swap. A file with errors changes nothing.

use crate::config::{Compiled, Diff, Purpose, Report};
use crate::control::{Control, Fleet};
use crate::telemetry::events;
use crate::wire::tls::ServerIdentity;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two tries of a store that could not be read.
const REREAD_EVERY: Duration = Duration::from_secs(10);

impl<F: Fleet> Control<F> {
    /// Reads the configuration and the stored objects anew.
    pub(super) fn reload(&mut self) {
        match Compiled::load(&self.compiled.path, Purpose::Serve) {
            Ok(compiled) => self.apply(compiled),
            Err(report) => {
                self.refuse(&report);
                // A key is revoked at once, whatever state the configuration file is in.
                if report.unread_store().is_none() {
                    self.apply_stored();
                }
            }
        }
        self.renew_identity();
    }

    /// Tries a store again that could not be read: what was changed in it, a revoked key above all, is to be in force
    /// without anybody asking again.
    pub(super) fn reread_store(&mut self) {
        if self.reread_at.is_some_and(|at| at <= Instant::now()) {
            self.reload();
        }
    }

    fn apply_stored(&mut self) {
        match self.compiled.with_stored() {
            Ok(compiled) => self.apply(compiled),
            Err(report) => self.refuse(&report),
        }
    }

    fn apply(&mut self, mut compiled: Compiled) {
        self.reread_at = None;
        self.readings.health.store_is_read(true);
        for line in std::mem::take(&mut compiled.warnings).lines() {
            tracing::warn!("{line}");
        }
        let diff = Diff::between(&self.compiled, &compiled);
        tracing::info!("reload: {diff}");
        self.compiled = compiled.on_listener_of(&self.compiled);
        self.lists.follow(&self.compiled);
        self.tokens.follow(&self.compiled, &self.fleet);
        self.publish();
    }

    fn refuse(&mut self, report: &Report) {
        for line in report.lines() {
            tracing::error!("reload refused: {line}");
        }
        if report.unread_store().is_some() {
            self.reread_at = Some(Instant::now() + REREAD_EVERY);
            self.readings.health.store_is_read(false);
            tracing::error!("the gate goes on with what it read last, and tries the store again in {REREAD_EVERY:?}");
        }
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
