//! One command in a box: namespaces, mounts, limits.
