//! `picnix sbom` and `picnix licenses`: what is in an image, and under which terms.

use std::process::ExitCode;

use picnix_engine::Engine;
use picnix_engine::bill::{self, Bill, Kind, Texts};
use serde_json::json;

use super::{Context, Outcome, system};
use crate::args::{BillArgs, LicensesArgs, SbomArgs, SbomFormat};
use crate::error::CommandError;
use crate::output;

/// What separates one text from the next.
const RULE: &str =
    "========================================================================";

/// `picnix sbom`
pub(crate) fn sbom(context: Context, args: &SbomArgs) -> Outcome {
    let (engine, bill) = bill_of(context, &args.bill)?;
    let store_dir = &engine.config.store_dir;
    let document = match args.format {
        SbomFormat::Spdx => bill::spdx(&bill, store_dir),
        SbomFormat::Cyclonedx => bill::cyclonedx(&bill, store_dir),
    };
    output::line(&format!("{document:#}"))?;
    Ok(ExitCode::SUCCESS)
}

/// `picnix licenses`
pub(crate) fn licenses(context: Context, args: &LicensesArgs) -> Outcome {
    let (engine, bill) = bill_of(context, &args.bill)?;
    if args.json {
        let packages: Vec<_> = bill
            .packages()
            .map(|part| {
                json!({
                    "name": part.name, "version": part.version, "license": part.about.license
                })
            })
            .collect();
        let texts =
            if args.list { Texts::default() } else { bill::texts(&engine, &bill)? };
        let texts: Vec<_> = texts
            .texts
            .iter()
            .map(|text| {
                let places: Vec<_> = text
                    .places
                    .iter()
                    .map(|(title, file)| json!({ "package": title, "file": file }))
                    .collect();
                json!({ "places": places, "text": text.text })
            })
            .collect();
        output::line(&json!({ "packages": packages, "texts": texts }).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    list(&bill)?;
    if !args.list {
        show(&bill::texts(&engine, &bill)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn bill_of(
    mut context: Context,
    args: &BillArgs,
) -> Result<(Engine, Bill), CommandError> {
    let options = system::options(&mut context, &args.config)?;
    let engine = context.engine(&args.config.jobs);
    let format = args.image.as_deref();
    let bill =
        system::system(&args.config).bill(&engine, &options, format, output::error)?;
    Ok((engine, bill))
}

/// The packages with their licences, and what has none.
fn list(bill: &Bill) -> Result<(), CommandError> {
    for part in bill.packages() {
        let license = part.about.license.as_deref().unwrap_or("no licence is stated");
        output::line(&format!("{}: {license}", part.title()))?;
    }
    let others: Vec<&str> = bill
        .components
        .iter()
        .filter(|part| part.kind != Kind::Package)
        .map(|part| part.name.as_str())
        .collect();
    if !others.is_empty() {
        output::line(&format!("from the configuration: {}", others.join(", ")))?;
    }
    Ok(())
}

fn show(texts: &Texts) -> Result<(), CommandError> {
    for text in &texts.texts {
        output::line(&format!("\n{RULE}"))?;
        for (title, file) in &text.places {
            output::line(&format!("{title}: {file}"))?;
        }
        output::line(&format!("{RULE}\n\n{}", text.text.trim_end()))?;
    }
    for title in &texts.without {
        output::error(&format!("warning: no text of a licence was found in {title}"));
    }
    Ok(())
}
