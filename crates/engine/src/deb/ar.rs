//! The outer archive of a Debian package.
//!
//! Format: deb(5) and ar(5): eight bytes of magic, then members of a 60-byte header in text and
//! contents padded to two bytes. The first member is `debian-binary`, and the data is the last
//! that anybody reads, so a package is read once from front to back.

use super::{DebError, read_error};
use std::io::{self, Read, Take};

pub(super) const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_BYTES: usize = 60;
/// The contents of `debian-binary` are `2.0` and a newline.
const MAX_VERSION_BYTES: u64 = 64;

/// How the data of a package is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataCompression {
    None,
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

/// Reads up to the data of a package.
pub(super) fn open_data<R: Read>(
    package: &str,
    mut reader: R,
) -> Result<(DataCompression, Take<R>), DebError> {
    let not_deb = |reason| DebError::NotDeb { package: package.to_owned(), reason };
    let mut magic = [0; 8];
    reader.read_exact(&mut magic).map_err(|e| read_error(package, e))?;
    if magic != *MAGIC {
        return Err(not_deb("it is no ar archive"));
    }
    let mut is_first = true;
    loop {
        let (name, size) = read_header(package, &mut reader)?;
        match name.as_str() {
            "debian-binary" if is_first => check_version(package, &mut reader, size)?,
            _ if is_first => return Err(not_deb("it does not begin with debian-binary")),
            // deb(5): members that begin with an underscore may be ignored.
            name if name.starts_with("control.tar") || name.starts_with('_') => {
                skip(package, &mut reader, size)?;
            }
            name => {
                let compression = match name.strip_prefix("data.tar") {
                    Some("") => DataCompression::None,
                    Some(".gz") => DataCompression::Gzip,
                    Some(".xz") => DataCompression::Xz,
                    Some(".zst") => DataCompression::Zstd,
                    Some(".bz2") => DataCompression::Bzip2,
                    Some(_) => {
                        let (package, member) = (package.to_owned(), name.to_owned());
                        return Err(DebError::Compression { package, member });
                    }
                    None => return Err(not_deb("it holds a member that nobody knows")),
                };
                return Ok((compression, reader.take(size)));
            }
        }
        is_first = false;
    }
}

/// Reads a member's name and size.
fn read_header(package: &str, reader: &mut impl Read) -> Result<(String, u64), DebError> {
    let not_deb = |reason| DebError::NotDeb { package: package.to_owned(), reason };
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).map_err(|e| read_error(package, e))?;
    let text = std::str::from_utf8(&header)
        .ok()
        .filter(|text| text.is_ascii() && text.ends_with("`\n"))
        .ok_or_else(|| not_deb("a member's header is damaged"))?;
    let name = text[..16].trim_end().trim_end_matches('/').to_owned();
    let size = text[48..58].trim_end();
    // `parse` takes a sign.
    if !size.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_deb("a member's size is no number"));
    }
    let size = size.parse().map_err(|_| not_deb("a member's size is no number"))?;
    Ok((name, size))
}

fn check_version(
    package: &str,
    reader: &mut impl Read,
    size: u64,
) -> Result<(), DebError> {
    let not_deb = |reason| DebError::NotDeb { package: package.to_owned(), reason };
    if size > MAX_VERSION_BYTES {
        return Err(not_deb("its version is no version"));
    }
    let mut version = Vec::new();
    let padded = size.next_multiple_of(2);
    reader.take(padded).read_to_end(&mut version).map_err(|e| read_error(package, e))?;
    if version.len() as u64 != padded {
        return Err(DebError::Truncated { package: package.to_owned() });
    }
    if !version.starts_with(b"2.") {
        return Err(not_deb("its version is not 2"));
    }
    Ok(())
}

fn skip(package: &str, reader: &mut impl Read, size: u64) -> Result<(), DebError> {
    let padded = size.next_multiple_of(2);
    let skipped = io::copy(&mut reader.take(padded), &mut io::sink())
        .map_err(|e| read_error(package, e))?;
    if skipped != padded {
        return Err(DebError::Truncated { package: package.to_owned() });
    }
    Ok(())
}
