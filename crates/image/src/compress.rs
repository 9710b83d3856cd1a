//! Compression of whole images, the same bytes on every machine.
//!
//! Every encoder runs on one thread with settings fixed here: a block-parallel encoder would
//! make the bytes depend on the number of processors or cost size. Windows are sized to the
//! content, since whoever boots the image pays for the window in memory. The kernel's decoders
//! set the rules: xz needs CRC32 and knows no filter but its own architecture's.

use crate::ImageError;
use flate2::write::GzEncoder;
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;
use std::fmt;
use std::io::{self, Write};

/// `LZMA_PRESET_EXTREME` of liblzma's `lzma/container.h`.
const XZ_PRESET_EXTREME: u32 = 1 << 31;
/// The smallest dictionary that LZMA2 can express.
const XZ_DICT_MIN_BYTES: u64 = 4096;
/// Preset 9's own dictionary.
const XZ_DICT_MAX_BYTES: u64 = 64 << 20;
/// The highest level; the window is bounded below.
const ZSTD_LEVEL: i32 = 22;
/// 8 MiB, which every decoder takes without being asked (RFC 8878, section 3.1.1.1.2).
const ZSTD_WINDOW_MAX_LOG2: u32 = 23;
/// The smallest window that zstd knows.
const ZSTD_WINDOW_MIN_LOG2: u32 = 10;

/// A filter that xz applies before compressing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XzFilter {
    /// None.
    None,
    /// Branch addresses of x86 code made absolute; only an x86 kernel with `XZ_DEC_X86` reads it.
    X86,
}

/// How an image is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Deflate in a gzip header without name or time.
    Gzip,
    /// LZMA2 at preset 9, extreme, with CRC32.
    Xz(XzFilter),
    /// Zstandard at its highest level.
    Zstd,
}

impl Compression {
    /// All there are, in the order in which messages list them.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Gzip,
        Self::Xz(XzFilter::None),
        Self::Xz(XzFilter::X86),
        Self::Zstd,
    ];

    /// The name in image descriptions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz(XzFilter::None) => "xz",
            Self::Xz(XzFilter::X86) => "xz-x86",
            Self::Zstd => "zstd",
        }
    }

    /// Parses a [`Compression::name`].
    pub fn parse(name: &str) -> Result<Self, ImageError> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| {
            ImageError::UnknownCompression {
                name: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            }
        })
    }

    /// What a compressed file's name ends with, dot included; nothing for no compression.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz(_) => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// Returns a writer that compresses into `out`; `content_bytes` is what will be written.
    ///
    /// For zstd the size is a promise, kept in the frame's header: another number of bytes is an
    /// error of [`Encoder::finish`].
    pub fn encoder<W: Write>(
        self,
        out: W,
        content_bytes: u64,
    ) -> Result<Encoder<W>, ImageError> {
        let failed = |source| ImageError::Compressor { name: self.name(), source };
        Ok(match self {
            Self::None => Encoder::None(out),
            Self::Gzip => Encoder::Gzip(GzEncoder::new(out, flate2::Compression::best())),
            Self::Xz(filter) => {
                let stream = xz_stream(filter, content_bytes)
                    .map_err(|e| failed(io::Error::from(e)))?;
                Encoder::Xz(XzEncoder::new_stream(out, stream))
            }
            Self::Zstd => {
                Encoder::Zstd(zstd_encoder(out, content_bytes).map_err(failed)?)
            }
        })
    }
}

