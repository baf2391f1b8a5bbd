//! `chunks_head/`: full chunks of the head, each with the reference of its series.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;

use crate::block::ReadChunk;
use crate::chunk::{CHUNK_BYTES_MAX, ChunkSamples, Encoding};
use crate::crc::crc32c;
use crate::error::{DecodeError, Error, Result};
use crate::fields::Fields;
use crate::source::{Folder, Window};

/// The folder in a data folder.
pub(crate) const FOLDER: &str = "chunks_head";

const MAGIC: u32 = 0x0130_bc91;
const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 8;

/// Series, first and last time, encoding.
const META_BYTES: u64 = 8 + 8 + 8 + 1;

/// The most bytes of a chunk's length.
const LENGTH_BYTES_MAX: u64 = 5;

const CHECKSUM_BYTES: u64 = 4;

/// The bit of the encoding that says that a chunk's samples came out of order.
const OUT_OF_ORDER: u8 = 0x80;

/// Where a chunk is, and its range; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MappedChunk {
    file: u32,
    place: u32,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) encoding: Encoding,
}

/// The chunks of all series.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    folder: Option<Folder>,
    names: HashMap<u32, String>,
    /// By the series' reference, ascending in time.
    pub(crate) in_order: HashMap<u64, Vec<MappedChunk>>,
    /// By the series' reference, in the order of writing.
    pub(crate) out_of_order: HashMap<u64, Vec<MappedChunk>>,
    /// File and place of the last chunk.
    last: (u32, u32),
    /// Why later chunks were left out, if they were.
    pub(crate) damage: Option<Error>,
    open: Option<(u32, Window)>,
}

impl Mapped {
    /// Reads where the chunks of a data folder are. In-order chunks that end before `min_valid_time` are left out.
    ///
    /// As in Prometheus, what is behind a damaged chunk is left out; its samples are in the log. A chunk may look damaged
    /// because it is being written.
    pub(crate) fn read(data_folder: &Path, min_valid_time: i64) -> Result<Self> {
        let path = data_folder.join(FOLDER);
        if !path.is_dir() {
            return Ok(Self::default());
        }
        let folder = Folder::Local(path);
        let mut numbered: Vec<(u32, String)> = folder
            .list("")?
            .into_iter()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter_map(|name| Some((name.parse().ok()?, name)))
            .collect();
        numbered.sort_unstable();
        let mut mapped = Self {
            names: numbered.iter().cloned().collect(),
            folder: Some(folder.clone()),
            ..Self::default()
        };
        for (number, name) in numbered {
            let source = folder.open_required(&name)?;
            if source.size() < HEADER_BYTES {
                // Prometheus has just made it.
                continue;
            }
            match mapped.read_file(number, Window::new(source), min_valid_time) {
                Err(error @ Error::Corrupt { .. }) => {
                    mapped.damage = Some(error);
                    break;
                }
                read => read?,
            }
        }
        Ok(mapped)
    }

    fn read_file(&mut self, file: u32, mut window: Window, min_valid_time: i64) -> Result<()> {
        let header = window.read(0, HEADER_BYTES)?;
        let mut fields = Fields::new(&header);
        match (fields.u32(), fields.byte()) {
            (Ok(MAGIC), Ok(VERSION)) => {}
            (Ok(MAGIC), Ok(version)) => {
                return Err(Error::Unsupported {
                    path: window.source().path().to_owned(),
                    reason: format!("version {version} of the head chunks format"),
                });
            }
            _ => return Err(window.source().corrupt(0, "it is no head chunks file")),
        }
        let mut place = HEADER_BYTES;
        while let Some(found) = found_at(&mut window, place)? {
            self.last = (file, place as u32);
            self.note(file, place as u32, &found, min_valid_time)
                .map_err(|error| window.source().corrupt(place, error))?;
            place = found.end;
        }
        Ok(())
    }

