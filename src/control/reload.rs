//! Takes over a configuration that was read anew, and tries a store again that could not be read.

use crate::config::Compiled;
use crate::control::works::Loaded;
use crate::control::{Control, Fleet};
use crate::telemetry::events;
use crate::wire::tls::ServerIdentity;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two tries of a store that could not be read.
const REREAD_EVERY: Duration = Duration::from_secs(10);

impl<F: Fleet> Control<F> {
    /// Tries a store again that could not be read: what was changed in it, a revoked key above all, is to be in force
    /// without anybody asking again.
    pub(super) fn reread_store(&mut self) {
        if self.reread_at.is_some_and(|at| at <= Instant::now()) {
            self.reread_at = None;
            self.reload(None);
        }
    }

    /// What the next snapshot is built from.
    pub(super) fn take_over(&mut self, compiled: Compiled) {
        self.compiled = Arc::new(compiled.on_listener_of(&self.compiled));
        self.lists.follow(&self.compiled);
        self.tokens.follow(&self.compiled, &self.fleet);
    }

    /// Sees to it that a store that could not be read is tried again.
    pub(super) fn note_store(&mut self, loaded: &Loaded) {
        self.readings.health.store_is_read(!loaded.store_unread);
        self.reread_at = loaded.store_unread.then(|| Instant::now() + REREAD_EVERY);
        if loaded.store_unread {
            tracing::error!("the gate goes on with what it read last, and tries the store again in {REREAD_EVERY:?}");
        }
    }

    /// Certificates are renewed under the same name, so the files are read whether or not the configuration changed.
    pub(super) fn renew_identity(&self) {
        let Some(paths) = &self.compiled.settings.listen.tls else { return };
        match ServerIdentity::load(&paths.cert, &paths.key) {
            Ok(identity) => self.fleet.present(&identity.config()),
            Err(error) => events::reload_refused(&error),
        }
    }
}
