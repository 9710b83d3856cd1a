//! Base 16, Nix's base 32 and base 64, exactly as lenient as Nix.
//!
//! Nix's base 32 prints a digest as one little-endian number, most significant digit first, in an
//! alphabet without `e`, `o`, `t`, `u`. Its base 64 decoder skips newlines, stops at the first `=`
//! and needs no padding; callers check the decoded length.

use crate::error::{Error, Result, show_byte};

/// The digits of Nix's base 32.
pub const NIX32_DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

const SECONDS_PER_DAY: u64 = 86_400;

const BASE16_DIGITS: &[u8; 16] = b"0123456789abcdef";
/// The two digits of each byte.
const BASE16_PAIRS: [[u8; 2]; 256] = {
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = [BASE16_DIGITS[byte >> 4], BASE16_DIGITS[byte & 15]];
        byte += 1;
    }
    table
};
const BASE64_DIGITS: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Marks a byte that is no digit in the tables below.
pub(crate) const NO_DIGIT: u8 = 0xff;
/// The value of each byte as a digit of Nix's base 32.
pub(crate) const NIX32_VALUES: [u8; 256] = values(NIX32_DIGITS);
const BASE64_VALUES: [u8; 256] = values(BASE64_DIGITS);

const fn values(digits: &[u8]) -> [u8; 256] {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0u8;
    while (value as usize) < digits.len() {
        table[digits[value as usize] as usize] = value;
        value += 1;
    }
    table
}

/// Prints lower-case hexadecimal digits.
pub fn base16_encode(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    base16_digits(bytes, &mut text);
    String::from_utf8(text).expect("digits are ASCII")
}

/// Writes the lower-case hexadecimal digits of `bytes`, two for each, into `text`.
pub(crate) fn base16_digits(bytes: &[u8], text: &mut [u8]) {
    let (pairs, _) = text.as_chunks_mut::<2>();
    for (pair, &byte) in pairs.iter_mut().zip(bytes) {
        *pair = BASE16_PAIRS[usize::from(byte)];
    }
}

/// Parses hexadecimal digits of either case.
pub fn base16_decode(text: &[u8]) -> Result<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(bad("Base16", byte)),
    };
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.chunks(2) {
        let high = digit(pair[0])?;
        let low = digit(pair.get(1).copied().unwrap_or(b'0'))?;
        bytes.push(high << 4 | low);
    }
    Ok(bytes)
}

/// The number of base 32 digits that `len` bytes take.
pub const fn nix32_len(len: usize) -> usize {
    (len * 8).div_ceil(5)
}

/// Prints bytes in Nix's base 32.
pub fn nix32_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(nix32_len(bytes.len()));
    for n in (0..nix32_len(bytes.len())).rev() {
        text.push(char::from(nix32_digit(bytes, n)));
    }
    text
}

/// Writes a store path's digest as its 32 characters, without an allocation.
pub(crate) fn nix32_digest(digest: &[u8; 20]) -> [u8; 32] {
    let mut text = [0; 32];
    // Five bytes are eight digits.
    let (groups, _) = digest.as_chunks::<5>();
    let (places, _) = text.as_chunks_mut::<8>();
    for ([a, b, c, d, e], place) in groups.iter().zip(places.iter_mut().rev()) {
        let mut number = u64::from_le_bytes([*a, *b, *c, *d, *e, 0, 0, 0]);
        for slot in place.iter_mut().rev() {
            *slot = NIX32_DIGITS[(number & 31) as usize];
            number >>= 5;
        }
    }
    text
}

/// The digit that stands for bits `5 * n ..` of the little-endian number `bytes`.
fn nix32_digit(bytes: &[u8], n: usize) -> u8 {
    let (byte, bit) = (n * 5 / 8, n * 5 % 8);
    let low = u16::from(bytes[byte]);
    let high = u16::from(bytes.get(byte + 1).copied().unwrap_or(0));
    let value = (low | high << 8) >> bit & 31;
    NIX32_DIGITS[usize::from(value)]
}

