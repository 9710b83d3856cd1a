//! What must hold of the unpackers of archives: no panic, and nothing outside the folder that they are given.

use std::path::Path;

/// Unpacks any bytes as an archive of tar or zip, and as a package of Debian, below a folder of their own.
///
/// # Panics
/// Something is changed elsewhere, or an unpacker panics.
pub fn unpacks(bytes: &[u8], scratch: &Path) {
    let inner = scratch.join("inner");
    std::fs::create_dir_all(&inner).expect("the folder can be made");
    let archive = scratch.join("archive");
    std::fs::write(&archive, bytes).expect("the archive can be written");
    let _ = picnix_engine::fuzzing::unpack_archive(&archive, &inner.join("tree"));
    let recipe = r#"{"debs": ["archive.deb"], "formatVersion": 1}"#;
    let _ =
        picnix_engine::deb::build_debs(recipe, &|_| archive.clone(), &inner.join("deb"));
    let mut names: Vec<_> = std::fs::read_dir(scratch)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["archive", "inner"]);
    std::fs::remove_dir_all(&inner).expect("what was made can be removed");
}
