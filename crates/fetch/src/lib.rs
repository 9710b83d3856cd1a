//! The only network client: a URL and a hash in, bytes out.
