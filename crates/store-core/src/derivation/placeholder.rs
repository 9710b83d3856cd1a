//! Placeholders: texts that stand for output paths that are not known yet.
//!
//! A placeholder is a slash and a SHA-256 in base 32, so that it has no store directory and cannot
//! be mistaken for a path. The builder or the scheduler replaces it.

use std::fmt;

use crate::encoding::nix32_encode;
use crate::error::Result;
use crate::hash::Sha256;
use crate::store_path::{OutputName, StorePath};

/// The text that stands for a derivation's own output (`builtins.placeholder`).
///
/// Any text is fine here, as in Nix: the output need not exist.
pub fn hash_placeholder(output: &[u8]) -> String {
    let text = [b"nix-output:".as_slice(), output].concat();
    Placeholder(Sha256::of(&text)).to_string()
}

/// The text that stands for an output of another derivation whose path follows from its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholder(Sha256);

impl Placeholder {
    /// Stands for an output of the derivation at `drv_path`, which must end in `.drv`.
    pub fn of_output(drv_path: &StorePath, output: &OutputName) -> Result<Self> {
        let digest = drv_path.digest_text();
        let name = output.object_name(drv_path.derivation_name()?);
        let text = [b"nix-upstream-output:", &digest[..], b":", name.as_bytes()].concat();
        Ok(Self(Sha256::of(&text)))
    }

    /// Stands for an output of the derivation that `self` stands for.
    pub fn of_dynamic_output(self, output: &OutputName) -> Self {
        let digest = nix32_encode(&self.0.fold());
        Self(Sha256::of(format!("nix-computed-output:{digest}:{output}").as_bytes()))
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.nix32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_placeholders() {
        assert_eq!(
            hash_placeholder(b"out"),
            "/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9"
        );
        let drv = b"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo.drv";
        let drv = StorePath::parse(drv).unwrap();
        let placeholder = Placeholder::of_output(&drv, &OutputName::out()).unwrap();
        assert_eq!(
            placeholder.to_string(),
            "/0c6rn30q4frawknapgwq386zq358m8r6msvywcvc89n6m5p2dgbz"
        );
        let plain = StorePath::parse(b"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo").unwrap();
        assert!(Placeholder::of_output(&plain, &OutputName::out()).is_err());
    }
}
