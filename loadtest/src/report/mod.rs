//! Rank 3: what came of a run, told: as text, as JSON, as `.hgrm`, as one HTML file, and against another run.

pub mod compare;
pub mod file;
pub mod hgrm;
pub mod html;
pub mod text;

mod words;

#[cfg(test)]
pub(crate) mod sample;

use crate::failure::Failure;
use crate::outcome::Distribution;
use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

/// The histogram that a distribution carries, values in nanoseconds.
///
/// # Errors
/// What it carries is no histogram: the file was cut or edited.
pub fn histogram(distribution: &Distribution) -> Result<Histogram<u64>, Failure> {
    let damaged = |what: String| Failure::usage(format!("the histogram in the file cannot be read ({what})"));
    let bytes = base64::engine::general_purpose::STANDARD.decode(&distribution.hdr);
    let bytes = bytes.map_err(|error| damaged(error.to_string()))?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| damaged(error.to_string()))
}
