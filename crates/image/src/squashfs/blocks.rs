//! The data of files, cut into blocks and compressed in parallel.
//!
//! Blocks are collected until every processor has some, compressed, and appended in the order in which
//! they were cut: where one lands does not depend on who compressed it.

use super::{BLOCK_BYTES, compress};
use crate::{Compression, ContentSource, Entry, ImageError, ImagePath, content};
use std::io::Read;
use std::thread;

/// How many blocks are in memory before they are compressed.
const BATCH_BLOCKS: usize = 64;
/// In the size of a block that is stored as it is.
const UNCOMPRESSED: u32 = 1 << 24;

/// The blocks of a file, by number.
#[derive(Debug)]
pub(super) struct FileBlocks {
    first: usize,
    count: usize,
    pub(super) fragment: Option<Fragment>,
}

/// The end of a file, in a block that it shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fragment {
    /// Which fragment.
    pub(super) index: u32,
    /// Where in it.
    pub(super) offset: u32,
}

/// A block that was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Counted from the beginning of the image.
    pub(super) start: u64,
    /// Its length, and whether it is stored as it is.
    pub(super) size: u32,
}

/// Everything that was written.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) bytes: Vec<u8>,
    blocks: Vec<Block>,
    /// The blocks that are fragments.
    pub(super) fragments: Vec<Block>,
}

impl Data {
    /// Where a file's first block is; 0 for a file without any.
    pub(super) fn start_of(&self, file: &FileBlocks) -> u64 {
        if file.count == 0 { 0 } else { self.blocks[file.first].start }
    }

    /// The sizes of a file's blocks.
    pub(super) fn sizes_of(&self, file: &FileBlocks) -> Vec<u32> {
        let blocks = &self.blocks[file.first..file.first + file.count];
        blocks.iter().map(|block| block.size).collect()
    }
}

/// Takes files one after the other.
pub(super) struct BlockWriter {
    compression: Compression,
    base: u64,
    bytes: Vec<u8>,
    /// Blocks of files and fragments, in the order in which they are written.
    written: Vec<Block>,
    waiting: Vec<Vec<u8>>,
    /// The ends of files that still fill no block.
    fragment: Vec<u8>,
    /// Which of all blocks are fragments.
    fragments: Vec<usize>,
}

impl BlockWriter {
    pub(super) const fn new(compression: Compression, base: u64) -> Self {
        Self {
            compression,
            base,
            bytes: Vec::new(),
            written: Vec::new(),
            waiting: Vec::new(),
            fragment: Vec::new(),
            fragments: Vec::new(),
        }
    }

    pub(super) fn add_file(
        &mut self,
        path: &ImagePath,
        entry: &Entry,
        source: &dyn ContentSource,
    ) -> Result<FileBlocks, ImageError> {
        let expected_bytes = source.size_bytes();
        let mut file = FileBlocks { first: self.next(), count: 0, fragment: None };
        let mut reader =
            source.open().map_err(|e| content::unreadable(path, entry, e))?;
        let mut read_bytes = 0;
        loop {
            let mut block = Vec::new();
            let count = (&mut reader)
                .take(BLOCK_BYTES as u64)
                .read_to_end(&mut block)
                .map_err(|e| content::unreadable(path, entry, e))?;
            read_bytes += count as u64;
            if read_bytes > expected_bytes {
                return Err(content::wrong_size(path, entry, expected_bytes, "more"));
            }
            if count == BLOCK_BYTES {
                file.count += 1;
                self.push(block)?;
                continue;
            }
            if read_bytes < expected_bytes {
                let found = read_bytes.to_string();
                return Err(content::wrong_size(path, entry, expected_bytes, &found));
            }
            if count > 0 {
                file.fragment = Some(self.add_fragment(&block)?);
            }
            return Ok(file);
        }
    }

    /// Puts the end of a file behind those of others. A block of the file at hand is never waited
    /// for: its own ones come first.
    fn add_fragment(&mut self, end: &[u8]) -> Result<Fragment, ImageError> {
        if self.fragment.len() + end.len() > BLOCK_BYTES {
            self.flush_fragment()?;
        }
        let narrow = |number| u32::try_from(number).expect("one per MiB, and below it");
        let place = Fragment {
            index: narrow(self.fragments.len()),
            offset: narrow(self.fragment.len()),
        };
        self.fragment.extend_from_slice(end);
        Ok(place)
    }

    fn flush_fragment(&mut self) -> Result<(), ImageError> {
        let block = std::mem::take(&mut self.fragment);
        if block.is_empty() {
            return Ok(());
        }
        self.fragments.push(self.next());
        self.push(block)
    }

    fn next(&self) -> usize {
        self.written.len() + self.waiting.len()
    }

    fn push(&mut self, block: Vec<u8>) -> Result<(), ImageError> {
        self.waiting.push(block);
        if self.waiting.len() >= BATCH_BLOCKS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ImageError> {
        let blocks = std::mem::take(&mut self.waiting);
        let packed = compress_all(&blocks, self.compression)?;
        for (plain, packed) in blocks.iter().zip(packed) {
            let (bytes, flag) = match &packed {
                Some(packed) => (packed, 0),
                None => (plain, UNCOMPRESSED),
            };
            let length = u32::try_from(bytes.len()).expect("at most 1 MiB");
            let start = self.base + self.bytes.len() as u64;
            self.written.push(Block { start, size: length | flag });
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Data, ImageError> {
        self.flush_fragment()?;
        self.flush()?;
        let fragments = self.fragments.iter().map(|index| self.written[*index]).collect();
        Ok(Data { bytes: self.bytes, blocks: self.written, fragments })
    }
}

/// What compressing one block gave.
type Packed = Result<Option<Vec<u8>>, ImageError>;

/// Compresses blocks on all processors; the results are in the blocks' order.
fn compress_all(
    blocks: &[Vec<u8>],
    compression: Compression,
) -> Result<Vec<Option<Vec<u8>>>, ImageError> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = blocks.len().div_ceil(workers).max(1);
    let packed: Vec<Vec<Packed>> = thread::scope(|scope| {
        let running: Vec<_> = blocks
            .chunks(share)
            .map(|share| {
                scope.spawn(move || {
                    share.iter().map(|block| compress(block, compression)).collect()
                })
            })
            .collect();
        running.into_iter().map(|worker| worker.join().expect("no panics")).collect()
    });
    packed.into_iter().flatten().collect()
}
