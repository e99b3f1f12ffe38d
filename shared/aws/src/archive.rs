//! The archives that code travels in: CodePipeline's zips, SageMaker's tar.gz.

use std::io::{Cursor, Read};

/// The most files that an artifact may have.
pub const FILES_MAX: usize = 10_000;
/// The most bytes that an artifact's files may have together, unpacked. A build's artifact is code; a small archive that unpacks
/// to gigabytes is an attack or a mistake.
pub const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An archive that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not a zip, or a broken one.
    #[error("the artifact is not a readable zip: {0}")]
    Broken(String),
    /// Too many files or bytes.
    #[error("the artifact is too large: at most {FILES_MAX} files and {UNPACKED_BYTES_MAX} bytes unpacked are taken")]
    TooLarge,
}

/// The files of a zip, by path, in the archive's order. Folders and paths that lead out of the archive are left out.
///
/// # Errors
/// Where it is no zip, or too large.
pub fn unzip(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let broken = |error: &dyn std::fmt::Display| ArchiveError::Broken(error.to_string());
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).map_err(|error| broken(&error))?;
    if archive.len() > FILES_MAX {
        return Err(ArchiveError::TooLarge);
    }
    let mut files = Vec::with_capacity(archive.len());
    let mut left = UNPACKED_BYTES_MAX;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(|error| broken(&error))?;
        let Some(path) = file.enclosed_name().filter(|_| file.is_file()) else {
            continue;
        };
        let path = path.to_string_lossy().into_owned();
        let mut content = Vec::new();
        // One byte more than is left tells a file that would not fit.
        file.take(left + 1)
            .read_to_end(&mut content)
            .map_err(|error| broken(&error))?;
        left = left.checked_sub(content.len() as u64).ok_or(ArchiveError::TooLarge)?;
        files.push((path, content));
    }
    Ok(files)
}

/// A tar.gz of the files: the same files give the same bytes.
///
/// # Errors
/// Where a path is longer than tar can hold.
pub fn tar_gz<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> std::io::Result<Vec<u8>> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut archive = tar::Builder::new(encoder);
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, path, content)?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (path, content) in files {
            archive
                .start_file(*path, zip::write::SimpleFileOptions::default())
                .unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn unzips_what_stays_inside() {
        let files = unzip(&zip(&[
            ("train.py", b"print()"),
            ("../evil.py", b"x"),
            ("a/b.py", b"y"),
        ]))
        .unwrap();
        let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["train.py", "a/b.py"]);
        assert!(matches!(unzip(b"PK not a zip"), Err(ArchiveError::Broken(_))));
    }

    #[test]
    fn a_bomb_is_refused() {
        let zeros = vec![0; UNPACKED_BYTES_MAX as usize / 2 + 1];
        assert!(matches!(
            unzip(&zip(&[("a", &zeros), ("b", &zeros)])),
            Err(ArchiveError::TooLarge)
        ));
    }

    #[test]
    fn the_same_files_give_the_same_archive() {
        let files: [(&str, &[u8]); 2] = [("a.py", b"1"), ("b.py", b"2")];
        assert_eq!(tar_gz(files).unwrap(), tar_gz(files).unwrap());
        let mut unpacked = tar::Archive::new(flate2::read::GzDecoder::new(Cursor::new(tar_gz(files).unwrap())));
        let paths: Vec<_> = unpacked
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().into_owned())
            .collect();
        assert_eq!(paths, [std::path::Path::new("a.py"), std::path::Path::new("b.py")]);
    }
}
