//! What an archive is compressed with, by its first bytes.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Any of the sixteen marks of a frame to skip.
const SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
/// What tools of images do not write, and people may.
const OTHERS: [(&[u8], &str); 2] = [(b"BZh", "bzip2"), (b"\xfd7zXZ", "xz")];

const BUFFER: usize = 1 << 16;

/// The bytes before their compression: by gzip, by zstd, or by nothing.
///
/// # Errors
/// The input's; it is compressed by something else.
pub(crate) fn decompressed<'a>(input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let start = first_bytes(&mut input)?;
    if start.starts_with(GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(input)));
    }
    if start.starts_with(ZSTD) || start.get(1..4) == Some(SKIPPABLE) {
        return Ok(Box::new(Zstd::new(input)));
    }
    for (mark, name) in OTHERS {
        if start.starts_with(mark) {
            let what = format!("it is compressed by {name}; only gzip and zstd can be read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
    }
    Ok(Box::new(input))
}

/// Whether [`decompressed`] would change the bytes.
///
/// # Errors
/// The input's; it is compressed by something else.
pub(crate) fn is_compressed(input: &mut impl Read) -> io::Result<bool> {
    let mut start = Vec::new();
    input.take(8).read_to_end(&mut start)?;
    Ok(start.starts_with(GZIP)
        || start.starts_with(ZSTD)
        || OTHERS.iter().any(|(mark, _)| start.starts_with(mark)))
}

fn first_bytes(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    loop {
        match input.fill_buf() {
            Ok(bytes) => return Ok(bytes[..bytes.len().min(8)].to_owned()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file of zstd is frames one after the other, some of which are to be skipped (RFC 8878, section 3.1).
struct Zstd<R: Read> {
    input: BufReader<R>,
    decoder: FrameDecoder,
    is_within: bool,
}

impl<R: Read> Zstd<R> {
    fn new(input: BufReader<R>) -> Self {
        Self {
            input,
            decoder: FrameDecoder::new(),
            is_within: false,
        }
    }

    /// Begins the next frame, or passes over it; `false` at the end.
    fn begin(&mut self) -> io::Result<bool> {
        if first_bytes(&mut self.input)?.is_empty() {
            return Ok(false);
        }
        match self.decoder.reset(&mut self.input) {
            Ok(()) => self.is_within = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let mut skipped = self.input.by_ref().take(length.into());
                io::copy(&mut skipped, &mut io::sink())?;
            }
            Err(refused) => return Err(damaged(refused)),
        }
        Ok(true)
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            while !self.is_within {
                if !self.begin()? {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder
                    .decode_blocks(&mut self.input, one)
                    .map_err(damaged)?;
            }
            match self.decoder.read(buffer)? {
                0 => self.is_within = false,
                read => return Ok(read),
            }
        }
    }
}

fn damaged(refused: FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refused)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TEXT: &[u8] = b"a text, a text, a text";

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        decompressed(bytes)?.read_to_end(&mut text)?;
        Ok(text)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn whatever_stands_in_one_file_is_read() {
        let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        for (name, bytes) in [
            ("plain", TEXT.repeat(2)),
            ("gzip", gzip(&TEXT.repeat(2))),
            ("two members", [gzip(TEXT), gzip(TEXT)].concat()),
            ("zstd", zstd(&TEXT.repeat(2))),
            ("two frames", [zstd(TEXT), zstd(TEXT)].concat()),
            (
                "frames to skip",
                [&skipped[..], &zstd(TEXT), &skipped, &zstd(TEXT), &skipped].concat(),
            ),
        ] {
            assert_eq!(read(&bytes).unwrap(), TEXT.repeat(2), "{name}");
        }
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_cut_short_or_of_another_kind_is_refused() {
        for (name, bytes) in [("gzip", gzip(TEXT)), ("zstd", zstd(TEXT))] {
            for length in 10..bytes.len() {
                read(&bytes[..length]).expect_err(name);
            }
        }
        for (bytes, word) in [(&b"BZh91AY"[..], "bzip2"), (b"\xfd7zXZ\0\0", "xz")] {
            let refused = read(bytes).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
    }
}
