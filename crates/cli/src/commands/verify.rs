//! `picnix store verify`: is the store sound, and can it be made so?

use std::process::ExitCode;

use picnix_store::{Contents, VerifyReport};

use super::Outcome;
use super::store::{Shell, store_error};
use crate::args::VerifyArgs;
use crate::error::CommandError;
use crate::output;

impl Shell<'_> {
    pub(super) fn verify(&self, args: &VerifyArgs) -> Outcome {
        let contents =
            if args.check_contents { Contents::Hashed } else { Contents::Exist };
        let report = self.store.verify(contents).map_err(store_error)?;
        self.show_found(&report)?;
        let is_sound = if report.is_sound() {
            true
        } else if args.repair {
            self.repair(&report, contents, args.forget)? && report.database.is_empty()
        } else {
            output::error(
                "hint: 'picnix store verify --check-contents --repair' makes good what is damaged",
            );
            false
        };
        let verdict =
            if is_sound { "the store is sound" } else { "the store is damaged" };
        output::line(&format!("{} objects checked: {verdict}", report.checked))?;
        Ok(ExitCode::from(u8::from(!is_sound)))
    }

    fn show_found(&self, report: &VerifyReport) -> Result<(), CommandError> {
        for line in &report.database {
            output::line(&format!("database: {line}"))?;
        }
        for path in &report.missing {
            output::line(&format!("missing: {}", self.print(path)))?;
        }
        for (path, found) in &report.modified {
            output::line(&format!("modified: {}: {found}", self.print(path)))?;
        }
        let count = report.unregistered.len();
        if count > 0 {
            output::line(&format!(
                "{count} files that the database does not know; 'picnix store gc' deletes them"
            ))?;
        }
        Ok(())
    }

    /// Repairs what can be; forgets the rest if that is wanted. Says whether all is well then.
    fn repair(
        &self,
        report: &VerifyReport,
        contents: Contents,
        forget: bool,
    ) -> Result<bool, CommandError> {
        let mut repairs = self.engine.repair_found(report, contents)?;
        for path in &repairs.repaired {
            output::line(&format!("repaired: {}", self.print(path)))?;
        }
        for error in repairs.failed.values() {
            output::error(&format!("error: {}", picnix_engine::chain(error)));
        }
        if forget && !repairs.failed.is_empty() {
            let failed = std::mem::take(&mut repairs.failed).into_keys().collect();
            let forgotten = self.store.forget(failed).map_err(store_error)?;
            repairs.forgotten.extend(forgotten);
        }
        for path in &repairs.forgotten {
            output::line(&format!("forgotten: {}", self.print(path)))?;
        }
        if repairs.failed.is_empty() {
            return Ok(true);
        }
        output::error(
            "hint: '--forget' deletes what cannot be repaired, with everything that refers to it",
        );
        Ok(false)
    }
}
