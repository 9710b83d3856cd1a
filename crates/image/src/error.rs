//! Everything that can go wrong between a description and the bytes of an image.

use std::io;

/// An image that cannot be described, written or read back.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A path that cannot name anything inside an image.
    #[error("the image path \"{path}\" is invalid: {reason}")]
    Path {
        /// The path as it was given, with unprintable bytes replaced.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two entries want the same path.
    #[error(
        "\"{path}\" is asked for twice: as {first_kind} by {first_origin}, and as \
         {second_kind} by {second_origin}"
    )]
    Conflict {
        /// The path both want.
        path: String,
        /// Who asked first.
        first_origin: String,
        /// What the first one is, with its mode and owner.
        first_kind: String,
        /// Who asked second.
        second_origin: String,
        /// What the second one is, with its mode and owner.
        second_kind: String,
    },
    /// An entry lies below something that is not a directory.
    #[error(
        "\"{path}\" ({origin}) lies below \"{parent}\", which is {parent_kind} and not a \
         directory ({parent_origin})"
    )]
    ParentNotDirectory {
        /// The entry that cannot be placed.
        path: String,
        /// Who asked for it.
        origin: String,
        /// The ancestor that is in the way.
        parent: String,
        /// What the ancestor is.
        parent_kind: String,
        /// Who asked for the ancestor.
        parent_origin: String,
    },
    /// A mode with bits beyond permissions, setuid, setgid and sticky.
    #[error("\"{path}\" ({origin}) has mode {mode:o}, beyond 7777")]
    Mode {
        /// The entry.
        path: String,
        /// Who asked for it.
        origin: String,
        /// The mode that was given.
        mode: u32,
    },
    /// A symlink target that no kernel would accept.
    #[error("the symlink \"{path}\" ({origin}) has an invalid target: {reason}")]
    SymlinkTarget {
        /// The symlink.
        path: String,
        /// Who asked for it.
        origin: String,
        /// What is wrong with the target.
        reason: &'static str,
    },
    /// Something that the format has no way to express.
    #[error("\"{path}\" ({origin}) does not fit the format \"{format}\": {reason}")]
    Unrepresentable {
        /// The entry.
        path: String,
        /// Who asked for it.
        origin: String,
        /// The format being written.
        format: &'static str,
        /// What does not fit.
        reason: &'static str,
    },
    /// More than a medium can take.
    #[error(
        "{medium} takes {available_bytes} bytes, and {needed_bytes} are needed; leave something out"
    )]
    TooLarge {
        /// What is too small.
        medium: &'static str,
        /// Bytes that the contents take there.
        needed_bytes: u64,
        /// Bytes that there are.
        available_bytes: u64,
    },
    /// An image that cannot start as its description says.
    #[error("the image cannot be made to start: {reason}")]
    Boot {
        /// What is wrong.
        reason: &'static str,
    },
    /// A content source could not be read.
    #[error("cannot read the contents of \"{path}\" ({origin})")]
    Content {
        /// The entry.
        path: String,
        /// Who asked for it.
        origin: String,
        /// The reader's error.
        source: io::Error,
    },
    /// A content source gave another number of bytes than it said.
    #[error(
        "the contents of \"{path}\" ({origin}) changed while reading: expected \
         {expected_bytes} bytes but found {found}"
    )]
    ContentSize {
        /// The entry.
        path: String,
        /// Who asked for it.
        origin: String,
        /// The size the source promised.
        expected_bytes: u64,
        /// What came: a number of bytes, or "more".
        found: String,
    },
    /// The place where the image goes refused it.
    #[error("cannot write the image")]
    Write(#[source] io::Error),
    /// A format name that the registry does not have.
    #[error("unknown image format \"{name}\"; there are: {known}")]
    UnknownFormat {
        /// The name that was asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// A format version that this picnix does not write.
    #[error(
        "the description asks for version {wanted} of the format \"{name}\", and this \
         picnix writes version {have}; evaluate it again with this picnix"
    )]
    FormatVersion {
        /// The format.
        name: &'static str,
        /// The version that was asked for.
        wanted: u32,
        /// The version there is.
        have: u32,
    },
    /// A compression name that nobody knows.
    #[error("unknown compression \"{name}\"; there are: {known}")]
    UnknownCompression {
        /// The name that was asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// A compressor could not be set up.
    #[error("cannot set up the {name} compressor")]
    Compressor {
        /// The compression's name.
        name: &'static str,
        /// The library's error.
        source: io::Error,
    },
    /// An archive that is being read is damaged.
    #[error("the cpio archive is damaged at byte {offset}: {reason}")]
    Damaged {
        /// Where the record begins.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// An archive could not be read.
    #[error("cannot read the cpio archive")]
    Read(#[source] io::Error),
}
