//! What an EFI firmware starts where the kernel needs a command line: the program of `pkgs/efiLoader`.
//!
//! It starts `\linux` beside it. The texts of which the command line is made follow a mark in its 2,048
//! bytes; `loader.S` is the other side of this file.

use crate::{ImageError, ImagePath};

/// The program's length.
pub const EFI_LOADER_BYTES: usize = 2048;
/// Where the mark is; the last digit is its version.
const MARK: usize = 1272;
const MAGIC: &[u8; 8] = b"picnixe1";
/// Where the texts are.
const LINES: usize = 1280;
/// The kernel that it starts.
const KERNEL: &str = "/linux";

/// The parts of a command line, which differs with the medium.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines<'a> {
    /// Its beginning.
    pub(crate) common: &'a str,
    /// Its end when started from a CD.
    pub(crate) on_cd: &'a str,
    /// Its end when started from a disk.
    pub(crate) on_disk: &'a str,
}

/// The program with everything that it must know.
pub(crate) fn install(
    loader: &[u8],
    kernel: &ImagePath,
    lines: Lines<'_>,
) -> Result<Vec<u8>, ImageError> {
    let invalid = |reason| Err(ImageError::Boot { reason });
    if loader.len() != EFI_LOADER_BYTES || loader[MARK..LINES] != *MAGIC {
        return invalid("the EFI loader is not one that this picnix knows");
    }
    if *kernel != ImagePath::parse(KERNEL)? {
        return invalid("the EFI loader starts \"/linux\" and no other kernel");
    }
    let mut bytes = loader.to_vec();
    let mut at = LINES;
    for text in [lines.common, lines.on_cd, lines.on_disk] {
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return invalid("the kernel command line holds something else than ASCII");
        }
        let end = at + text.len();
        if end >= EFI_LOADER_BYTES {
            return invalid("the kernel command lines take more than 765 bytes together");
        }
        bytes[at..end].copy_from_slice(text.as_bytes());
        at = end + 1;
    }
    Ok(bytes)
}

/// What the kernel's own EFI stub must be told to load an archive beside it.
pub(crate) fn initrd_parameter(path: &ImagePath) -> String {
    format!("initrd={}", path.to_string().replace('/', "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loader() -> Vec<u8> {
        let mut loader = vec![0; EFI_LOADER_BYTES];
        loader[MARK..LINES].copy_from_slice(MAGIC);
        loader
    }

    fn kernel() -> ImagePath {
        ImagePath::parse(KERNEL).unwrap()
    }

    const TEXTS: Lines<'_> =
        Lines { common: "console=ttyS0", on_cd: "root=/dev/sr0", on_disk: "root=x" };

    #[test]
    fn the_texts_follow_each_other() {
        let bytes = install(&loader(), &kernel(), TEXTS).unwrap();
        let all = b"console=ttyS0\0root=/dev/sr0\0root=x\0\0";
        assert_eq!(&bytes[LINES..LINES + all.len()], all);
        assert_eq!(bytes.len(), EFI_LOADER_BYTES);
    }

    #[test]
    fn what_the_loader_cannot_take_is_refused() {
        let mut other = loader();
        other[MARK] = b'x';
        assert!(install(&other, &kernel(), TEXTS).is_err());
        assert!(install(&other[1..], &kernel(), TEXTS).is_err());
        let elsewhere = ImagePath::parse("/boot/linux").unwrap();
        assert!(install(&loader(), &elsewhere, TEXTS).is_err());
        for common in ["ü", "a\0b", &"x".repeat(747)] {
            assert!(
                install(&loader(), &kernel(), Lines { common, ..TEXTS }).is_err(),
                "{common}"
            );
        }
        let longest = "x".repeat(746);
        let lines = Lines { common: &longest, ..TEXTS };
        assert!(install(&loader(), &kernel(), lines).is_ok());
    }

    #[test]
    fn efi_writes_paths_the_other_way() {
        let path = ImagePath::parse("/boot/initrd").unwrap();
        assert_eq!(initrd_parameter(&path), "initrd=\\boot\\initrd");
    }
}
