//! Boots an image in QEMU and speaks to its console.
