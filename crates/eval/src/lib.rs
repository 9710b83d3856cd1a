//! The evaluator of the Nix language: names resolved, values, thunks, builtins.
