//! Names of experimental features, as flags and settings give them.

use picnix_engine::session::EvalOptions;
use picnix_eval::Feature;

/// Features of Nix that change nothing here, or are always on.
const WITHOUT_EFFECT: &[&str] = &[
    "auto-allocate-uids",
    "cgroups",
    "daemon-trust-override",
    "fetch-tree",
    "flakes",
    "nix-command",
    "no-url-literals",
    "read-only-local-store",
    "recursive-nix",
    "verified-fetches",
];

/// Turns a feature on. Says whether there is one of that name.
pub(crate) fn enable(options: &mut EvalOptions, name: &str) -> bool {
    match Feature::parse(name) {
        Some(feature) => options.features.enable(feature),
        None if name == "pipe-operators" => options.pipe_operators = true,
        None => return WITHOUT_EFFECT.contains(&name),
    }
    true
}
