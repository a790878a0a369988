//! The bytes of a file: plain, gzip or zstd, told apart by what they begin with and not by a name.

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BUFFER: usize = 128 * 1024;

/// A file that is being read.
pub(super) struct Source {
    /// Its text, decompressed as it is read.
    pub(super) text: Box<dyn BufRead + Send>,
    /// What identifies it when it is read again; none for a pipe.
    pub(super) sha256: Option<[u8; 32]>,
    /// How many bytes of it were read.
    pub(super) position: Arc<AtomicU64>,
    /// How many there are; none for a pipe.
    pub(super) length: Option<u64>,
}

/// Opens a file, or standard input for `-`.
pub(super) fn open(path: &Path) -> anyhow::Result<Source> {
    if path == Path::new("-") {
        return source(io::stdin(), None, None);
    }
    let said = || path.display().to_string();
    let mut file = File::open(path).with_context(said)?;
    let metadata = file.metadata().with_context(said)?;
    if metadata.is_dir() {
        bail!("{} is a folder", said());
    }
    // A named pipe can be read once only.
    if !metadata.is_file() {
        return source(file, None, None).with_context(said);
    }
    let hash = sha256(&mut file).with_context(said)?;
    source(file, Some(hash), Some(metadata.len())).with_context(said)
}

fn sha256(file: &mut File) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.rewind()?;
    Ok(hash.finalize().into())
}

fn source(
    bytes: impl Read + Send + 'static,
    sha256: Option<[u8; 32]>,
    length: Option<u64>,
) -> anyhow::Result<Source> {
    let position = Arc::new(AtomicU64::new(0));
    let bytes = Counting {
        inner: bytes,
        position: Arc::clone(&position),
    };
    Ok(Source {
        text: text(bytes)?,
        sha256,
        position,
        length,
    })
}

/// The text of `bytes`, decompressed if they are compressed.
fn text(mut bytes: impl Read + Send + 'static) -> anyhow::Result<Box<dyn BufRead + Send>> {
    let mut first = Vec::with_capacity(6);
    (&mut bytes).take(6).read_to_end(&mut first)?;
    let refused = [
        (&b"BZh"[..], "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"PK\x03\x04", "zip"),
    ];
    if let Some((_, kind)) = refused.iter().find(|(magic, _)| first.starts_with(magic)) {
        bail!("this is {kind}: only plain, gzip and zstd files can be read");
    }
    if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        bail!("this is UTF-16: only UTF-8 can be read");
    }
    let gzip = first.starts_with(b"\x1f\x8b");
    let zstd = first.starts_with(b"\x28\xb5\x2f\xfd");
    let bytes = BufReader::with_capacity(BUFFER, Cursor::new(first).chain(bytes));
    Ok(if gzip {
        let decoder = flate2::bufread::MultiGzDecoder::new(bytes);
        Box::new(BufReader::with_capacity(BUFFER, decoder))
    } else if zstd {
        let decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
        Box::new(BufReader::with_capacity(BUFFER, decoder))
    } else {
        Box::new(bytes)
    })
}

/// Counts what passes.
struct Counting<R> {
    inner: R,
    position: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("memory takes writes");
        encoder.finish().expect("memory takes writes")
    }

    fn read(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut found = Vec::new();
        text(Cursor::new(bytes.to_vec()))?.read_to_end(&mut found)?;
        Ok(found)
    }

    #[test]
    fn what_a_file_is_is_told_by_its_content() {
        let zst = zstd::encode_all(&b"one\n"[..], 1).expect("memory can be read");
        for bytes in [b"one\n".to_vec(), gzip(b"one\n"), zst.clone()] {
            assert_eq!(read(&bytes).expect("it is whole"), b"one\n");
        }
        // Compressed files that were joined are one text.
        assert_eq!(
            read(&[gzip(b"one\n"), gzip(b"two\n")].concat()).expect("it is whole"),
            b"one\ntwo\n"
        );
        assert_eq!(
            read(&[zst.clone(), zst].concat()).expect("it is whole"),
            b"one\none\n"
        );
        assert_eq!(read(b"").expect("nothing is a text"), b"");
        assert_eq!(read(b"\x1f").expect("too short for a mark"), b"\x1f");
    }

    #[test]
    fn a_file_that_was_cut_off_is_an_error_and_not_an_end() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        for bytes in [
            gzip(&text),
            zstd::encode_all(&text[..], 1).expect("memory can be read"),
        ] {
            read(&bytes[..bytes.len() / 2]).expect_err("half of it is missing");
        }
    }

    #[test]
    fn other_formats_are_named() {
        let error = read(b"PK\x03\x04....").expect_err("zip is not read");
        assert!(error.to_string().contains("zip"), "{error}");
        let error = read(b"\xff\xfe{\0").expect_err("UTF-16 is not read");
        assert!(error.to_string().contains("UTF-16"), "{error}");
    }
}