/// Parses Nix's base 32.
///
/// As in Nix, bits beyond the last whole byte make the result one byte longer when they are not
/// zero, so that the caller's check of the length refuses them.
pub fn nix32_decode(text: &[u8]) -> Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity((text.len() * 5).div_ceil(8));
    for (n, &character) in text.iter().rev().enumerate() {
        let digit = NIX32_VALUES[usize::from(character)];
        if digit == NO_DIGIT {
            return Err(bad("Nix32 (Nix's Base32 variation)", character));
        }
        let (byte, bit) = (n * 5 / 8, n * 5 % 8);
        let shifted = u16::from(digit) << bit;
        bytes.resize(byte + 1, 0);
        bytes[byte] |= (shifted & 0xff) as u8;
        if shifted > 0xff {
            bytes.push((shifted >> 8) as u8);
        }
    }
    Ok(bytes)
}

/// Prints base 64 with padding.
pub fn base64_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = [0u8; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes(bits);
        for digit in 0..4 {
            if digit <= group.len() {
                let value = number >> (18 - 6 * digit) & 63;
                text.push(char::from(BASE64_DIGITS[value as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// Parses base 64: newlines are skipped, the first `=` ends the text, missing padding is fine.
pub fn base64_decode(text: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity((text.len() + 2) / 4 * 3);
    let (mut number, mut bits) = (0u32, 0);
    for &character in text {
        match character {
            b'=' => break,
            b'\n' => continue,
            _ => {}
        }
        let digit = BASE64_VALUES[usize::from(character)];
        if digit == NO_DIGIT {
            return Err(bad("Base64", character));
        }
        number = number << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((number >> bits & 0xff) as u8);
        }
    }
    Ok(bytes)
}

fn bad(encoding: &'static str, byte: u8) -> Error {
    Error::Character { encoding, character: show_byte(byte) }
}

/// Seconds since 1970 as `YYYYMMDDhhmmss`, in UTC: the dates of flakes, and of requests to S3.
#[must_use]
pub fn date_digits(seconds: u64) -> String {
    let (days, rest) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    // Years that begin in March put the odd day at the end; 400 of them are 146,097 days.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524
        - day_of_era / 146_096)
        / 365;
    let day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_vectors() {
        assert_eq!(base64_encode(b"abcd"), "YWJjZA==");
        assert_eq!(base16_encode(&[0, 0xaf]), "00af");
        assert_eq!(nix32_encode(&[0x1f]), "0z");
        assert_eq!(nix32_encode(&[]), "");
    }

    #[test]
    fn base64_is_as_lenient_as_nix() {
        assert_eq!(base64_decode(b"YWJjZA").unwrap(), b"abcd");
        assert_eq!(base64_decode(b"YWJj\nZA==junk!").unwrap(), b"abcd");
        assert!(base64_decode(b"YW Jj").is_err());
    }

    #[test]
    fn nix32_overflow_is_a_byte_too_many() {
        // 52 digits carry 260 bits; a digest has 256.
        let text = [b'z'; 52];
        assert_eq!(nix32_decode(&text).unwrap().len(), 33);
    }

    proptest! {
        #[test]
        fn round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(&base16_decode(base16_encode(&bytes).as_bytes()).unwrap(), &bytes);
            prop_assert_eq!(&base64_decode(base64_encode(&bytes).as_bytes()).unwrap(), &bytes);
            let mut back = nix32_decode(nix32_encode(&bytes).as_bytes()).unwrap();
            prop_assert!(back.len() >= bytes.len());
            back.truncate(bytes.len());
            prop_assert_eq!(&back, &bytes);
        }

        #[test]
        fn a_digest_is_printed_like_other_bytes(bytes in any::<[u8; 20]>()) {
            prop_assert_eq!(nix32_digest(&bytes).to_vec(), nix32_encode(&bytes).into_bytes());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (base16_decode(&bytes), base64_decode(&bytes), nix32_decode(&bytes));
        }
    }

    #[test]
    fn dates_are_utc() {
        assert_eq!(date_digits(0), "19700101000000");
        assert_eq!(date_digits(951_827_696), "20000229123456");
        assert_eq!(date_digits(1_700_000_000), "20231114221320");
    }
}
