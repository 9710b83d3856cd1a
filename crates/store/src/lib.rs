//! The store on disk: layout, database, add, scan, roots, gc, verify.
