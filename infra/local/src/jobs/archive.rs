//! Zips and tar.gz archives, to and from folders. Archives come from outside: nothing in one gets out of its folder.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Write};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use flate2::read::GzDecoder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// What an archive may unpack to, in bytes: a small one may claim to hold the world.
const MOST: u64 = 1 << 30;

/// Unpacks a zip. Links are left out.
pub(crate) fn unzip(bytes: &[u8], folder: &Path) -> io::Result<()> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(io::Error::other)?;
    let mut budget = MOST;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(io::Error::other)?;
        let Some(name) = entry.enclosed_name() else {
            return Err(io::Error::other(format!("entry {index} lies outside of the archive")));
        };
        let mode = entry.unix_mode();
        if entry.is_dir() {
            fs::create_dir_all(folder.join(name))?;
        } else if !entry.is_symlink() {
            write_file(&mut entry, &folder.join(name), mode, &mut budget)?;
        }
    }
    Ok(())
}

/// Unpacks a tar.gz. Links and devices are left out.
pub(crate) fn untar(bytes: &[u8], folder: &Path) -> io::Result<()> {
    let mut budget = MOST;
    let mut archive = tar::Archive::new(GzDecoder::new(bytes));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = within(&entry.path()?).ok_or_else(|| io::Error::other("an entry lies outside of the archive"))?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            fs::create_dir_all(folder.join(name))?;
        } else if kind.is_file() {
            let mode = entry.header().mode().ok();
            write_file(&mut entry, &folder.join(name), mode, &mut budget)?;
        }
    }
    Ok(())
}

fn write_file(content: &mut impl Read, path: &Path, mode: Option<u32>, budget: &mut u64) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create(path)?;
    let written = io::copy(&mut content.take(*budget + 1), &mut file)?;
    *budget = budget
        .checked_sub(written)
        .ok_or_else(|| io::Error::other(format!("the archive holds more than {MOST} bytes")))?;
    if mode.is_some_and(|mode| mode & 0o100 != 0) {
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// A relative path without `.`, if it stays where it starts and names something.
pub(crate) fn within(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// The files below a folder, by path relative to it with `/` between, sorted. Links aren't followed; a name that is not UTF-8 has
/// no key in S3 and is left out.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(prefix) = open.pop() {
        for entry in fs::read_dir(folder.join(&prefix))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}/{name}")
            };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Zips files of a folder, each under a name: the same files are the same bytes, whenever they were written.
pub(crate) fn zip(folder: &Path, files: &[(String, String)]) -> io::Result<Bytes> {
    use std::os::unix::fs::PermissionsExt;
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, name) in files {
        let path = folder.join(path);
        let executable = fs::metadata(&path)?.permissions().mode() & 0o100 != 0;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(if executable { 0o755 } else { 0o644 });
        writer.start_file(name.as_str(), options).map_err(io::Error::other)?;
        writer.write_all(&fs::read(&path)?)?;
    }
    let bytes = writer.finish().map_err(io::Error::other)?.into_inner();
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
pub(crate) fn test_zip(files: &[(&str, &str)]) -> Bytes {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner().into()
}

#[cfg(test)]
pub(crate) fn test_tar(files: &[(&str, &str)]) -> Bytes {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(encoder);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        // Written raw: the crate refuses to make the hostile names that the tests want.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_comes_back_from_its_zip_and_the_zip_is_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c.txt"), "c").unwrap();
        fs::write(folder.path().join("z"), "z").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let names = files(folder.path()).unwrap();
        assert_eq!(names, ["a/b/c.txt", "z"]);
        let pairs: Vec<_> = names.iter().map(|name| (name.clone(), name.clone())).collect();
        let first = zip(folder.path(), &pairs).unwrap();
        fs::write(folder.path().join("z"), "z").unwrap();
        assert_eq!(first, zip(folder.path(), &pairs).unwrap());

        let back = tempfile::tempdir().unwrap();
        unzip(&first, back.path()).unwrap();
        assert_eq!(files(back.path()).unwrap(), names);
        assert_eq!(fs::read_to_string(back.path().join("a/b/c.txt")).unwrap(), "c");
    }

    #[test]
    fn nothing_gets_out_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        for name in ["../evil", "a/../../evil", "/evil"] {
            let _ = unzip(&test_zip(&[(name, "x")]), &inner);
            assert!(untar(&test_tar(&[(name, "x")]), &inner).is_err(), "{name}");
            assert!(
                !folder.path().join("evil").exists() && !Path::new("/evil").exists(),
                "{name}"
            );
        }
        for junk in [&b""[..], b"PK", b"\x1f\x8b\x08"] {
            assert!(unzip(junk, &inner).is_err());
            assert!(untar(junk, &inner).is_err() || junk.is_empty());
        }
        untar(&test_tar(&[("./a/b.py", "x")]), &inner).unwrap();
        assert_eq!(fs::read_to_string(inner.join("a/b.py")).unwrap(), "x");
    }
}
