//! The wish to end a run early: from the keyboard or by a signal.
#![allow(unsafe_code, reason = "signal masks")]

use super::terminal;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Signals that end a run.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
/// Exit code of a process that a signal ended is this and the signal's number.
const BY_SIGNAL: i32 = 128;

/// Whether somebody wants the run to end. Copies tell of the same wish.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for the engine.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// Turns the first SIGINT, SIGTERM or SIGHUP into this wish; a second one ends the process at once, with the
    /// terminal put back. Call it before any other thread starts, since threads inherit what is blocked here: a thread
    /// of its own waits for the signals, and no system call of a client thread is ever interrupted.
    ///
    /// # Errors
    /// The kernel refuses the mask, or no thread can be had.
    pub fn on_signals(&self) -> io::Result<()> {
        let signals = block()?;
        let stop = self.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            loop {
                let Some(signal) = wait(&signals) else { return };
                if stop.is_asked() {
                    terminal::put_back();
                    std::process::exit(BY_SIGNAL + signal);
                }
                stop.ask();
            }
        })?;
        Ok(())
    }
}

fn block() -> io::Result<libc::sigset_t> {
    // SAFETY: an all-zero `sigset_t` is a valid value of it, and `sigemptyset` initialises it again; the pointers are
    // to locals that outlive the calls.
    let (signals, error) = unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        for signal in SIGNALS {
            libc::sigaddset(&raw mut signals, signal);
        }
        (signals, libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()))
    };
    if error == 0 { Ok(signals) } else { Err(io::Error::from_raw_os_error(error)) }
}

fn wait(signals: &libc::sigset_t) -> Option<libc::c_int> {
    let mut signal = 0;
    // SAFETY: both pointers are to values that outlive the call.
    let error = unsafe { libc::sigwait(signals, &raw mut signal) };
    (error == 0).then_some(signal)
}
