//! `picnix store gc | optimise | profile`: what is kept, for how long, and in how much space.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use picnix_store::{GcOptions, GcReport, Generation, OldGenerations, SwitchTo};

use super::Outcome;
use super::store::{Shell, store_error};
use crate::args::{Days, OldArgs, ProfileCommand};
use crate::error::CommandError;
use crate::output;

impl Shell<'_> {
    pub(super) fn gc(
        &self,
        dry_run: bool,
        max_bytes: Option<u64>,
        older_than: Option<Days>,
    ) -> Outcome {
        if let Some(Days(age)) = older_than {
            let which = OldGenerations::OlderThan(age, SystemTime::now());
            for profile in self.store.profiles().map_err(store_error)? {
                self.delete_old(&profile, &which, dry_run)?;
            }
        }
        let delete_derivations = !self.engine.config.settings.keep_derivations()?;
        let options = GcOptions { dry_run, max_bytes, delete_derivations };
        let report = self.store.gc(&options).map_err(store_error)?;
        for (path, _) in &report.deleted {
            output::line(&self.print(path))?;
        }
        let objects = report.deleted.len();
        if dry_run {
            show_keepers(&report)?;
            let size: u64 = report.deleted.iter().map(|(_, size)| size).sum();
            output::line(&format!("{objects} objects of {size} bytes would be deleted"))?;
        } else {
            let freed = report.freed_bytes;
            output::line(&format!("{objects} objects deleted, {freed} bytes freed"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn optimise(&self) -> Outcome {
        let report = self.store.optimise().map_err(store_error)?;
        output::line(&format!(
            "{} of {} files linked, {} bytes freed",
            report.linked, report.files, report.freed_bytes
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn profile(&self, command: &ProfileCommand) -> Outcome {
        let at = |path: &Path| self.engine.config.current_dir.join(path);
        match command {
            ProfileCommand::Set { profile, path } => {
                let path = self.store_path(path)?;
                let set = self.store.set_profile(&at(profile), &path);
                self.show_generation(&set.map_err(store_error)?)?;
            }
            ProfileCommand::List { profile: Some(profile) } => {
                let profile = at(profile);
                let generations =
                    self.store.generations(&profile).map_err(store_error)?;
                if generations.is_empty() {
                    let shown = profile.display();
                    return Err(CommandError::user(format!(
                        "there is no profile '{shown}'"
                    )));
                }
                generations.iter().try_for_each(|g| self.show_generation(g))?;
            }
            ProfileCommand::List { profile: None } => {
                for profile in self.store.profiles().map_err(store_error)? {
                    output::line(&profile.display().to_string())?;
                }
            }
            ProfileCommand::Rollback { profile, to } => {
                let to = to.map_or(SwitchTo::Previous, SwitchTo::Number);
                let switched = self.store.switch_profile(&at(profile), to);
                self.show_generation(&switched.map_err(store_error)?)?;
            }
            ProfileCommand::Delete { profile, which, dry_run } => {
                self.delete_old(&at(profile), &old_generations(which), *dry_run)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn delete_old(
        &self,
        profile: &Path,
        which: &OldGenerations,
        dry_run: bool,
    ) -> Result<(), CommandError> {
        let deleted = self.store.delete_generations(profile, which, dry_run);
        let verb = if dry_run { "would delete" } else { "deleted" };
        for Generation { number, .. } in deleted.map_err(store_error)? {
            let profile = profile.display();
            output::line(&format!("{verb} generation {number} of {profile}"))?;
        }
        Ok(())
    }

    fn show_generation(&self, generation: &Generation) -> Result<(), CommandError> {
        let Generation { number, path, created, is_current, .. } = generation;
        let created = created.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let mark = if *is_current { "  (current)" } else { "" };
        let (date, path) = (date(created.as_secs()), self.print(path));
        output::line(&format!("{number:>4}  {date}  {path}{mark}"))?;
        Ok(())
    }
}

fn old_generations(which: &OldArgs) -> OldGenerations {
    match (which.older_than, which.keep) {
        (Some(Days(age)), _) => OldGenerations::OlderThan(age, SystemTime::now()),
        (None, Some(count)) => OldGenerations::Keep(count),
        (None, None) if which.old => OldGenerations::All,
        (None, None) => OldGenerations::Numbers(which.numbers.iter().copied().collect()),
    }
}

/// What each root keeps, the largest first.
fn show_keepers(report: &GcReport) -> Result<(), CommandError> {
    let mut keepers: Vec<_> = report.keepers.iter().collect();
    keepers.sort_by_key(|keeper| std::cmp::Reverse((keeper.own_bytes, keeper.nar_bytes)));
    for keeper in keepers {
        output::line(&format!(
            "kept by {}: {} objects of {} bytes, {} of them by nothing else",
            keeper.keeper, keeper.objects, keeper.nar_bytes, keeper.own_bytes
        ))?;
    }
    Ok(())
}

/// The date of a time in UTC, `2026-01-31`.
fn date(seconds: u64) -> String {
    // Days since 0000-03-01, in eras of 400 years (Howard Hinnant, "chrono-compatible low-level date
    // algorithms").
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let day = |days: u64| date(days * 86_400);
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(11_016), "2000-02-29");
        assert_eq!(day(11_017), "2000-03-01");
        assert_eq!(day(20_453), "2025-12-31");
        assert_eq!(date(86_399), "1970-01-01");
    }
}