    fn note(
        &mut self,
        file: u32,
        place: u32,
        found: &Found,
        min_valid_time: i64,
    ) -> Result<(), DecodeError> {
        let out_of_order = found.encoding & OUT_OF_ORDER != 0;
        // Prometheus passes over encodings that it does not know.
        let Some(encoding) = Encoding::from_byte(found.encoding & !OUT_OF_ORDER) else {
            return Ok(());
        };
        if !out_of_order && found.max_time < min_valid_time {
            return Ok(());
        }
        let chunk = MappedChunk {
            file,
            place,
            min_time: found.min_time,
            max_time: found.max_time,
            encoding,
        };
        if out_of_order {
            self.out_of_order
                .entry(found.series)
                .or_default()
                .push(chunk);
            return Ok(());
        }
        let chunks = self.in_order.entry(found.series).or_default();
        if chunks
            .last()
            .is_some_and(|last| last.max_time >= chunk.min_time)
        {
            return Err(DecodeError::new(
                "a chunk does not lie behind the one before it",
            ));
        }
        chunks.push(chunk);
        Ok(())
    }

    /// Whether a chunk (a file's number in the upper 32 bits, a place in the lower ones) was there.
    pub(crate) fn reaches(&self, reference: u64) -> bool {
        ((reference >> 32) as u32, reference as u32) <= self.last
    }

    /// The samples of a chunk.
    pub(crate) fn samples(&mut self, chunk: &MappedChunk) -> Result<ReadChunk> {
        let mut window = match self.open.take() {
            Some((file, window)) if file == chunk.file => window,
            _ => {
                let (Some(folder), Some(name)) = (&self.folder, self.names.get(&chunk.file)) else {
                    return Err(Error::Invalid("a head chunk lies in no file".to_owned()));
                };
                Window::small(folder.open_required(name)?)
            }
        };
        let place = u64::from(chunk.place);
        let found = found_at(&mut window, place)?;
        let path = window.source().path().to_owned();
        let corrupt = |reason: &dyn ToString| Error::corrupt(&path, place, reason.to_string());
        let found = found.ok_or_else(|| corrupt(&"a chunk is gone"))?;
        let samples =
            ChunkSamples::new(chunk.encoding, found.data).map_err(|error| corrupt(&error))?;
        self.open = Some((chunk.file, window));
        Ok(ReadChunk {
            path,
            place,
            samples,
        })
    }
}

struct Found {
    series: u64,
    min_time: i64,
    max_time: i64,
    encoding: u8,
    data: Bytes,
    /// Where the next chunk begins.
    end: u64,
}

/// The chunk at a place; `None` where there is none any more: files are made larger than what is in them, with zeros.
fn found_at(window: &mut Window, place: u64) -> Result<Option<Found>> {
    let head = window.read_up_to(place, META_BYTES + LENGTH_BYTES_MAX)?;
    if head.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let corrupt =
        |window: &Window, reason: &dyn ToString| window.source().corrupt(place, reason.to_string());
    let mut fields = Fields::new(&head);
    let read = || -> Result<_, DecodeError> {
        let meta = (fields.u64()?, fields.i64()?, fields.i64()?, fields.byte()?);
        let length = fields.uvarint()?;
        Ok((meta, length, fields.len()))
    };
    let mut read = read;
    let ((series, min_time, max_time, encoding), length, rest) =
        read().map_err(|error| corrupt(window, &error))?;
    if series == 0 && min_time == 0 && max_time == 0 {
        return Ok(None);
    }
    if length > CHUNK_BYTES_MAX {
        return Err(corrupt(window, &format!("a chunk of {length} bytes")));
    }
    let head_bytes = (head.len() - rest) as u64;
    let mut whole = window.read(place, head_bytes + length + CHECKSUM_BYTES)?;
    let checksum = whole.split_off((head_bytes + length) as usize);
    if Fields::new(&checksum).u32() != Ok(crc32c(&whole)) {
        return Err(corrupt(window, &"the checksum of a chunk does not match"));
    }
    Ok(Some(Found {
        series,
        min_time,
        max_time,
        encoding,
        data: whole.split_off(head_bytes as usize),
        end: place + head_bytes + length + CHECKSUM_BYTES,
    }))
}
