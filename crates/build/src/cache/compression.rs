//! The compressions of NARs: every one that caches use can be undone, the common ones can be made.
//!
//! All are streams: memory is that of the algorithm's window, which is bounded for those where the
//! input chooses it. Only what becomes zstd is cut into pieces that are compressed at once, one frame each:
//! a stream's window lies in two parts of a ring most of the time, and matches across these take almost
//! twice the time.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};

use picnix_store::Room;

use crate::cache::error::CacheError;

/// The most memory that undoing xz may take: the strongest usual setting (`-9`) needs 65 MiB.
const XZ_MEMORY_LIMIT: u64 = 256 << 20;
/// The largest window of zstd, as a power of two; `--ultra` settings use 27.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// How much of a brotli stream is read at a time.
const BROTLI_BUFFER: usize = 64 * 1024;
/// How much becomes one frame of zstd: two windows of the usual level, so that little is lost by it and the
/// processor has it near.
const ZSTD_FRAME_BYTES: usize = 1 << 20;
/// Usual settings where none is given.
const XZ_LEVEL: i32 = 6;
const ZSTD_LEVEL: i32 = 1;
const BZIP2_LEVEL: i32 = 9;
const GZIP_LEVEL: i32 = 6;

/// How a NAR is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// xz, Nix's default.
    Xz,
    /// Zstandard, ours.
    Zstd,
    /// bzip2, what old caches meant by naming nothing.
    Bzip2,
    /// gzip
    Gzip,
    /// Brotli; can only be undone.
    Brotli,
    /// The frame format of LZ4; can only be undone.
    Lz4,
}

impl Compression {
    /// The compression of a name, as narinfos and addresses have it.
    ///
    /// # Errors
    /// [`CacheError::Compression`]
    pub fn parse(name: &str) -> Result<Self, CacheError> {
        Ok(match name {
            "none" | "" => Self::None,
            "xz" => Self::Xz,
            "zstd" => Self::Zstd,
            "bzip2" => Self::Bzip2,
            "gzip" => Self::Gzip,
            "br" => Self::Brotli,
            "lz4" => Self::Lz4,
            _ => return Err(CacheError::Compression(name.to_owned())),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Lz4 => "lz4",
        }
    }

    /// What is added to the name of a file.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Bzip2 => ".bz2",
            Self::Gzip => ".gz",
            Self::Brotli => ".br",
            Self::Lz4 => ".lz4",
        }
    }

    /// Undoes it.
    pub(crate) fn decoder<'a>(
        self,
        source: impl BufRead + 'a,
    ) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(source),
            Self::Xz => {
                let flags = liblzma::stream::CONCATENATED;
                let stream =
                    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_LIMIT, flags)
                        .map_err(io::Error::other)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(source, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(source)),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            Self::Brotli => {
                Box::new(brotli_decompressor::Decompressor::new(source, BROTLI_BUFFER))
            }
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(source)),
        })
    }

    /// Makes it.
    pub(crate) fn encoder<W: Write>(
        self,
        sink: W,
        level: Option<i32>,
    ) -> Result<Encoder<W>, CacheError> {
        let of =
            |usual: i32, most: i32| level.unwrap_or(usual).clamp(0, most).unsigned_abs();
        Ok(match self {
            Self::None => Encoder::None(sink),
            Self::Xz => {
                let level = of(XZ_LEVEL, 9);
                Encoder::Xz(liblzma::write::XzEncoder::new(sink, level))
            }
            Self::Zstd => {
                let level = level.unwrap_or(ZSTD_LEVEL);
                Encoder::Zstd(Frames::new(sink, level).map_err(|source| {
                    CacheError::Io { action: "compress", path: "zstd".into(), source }
                })?)
            }
            Self::Bzip2 => {
                let level = bzip2::Compression::new(of(BZIP2_LEVEL, 9).max(1));
                Encoder::Bzip2(bzip2::write::BzEncoder::new(sink, level))
            }
            Self::Gzip => {
                let level = flate2::Compression::new(of(GZIP_LEVEL, 9));
                Encoder::Gzip(flate2::write::GzEncoder::new(sink, level))
            }
            Self::Brotli | Self::Lz4 => {
                return Err(CacheError::Compression(format!(
                    "{}' for writing; there are 'none', 'xz', 'zstd', 'bzip2', 'gzip",
                    self.name()
                )));
            }
        })
    }
}

/// A stream being compressed. It is complete after [`Encoder::finish`] only.
pub(crate) enum Encoder<W: Write> {
    None(W),
    Xz(liblzma::write::XzEncoder<W>),
    Zstd(Frames<W>),
    Bzip2(bzip2::write::BzEncoder<W>),
    Gzip(flate2::write::GzEncoder<W>),
}

impl<W: Write> Encoder<W> {
    /// Ends the stream and gives the sink back.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(sink) => Ok(sink),
            Self::Xz(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Bzip2(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }

    /// Room for the next bytes, where they are kept in memory until there are enough of them.
    pub(crate) fn room(&mut self, max: usize) -> io::Result<Option<Room<'_>>> {
        match self {
            Self::Zstd(frames) => frames.room(max).map(Some),
            Self::None(_) | Self::Xz(_) | Self::Bzip2(_) | Self::Gzip(_) => Ok(None),
        }
    }

