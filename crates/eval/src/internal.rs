//! Files of the language that are inside the program: `<nix/...>`.
//!
//! They lie below a directory that no real file system is asked for.

/// The directory, which `<nix/...>` finds its files in.
pub(crate) const DIR: &[u8] = "/«nix-internal»".as_bytes();

/// A path as it is shown: one of a file inside the program as `<nix/...>`.
pub(crate) fn shown(path: &[u8]) -> Vec<u8> {
    match path.strip_prefix(DIR) {
        Some(rest) => [b"<nix", rest, b">"].concat(),
        None => path.to_vec(),
    }
}

/// The text of a file inside the program, by its path.
pub(crate) fn file(path: &[u8]) -> Option<&'static [u8]> {
    match path.strip_prefix(DIR)? {
        b"/fetchurl.nix" => Some(include_bytes!("internal/fetchurl.nix")),
        b"/call-flake.nix" => Some(include_bytes!("internal/call-flake.nix")),
        _ => None,
    }
}
