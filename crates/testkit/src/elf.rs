//! What tests that run a program of the machine elsewhere have to know of it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The type of the program header that names the dynamic linker (`PT_INTERP`).
const PROGRAM_INTERPRETER: u32 = 3;

/// The dynamic linker that a 64-bit little-endian ELF file names; none where it needs none.
#[must_use]
pub fn interpreter(elf: &[u8]) -> Option<PathBuf> {
    let word = |at: usize| {
        let bytes = elf.get(at..at + 8)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let half = |at: usize| {
        let bytes = elf.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(u16::from_le_bytes(bytes)))
    };
    let (table, size, count) = (word(32)?, half(54)?, half(56)?);
    let entry = (0..count)
        .map(|index| table + index * size)
        .find(|at| elf.get(*at..at + 4) == Some(&PROGRAM_INTERPRETER.to_le_bytes()))?;
    let (offset, length) = (word(entry + 8)?, word(entry + 32)?);
    // The name ends with a NUL.
    let name = elf.get(offset..(offset + length).checked_sub(1)?)?;
    Some(PathBuf::from(OsStr::from_bytes(name)))
}