    /// The bytes that wait in memory to be compressed.
    pub(crate) fn waiting(&self) -> &[u8] {
        match self {
            Self::Zstd(frames) => &frames.plain,
            Self::None(_) | Self::Xz(_) | Self::Bzip2(_) | Self::Gzip(_) => &[],
        }
    }

    fn sink(&mut self) -> &mut dyn Write
    where
        W: 'static,
    {
        match self {
            Self::None(sink) => sink,
            Self::Xz(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
            Self::Bzip2(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        }
    }
}

impl<W: Write + 'static> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink().flush()
    }
}

/// Frames of zstd, which are read one after the other as one stream.
pub(crate) struct Frames<W> {
    sink: W,
    compressor: zstd::bulk::Compressor<'static>,
    /// What is not compressed yet.
    plain: Vec<u8>,
    frame: Vec<u8>,
    is_empty: bool,
}

impl<W: Write> Frames<W> {
    fn new(sink: W, level: i32) -> io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(level)?;
        Ok(Self {
            sink,
            compressor,
            plain: Vec::new(),
            frame: Vec::new(),
            is_empty: true,
        })
    }

    /// Room for the next bytes. Where frames end does not depend on how the bytes come.
    fn room(&mut self, max: usize) -> io::Result<Room<'_>> {
        if self.plain.len() == ZSTD_FRAME_BYTES {
            self.write_frame()?;
        }
        Ok(Room::within(ZSTD_FRAME_BYTES, &mut self.plain, max))
    }

    fn write_frame(&mut self) -> io::Result<()> {
        self.frame.clear();
        self.frame.reserve(zstd::zstd_safe::compress_bound(self.plain.len()));
        self.compressor.compress_to_buffer(&self.plain, &mut self.frame)?;
        self.plain.clear();
        self.is_empty = false;
        self.sink.write_all(&self.frame)
    }

    fn finish(mut self) -> io::Result<W> {
        // Nothing at all is a frame, too.
        if self.is_empty || !self.plain.is_empty() {
            self.write_frame()?;
        }
        Ok(self.sink)
    }
}

impl<W: Write> Write for Frames<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let Room { bytes: plain, most } = self.room(bytes.len())?;
        plain.extend_from_slice(&bytes[..most]);
        Ok(most)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Where uploads are compressed to.
pub(crate) type FileEncoder = Encoder<super::upload::HashedFile<File>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_what_comes_out() {
        let bytes: Vec<u8> =
            (0..200_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for name in ["none", "xz", "zstd", "bzip2", "gzip"] {
            let compression = Compression::parse(name).unwrap();
            let mut encoder = compression.encoder(Vec::new(), None).unwrap();
            encoder.write_all(&bytes).unwrap();
            let packed = encoder.finish().unwrap();
            let mut out = Vec::new();
            compression.decoder(&*packed).unwrap().read_to_end(&mut out).unwrap();
            assert!(out == bytes, "{name}");
            assert_eq!(compression.name(), name);
            if compression != Compression::None {
                let mut cut = compression.decoder(&packed[..packed.len() / 2]).unwrap();
                let mut out = Vec::new();
                assert!(
                    cut.read_to_end(&mut out).is_err() || out.len() < bytes.len(),
                    "{name} must not make up what is missing"
                );
            }
        }
        assert!(Compression::Brotli.encoder(Vec::new(), None).is_err());
    }

    #[test]
    fn frames_of_zstd_are_one_stream() {
        let numbers = (0..=250_u8).flat_map(|byte| [byte; 1000]).cycle();
        let bytes: Vec<u8> = numbers.take(2 * ZSTD_FRAME_BYTES + 5).collect();
        for len in [0, 1, ZSTD_FRAME_BYTES, ZSTD_FRAME_BYTES + 1, bytes.len()] {
            let mut encoder = Compression::Zstd.encoder(Vec::new(), None).unwrap();
            for piece in bytes[..len].chunks(70_001) {
                encoder.write_all(piece).unwrap();
            }
            let packed = encoder.finish().unwrap();
            assert!(!packed.is_empty());
            // The same bytes put into the encoder's memory give the same frames.
            let mut encoder = Compression::Zstd.encoder(Vec::new(), None).unwrap();
            let mut rest = &bytes[..len];
            while !rest.is_empty() {
                let room = encoder.room(rest.len().min(300_007)).unwrap().unwrap();
                let (now, later) = rest.split_at(room.most);
                room.bytes.extend_from_slice(now);
                rest = later;
            }
            assert!(encoder.finish().unwrap() == packed, "{len}");
            let mut out = Vec::new();
            Compression::Zstd.decoder(&*packed).unwrap().read_to_end(&mut out).unwrap();
            assert!(out == bytes[..len], "{len}");
        }
    }

    #[test]
    fn lz4_and_brotli_can_be_undone() {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(b"some bytes").unwrap();
        let packed = encoder.finish().unwrap();
        let mut out = String::new();
        Compression::Lz4.decoder(&*packed).unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(out, "some bytes");
        // An uncompressed metablock: "hello" as RFC 7932 section 9.2 writes it.
        let packed = b"\x0b\x02\x80hello\x03";
        let mut out = String::new();
        Compression::Brotli
            .decoder(&packed[..])
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        assert_eq!(out, "hello");
    }
}
