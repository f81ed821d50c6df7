//! What the service manager and the operator tell the process, and what it tells the service manager.

use crate::base::error::Result;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// SIGHUP: read the configuration anew.
    Reload,
    /// SIGTERM or SIGINT: finish what is under way and stop.
    Stop,
}

/// The signals this process listens to.
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen; from now on none of them kills the process by itself.
    ///
    /// # Errors
    /// Where the handlers cannot be installed.
    pub fn listen() -> Result<Self> {
        let of = |kind| signal(kind);
        Ok(Self {
            hangup: of(SignalKind::hangup())?,
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Ask {
        tokio::select! {
            _ = self.hangup.recv() => Ask::Reload,
            _ = self.terminate.recv() => Ask::Stop,
            _ = self.interrupt.recv() => Ask::Stop,
        }
    }
}

/// Tells the service manager that requests are served.
pub fn notify_ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells the service manager how things stand.
pub(super) fn notify_status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// Tells the service manager that the process stops by itself.
pub(super) fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the service manager's watchdog; call it only while every shard's loop turns.
pub(super) fn feed_watchdog() {
    notify(&[NotifyState::Watchdog]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
