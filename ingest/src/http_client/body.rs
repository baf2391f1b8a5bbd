//! Bodies of responses: decompressed chunk by chunk, never beyond a limit.

use std::io::Write as _;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;

use crate::error::{Error, Result};

/// A body in the making.
pub(crate) enum Body {
    /// One that arrives as it is.
    Plain(Limited),
    /// One that arrives compressed.
    Gzip(Box<MultiGzDecoder<Limited>>),
}

/// A buffer that refuses to grow beyond a limit.
pub(crate) struct Limited {
    bytes: Vec<u8>,
    bytes_max: u64,
}

impl std::io::Write for Limited {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        if (self.bytes.len() + chunk.len()) as u64 >= self.bytes_max {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Body {
    /// An empty body. `bytes_max`: the size after decompression that it must stay below.
    pub(crate) fn new(gzip: bool, bytes_max: u64) -> Self {
        let limited = Limited {
            bytes: Vec::new(),
            bytes_max,
        };
        if gzip {
            Self::Gzip(Box::new(MultiGzDecoder::new(limited)))
        } else {
            Self::Plain(limited)
        }
    }

    /// Adds what arrived.
    pub(crate) fn push(&mut self, chunk: &Bytes) -> Result<()> {
        match self {
            Self::Plain(limited) => limited.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        }
        .map_err(body_error)
    }

    /// The whole body.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Plain(limited) => Ok(limited.bytes),
            Self::Gzip(decoder) => decoder.finish().map(|l| l.bytes).map_err(body_error),
        }
    }
}

fn body_error(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::FileTooLarge => Error::Limit("body size limit exceeded".to_owned()),
        _ => Error::Body(format!("cannot decompress the response: {error}")),
    }
}
