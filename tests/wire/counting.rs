//! The allocator of this test binary: the system's, and a count of what one watched thread asks of it.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Requests of the watched thread since [`start`].
static COUNT: AtomicU64 = AtomicU64::new(0);
static COUNTS: AtomicBool = AtomicBool::new(false);

/// Places kept of one count: each costs a walk over the stack.
const PLACES_MAX: usize = 64;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static PLACES: RefCell<Vec<Backtrace>> = const { RefCell::new(Vec::new()) };
}

struct Counting;

impl Counting {
    /// Counts a request. What finding its place allocates itself is not counted.
    fn note() {
        let is_watched = COUNTS.load(SeqCst) && WATCHED.try_with(|watched| watched.replace(false)).unwrap_or(false);
        if !is_watched {
            return;
        }
        COUNT.fetch_add(1, SeqCst);
        PLACES.with_borrow_mut(|places| {
            if places.len() < PLACES_MAX {
                places.push(Backtrace::force_capture());
            }
        });
        WATCHED.set(true);
    }
}

// SAFETY: every request goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note();
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Watches the calling thread from here on.
pub(crate) fn watch_this_thread() {
    WATCHED.set(true);
}

/// Begins to count.
pub(crate) fn start() {
    COUNT.store(0, SeqCst);
    COUNTS.store(true, SeqCst);
}

/// Ends the count.
pub(crate) fn stop() -> u64 {
    COUNTS.store(false, SeqCst);
    COUNT.load(SeqCst)
}

/// Where the watched thread, which must be the calling one, asked for memory: how often each place, of the first few.
pub(crate) fn places() -> String {
    WATCHED.set(false);
    let mut times = BTreeMap::<String, u32>::new();
    for stack in PLACES.take() {
        *times.entry(own_places(&stack.to_string())).or_default() += 1;
    }
    let lines = times.iter().map(|(place, times)| format!("{times} of {PLACES_MAX}: {place}\n"));
    lines.collect()
}

/// The innermost places of a stack that are code of this crate or of its runtime.
fn own_places(stack: &str) -> String {
    let places = stack.lines().filter_map(|line| line.trim().strip_prefix("at "));
    let ours = places.filter(|place| place.starts_with("./src") || place.contains("monoio"));
    let short = ours.map(|place| place.rsplit_once("registry").map_or(place, |(_, place)| place));
    short.take(OWN_PLACES).collect::<Vec<_>>().join(" < ")
}

/// Places shown of one stack.
const OWN_PLACES: usize = 4;
