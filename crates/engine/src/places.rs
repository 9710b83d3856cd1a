//! Where the derivation of a failed build was written.
//!
//! A build begins when the evaluation is over and has given its memory back. Where one fails, the evaluation is
//! done once more, on one core and in silence, and then asked: what succeeds pays nothing for it.

use picnix_eval::report;

use crate::Error;
use crate::engine::Engine;
use crate::session::{EvalOptions, Session, WorkError, evaluate};
use crate::world::Writes;

/// Adds to the error of a build where `work`, which evaluated what was built, has made the derivation.
#[must_use]
pub fn with_place<T>(
    error: Error,
    engine: &Engine,
    options: &EvalOptions,
    work: impl FnOnce(&Session<'_, '_>) -> Result<T, WorkError>,
) -> Error {
    let Error::Build(picnix_build::Error::Failed(mut failure)) = error else {
        return error;
    };
    let silence = |_: &str| ();
    let found = evaluate(engine, Writes::WhenBuilding, options, silence, |session| {
        work(session)?;
        Ok(report::derivation_place(session.ev, &failure.drv_path))
    });
    // The failure of the build is what is told, whatever became of this.
    failure.place = found.ok().flatten();
    Error::Build(picnix_build::Error::Failed(failure))
}
