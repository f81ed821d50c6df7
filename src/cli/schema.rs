//! `tollgate schema`: the JSON Schema of the configuration, as committed in `config/`.

use crate::cli::{Failure, output};
use crate::config::schema;

pub(crate) fn run() -> Result<(), Failure> {
    output::print(&schema::text())
}
