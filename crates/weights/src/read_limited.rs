use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a small file of a model, which may be anything: no more than so many bytes of it, and of a regular file alone.
///
/// # Errors
///
/// What the system says; [`io::ErrorKind::InvalidInput`] if it is not a regular file, a pipe for instance, and
/// [`io::ErrorKind::FileTooLarge`] if it has more bytes.
pub fn read_limited(path: impl AsRef<Path>, most_bytes: u64) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    // First, because opening a pipe waits for whoever writes to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    // One more tells whether there are more, whatever the file's size was said to be.
    File::open(path)?.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most_bytes {
        let reason = format!("it has more than {most_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_up_to_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        assert_eq!(read_limited(&path, u64::MAX).unwrap(), b"12345");
        assert_eq!(read_limited(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_limited(folder.path(), 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read_limited(folder.path().join("none"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
