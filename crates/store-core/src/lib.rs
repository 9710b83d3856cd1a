//! Pure formats of the Nix store: hashes, encodings, NAR, store paths, derivations, narinfo, signatures.
