//! A block's chunks files.

use bytes::Bytes;

use super::index::ChunkMeta;
use crate::chunk::{CHUNK_BYTES_MAX, ChunkSamples, Encoding};
use crate::crc::crc32c;
use crate::error::{Error, Result};
use crate::fields::Fields;
use crate::source::{Folder, Window};

/// The folder of a block.
pub(crate) const FOLDER: &str = "chunks";

pub(crate) const MAGIC: u32 = 0x85bd_40dd;
pub(crate) const VERSION: u8 = 1;
pub(crate) const HEADER_BYTES: u64 = 8;

/// The most bytes of a chunk's length, and its encoding's number.
const PREFIX_BYTES_MAX: u64 = 5 + 1;

/// The chunks files of a block. The one that was read last is kept open.
#[derive(Debug)]
pub(super) struct Chunks {
    folder: Folder,
    files: Vec<String>,
    open: Option<(usize, Window)>,
}

impl Chunks {
    /// Lists the files; none is opened yet.
    pub(super) fn open(folder: &Folder) -> Result<Self> {
        let files = folder.list(FOLDER)?;
        // Their numbers ascend; anything else (a file that was being written) is no chunks file.
        let files = files
            .into_iter()
            .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()))
            .collect();
        Ok(Self {
            folder: folder.clone(),
            files,
            open: None,
        })
    }

    fn file(&mut self, number: usize, index_path: &str) -> Result<&mut Window> {
        let opened = match self.open.take() {
            Some((open, window)) if open == number => window,
            _ => {
                let name = self.files.get(number).ok_or_else(|| {
                    let reason = format!(
                        "a chunk lies in chunks file {}, and the block has {}",
                        number + 1,
                        self.files.len()
                    );
                    Error::corrupt(index_path, 0, reason)
                })?;
                let source = self.folder.open_required(&format!("{FOLDER}/{name}"))?;
                let header = source.read(0, HEADER_BYTES)?;
                let mut fields = Fields::new(&header);
                if fields.u32() != Ok(MAGIC) {
                    return Err(source.corrupt(0, "it is no chunks file"));
                }
                if fields.byte() != Ok(VERSION) {
                    return Err(Error::Unsupported {
                        path: source.path().to_owned(),
                        reason: "an unknown version of the chunks format".to_owned(),
                    });
                }
                Window::new(source)
            }
        };
        let (_, window) = self.open.insert((number, opened));
        Ok(window)
    }

    /// The samples of a chunk.
    pub(super) fn read(&mut self, chunk: &ChunkMeta, index_path: &str) -> Result<ReadChunk> {
        let number = (chunk.reference >> 32) as usize;
        let place = chunk.reference & 0xffff_ffff;
        let window = self.file(number, index_path)?;
        let prefix = window.read_up_to(place, PREFIX_BYTES_MAX)?;
        let source = window.source().clone();
        let corrupt = |reason: &dyn ToString| source.corrupt(place, reason.to_string());
        let mut fields = Fields::new(&prefix);
        let length = fields.uvarint().map_err(|error| corrupt(&error))?;
        if length > CHUNK_BYTES_MAX {
            return Err(corrupt(&format!("a chunk of {length} bytes")));
        }
        let length_bytes = (prefix.len() - fields.len()) as u64;
        // The encoding's number before the data, and the checksum of both behind.
        let data = window.read(place + length_bytes, 1 + length + 4)?;
        let (encoding, data) = decode(data).map_err(|error| corrupt(&error))?;
        let samples = ChunkSamples::new(encoding, data).map_err(|error| corrupt(&error))?;
        Ok(ReadChunk {
            path: source.path().to_owned(),
            place,
            samples,
        })
    }
}

/// Checks a chunk's checksum, and gives its encoding and its data.
fn decode(mut bytes: Bytes) -> Result<(Encoding, Bytes), String> {
    let checksum = bytes.split_off(bytes.len().saturating_sub(4));
    if Fields::new(&checksum).u32() != Ok(crc32c(&bytes)) {
        return Err("the checksum of a chunk does not match".to_owned());
    }
    let number = bytes.first().copied().unwrap_or_default();
    let encoding = Encoding::from_byte(number)
        .ok_or_else(|| format!("a chunk of the unknown encoding {number}"))?;
    Ok((encoding, bytes.split_off(1)))
}

/// A chunk's samples, and where it lies.
#[derive(Debug)]
pub(crate) struct ReadChunk {
    pub(crate) path: String,
    pub(crate) place: u64,
    pub(crate) samples: ChunkSamples,
}

impl ReadChunk {
    /// The next sample, `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<crate::chunk::Sample>> {
        let next = self.samples.next().transpose();
        next.map_err(|error| Error::corrupt(&self.path, self.place, format!("a chunk: {error}")))
    }
}