impl Compression {
    /// Compresses one block as squashfs stores it: a stream of its own, which for gzip has zlib's header.
    pub(crate) fn block(self, bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
        let failed = |source| ImageError::Compressor { name: self.name(), source };
        if self == Self::Gzip {
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).map_err(failed)?;
            return encoder.finish().map_err(failed);
        }
        let mut encoder = self.encoder(Vec::new(), bytes.len() as u64)?;
        encoder.write_all(bytes).map_err(failed)?;
        encoder.finish().map_err(failed)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn xz_stream(
    filter: XzFilter,
    content_bytes: u64,
) -> Result<Stream, liblzma::stream::Error> {
    let mut options = LzmaOptions::new_preset(9 | XZ_PRESET_EXTREME)?;
    options.dict_size(xz_dict_bytes(content_bytes));
    let mut filters = Filters::new();
    if filter == XzFilter::X86 {
        filters.x86();
    }
    filters.lzma2(&options);
    Stream::new_stream_encoder(&filters, Check::Crc32)
}

/// The smallest of 2^n and 2^n + 2^(n-1), the sizes LZMA2's header can express, that holds the
/// content.
fn xz_dict_bytes(content_bytes: u64) -> u32 {
    let wanted = content_bytes.clamp(XZ_DICT_MIN_BYTES, XZ_DICT_MAX_BYTES);
    let power = wanted.next_power_of_two();
    let between = power / 4 * 3;
    let size =
        if between >= wanted && between >= XZ_DICT_MIN_BYTES { between } else { power };
    u32::try_from(size).expect("a dictionary is at most 64 MiB")
}

fn zstd_encoder<W: Write>(
    out: W,
    content_bytes: u64,
) -> io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
    let needed_log2 = 64 - content_bytes.saturating_sub(1).leading_zeros();
    encoder.window_log(needed_log2.clamp(ZSTD_WINDOW_MIN_LOG2, ZSTD_WINDOW_MAX_LOG2))?;
    encoder.set_pledged_src_size(Some(content_bytes))?;
    encoder.include_checksum(false)?;
    Ok(encoder)
}

/// A writer that compresses; [`Encoder::finish`] must be called.
pub enum Encoder<W: Write> {
    /// Passes bytes through.
    None(W),
    /// Deflates.
    Gzip(GzEncoder<W>),
    /// LZMA2.
    Xz(XzEncoder<W>),
    /// Zstandard.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Writes what is still held back and returns the inner writer.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Xz(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Xz(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing a compressor ends a block and changes the bytes, so only a plain writer is.
        match self {
            Self::None(out) => out.flush(),
            Self::Gzip(_) | Self::Xz(_) | Self::Zstd(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn sample() -> Vec<u8> {
        (0..300_000u32)
            .flat_map(|n| ((n / 7).wrapping_mul(2_654_435_761) >> 20).to_le_bytes())
            .collect()
    }

    fn compress(compression: Compression, content: &[u8], chunk: usize) -> Vec<u8> {
        let mut encoder = compression.encoder(Vec::new(), content.len() as u64).unwrap();
        for part in content.chunks(chunk) {
            encoder.write_all(part).unwrap();
            encoder.flush().unwrap();
        }
        encoder.finish().unwrap()
    }

    fn decompress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reader: Box<dyn Read> = match compression {
            Compression::None => Box::new(bytes),
            Compression::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
            Compression::Xz(_) => Box::new(liblzma::read::XzDecoder::new(bytes)),
            Compression::Zstd => Box::new(zstd::Decoder::new(bytes).unwrap()),
        };
        reader.read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn every_compression_round_trips_whatever_the_chunks() {
        let content = sample();
        for compression in Compression::ALL {
            let whole = compress(compression, &content, content.len());
            assert_eq!(decompress(compression, &whole), content, "{compression}");
            assert_eq!(compress(compression, &content, 4099), whole, "{compression}");
            assert_eq!(Compression::parse(compression.name()).unwrap(), compression);
            let nothing = compress(compression, b"", 1);
            assert_eq!(decompress(compression, &nothing), b"", "{compression}");
        }
    }

    #[test]
    fn an_unknown_compression_lists_the_known() {
        let error = Compression::parse("lzo").unwrap_err();
        insta::assert_snapshot!(error, @r#"unknown compression "lzo"; there are: none, gzip, xz, xz-x86, zstd"#);
    }

    #[test]
    fn dictionaries_fit_the_content() {
        for (content, dict) in [
            (0, 4096),
            (4096, 4096),
            (4097, 6144),
            (6145, 8192),
            (100 << 10, 128 << 10),
            (90 << 10, 96 << 10),
            (1 << 40, 64 << 20),
        ] {
            assert_eq!(xz_dict_bytes(content), dict, "{content}");
        }
    }

    #[test]
    fn xz_uses_crc32_and_gzip_names_no_time() {
        let xz = compress(Compression::Xz(XzFilter::None), b"x", 1);
        assert_eq!(xz[7], 1, "the stream flags' check id");
        let gzip = compress(Compression::Gzip, b"x", 1);
        assert_eq!(&gzip[4..8], [0; 4], "the modification time");
        assert_eq!(gzip[9], 255, "the operating system");
    }

    #[test]
    fn zstd_refuses_another_size_than_promised() {
        let mut encoder = Compression::Zstd.encoder(Vec::new(), 5).unwrap();
        let written = encoder.write_all(b"abc").and_then(|()| encoder.finish().map(drop));
        assert!(written.is_err());
    }
}
