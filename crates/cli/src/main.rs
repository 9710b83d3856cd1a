//! The binary `picnix`: arguments, progress, messages, exit codes.

fn main() {}
