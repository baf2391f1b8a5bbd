//! The index of a block that is being written.
//!
//! Symbols stand in front of the file and are known only in the end. So series are first noted in a file of their own, with
//! symbols numbered as they come; then symbols are sorted, and series written with their final numbers. In memory are the
//! symbols and, at the end, 4 bytes for each label of each series (the postings).

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use varve_storage::Labels;

use super::chunk_files::sync;
use crate::block::ChunkMeta;
use crate::block::layout::{INDEX_MAGIC, SERIES_ALIGNMENT};
use crate::crc::{Crc32c, crc32c};
use crate::error::{DecodeError, Error, Result};
use crate::fields::{Fields, put_text, put_uvarint, put_varint, read_uvarint};

/// The version that all Prometheus since 2.4 read.
const VERSION: u8 = 2;

/// Postings begin at multiples of this.
const POSTINGS_ALIGNMENT: u64 = 4;

/// Notes series; [`IndexWriter::finish`] makes the index.
#[derive(Debug)]
pub(super) struct IndexWriter {
    notes_path: PathBuf,
    notes: BufWriter<File>,
    numbers: HashMap<Arc<str>, u32>,
    symbols: Vec<Arc<str>>,
    series: u64,
}

impl IndexWriter {
    /// Begins with a file for notes.
    pub(super) fn create(notes_path: PathBuf) -> Result<Self> {
        let notes = File::create_new(&notes_path).map_err(Error::io("create", &notes_path))?;
        Ok(Self {
            notes: BufWriter::with_capacity(1 << 20, notes),
            notes_path,
            numbers: HashMap::new(),
            symbols: Vec::new(),
            series: 0,
        })
    }

    fn number(&mut self, symbol: &str) -> Result<u32> {
        if let Some(number) = self.numbers.get(symbol) {
            return Ok(*number);
        }
        let number = u32::try_from(self.symbols.len()).map_err(|_| {
            Error::Invalid(
                "a block has more than 2^32 names and values of labels; export shorter ranges"
                    .to_owned(),
            )
        })?;
        let symbol: Arc<str> = symbol.into();
        self.symbols.push(Arc::clone(&symbol));
        self.numbers.insert(symbol, number);
        Ok(number)
    }

    /// Notes a series; they come in the order of labels.
    pub(super) fn append(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<()> {
        let mut entry = Vec::new();
        put_uvarint(&mut entry, labels.len() as u64);
        for (name, value) in labels.iter() {
            for symbol in [name, value] {
                let number = self.number(symbol)?;
                put_uvarint(&mut entry, u64::from(number));
            }
        }
        put_chunks(&mut entry, chunks);
        let mut length = Vec::new();
        put_uvarint(&mut length, entry.len() as u64);
        for part in [length, entry] {
            self.notes
                .write_all(&part)
                .map_err(Error::io("write", &self.notes_path))?;
        }
        self.series += 1;
        Ok(())
    }

    /// Writes the index, and removes the notes.
    pub(super) fn finish(mut self, path: &Path) -> Result<()> {
        self.notes
            .flush()
            .map_err(Error::io("write", &self.notes_path))?;
        let mut out = Output::create(path)?;
        let [a, b, c, d] = INDEX_MAGIC.to_be_bytes();
        out.write(&[a, b, c, d, VERSION])?;

        let symbols_at = out.place;
        let ranks = self.write_symbols(&mut out)?;
        out.align(SERIES_ALIGNMENT)?;
        let series_at = out.place;
        let postings = self.write_series(&mut out, &ranks)?;
        let label_indices_at = out.place;
        out.align(POSTINGS_ALIGNMENT)?;
        let postings_at = out.place;
        let table = self.write_postings(&mut out, &ranks, &postings)?;
        let table_at = out.place;
        out.write(&(table.len() as u32).to_be_bytes())?;
        out.write_checked(&table)?;

        let mut contents = Vec::new();
        // The sections of label indices are empty; Prometheus has not read them since 2.15.
        for place in [
            symbols_at,
            series_at,
            label_indices_at,
            table_at,
            postings_at,
            table_at,
        ] {
            contents.extend_from_slice(&place.to_be_bytes());
        }
        out.write_checked(&contents)?;
        out.finish()?;
        std::fs::remove_file(&self.notes_path).map_err(Error::io("remove", &self.notes_path))
    }

    /// Writes the symbols in order; gives for each number as noted the final one.
    fn write_symbols(&self, out: &mut Output) -> Result<Vec<u32>> {
        let mut order: Vec<(&Arc<str>, usize)> = self.symbols.iter().zip(0..).collect();
        order.sort_unstable();
        let bytes: usize = order
            .iter()
            .map(|(symbol, _)| symbol.len() + uvarint_bytes(symbol.len() as u64))
            .sum();
        let length = section_length(4 + bytes as u64)?;
        out.write(&length.to_be_bytes())?;
        let mut checksum = Crc32c::new();
        let mut part = (order.len() as u32).to_be_bytes().to_vec();
        let mut ranks = vec![0; order.len()];
        for (rank, (symbol, number)) in (0u32..).zip(order) {
            put_text(&mut part, symbol);
            if let Some(place) = ranks.get_mut(number) {
                *place = rank;
            }
            if part.len() > 1 << 16 {
                checksum.update(&part);
                out.write(&part)?;
                part.clear();
            }
        }
        checksum.update(&part);
        out.write(&part)?;
        out.write(&checksum.finish().to_be_bytes())?;
        Ok(ranks)
    }

    /// Writes series; gives the postings of every label, by the final numbers of its name and value.
    fn write_series(&self, out: &mut Output, ranks: &[u32]) -> Result<Postings> {
        let notes = File::open(&self.notes_path).map_err(Error::io("read", &self.notes_path))?;
        let mut notes = BufReader::with_capacity(1 << 20, notes);
        let mut postings = Postings::default();
        let mut note = Vec::new();
        for _ in 0..self.series {
            self.read_note(&mut notes, &mut note)?;
            out.align(SERIES_ALIGNMENT)?;
            let reference = u32::try_from(out.place / SERIES_ALIGNMENT).map_err(|_| {
                Error::Invalid(
                    "the index of a block would exceed 64 GiB; export shorter ranges".to_owned(),
                )
            })?;
            let entry = postings.take(&note, ranks, reference).map_err(|error| {
                Error::corrupt(&self.notes_path.display().to_string(), 0, error)
            })?;
            let mut length = Vec::new();
            put_uvarint(&mut length, entry.len() as u64);
            out.write(&length)?;
            out.write_checked(&entry)?;
        }
        Ok(postings)
    }

    fn read_note(&self, notes: &mut impl Read, note: &mut Vec<u8>) -> Result<()> {
        let io = || Error::io("read", &self.notes_path);
        let mut failure = None;
        let length = read_uvarint(|| {
            let mut byte = [0];
            match notes.read_exact(&mut byte) {
                Ok(()) => Ok(byte[0]),
                Err(error) => {
                    failure = Some(error);
                    Err(crate::error::TRUNCATED)
                }
            }
        });
        let length = match (length, failure) {
            (Ok(length), None) => length,
            (_, Some(error)) => return Err(io()(error)),
            (Err(error), None) => {
                return Err(Error::corrupt(
                    &self.notes_path.display().to_string(),
                    0,
                    error,
                ));
            }
        };
        note.resize(length as usize, 0);
        notes.read_exact(note).map_err(io())
    }

    /// Writes postings; gives the table of where they are.
    fn write_postings(
        &self,
        out: &mut Output,
        ranks: &[u32],
        postings: &Postings,
    ) -> Result<Vec<u8>> {
        let mut by_rank: Vec<&str> = vec![""; ranks.len()];
        for (symbol, rank) in self.symbols.iter().zip(ranks) {
            if let Some(place) = by_rank.get_mut(*rank as usize) {
                *place = symbol;
            }
        }
        let symbol = |rank: u32| by_rank.get(rank as usize).copied().unwrap_or_default();
        let lists = postings.by_label.len() + 1;
        let mut table = (lists as u32).to_be_bytes().to_vec();
        // All series, under an empty name, come first.
        write_list(out, &mut table, ("", ""), &postings.all)?;
        for ((name, value), list) in &postings.by_label {
            write_list(out, &mut table, (symbol(*name), symbol(*value)), list)?;
        }
        section_length(table.len() as u64)?;
        Ok(table)
    }
}

fn write_list(
    out: &mut Output,
    table: &mut Vec<u8>,
    label: (&str, &str),
    list: &[u32],
) -> Result<()> {
    out.align(POSTINGS_ALIGNMENT)?;
    put_uvarint(table, 2);
    put_text(table, label.0);
    put_text(table, label.1);
    put_uvarint(table, out.place);
    let length = section_length(4 * (list.len() as u64 + 1))?;
    let mut section = Vec::with_capacity(length as usize);
    section.extend_from_slice(&(list.len() as u32).to_be_bytes());
    for reference in list {
        section.extend_from_slice(&reference.to_be_bytes());
    }
    out.write(&length.to_be_bytes())?;
    out.write_checked(&section)
}

fn section_length(bytes: u64) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| {
        Error::Invalid(
            "a section of a block's index would exceed 4 GiB; export shorter ranges".to_owned(),
        )
    })
}

fn uvarint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn put_chunks(entry: &mut Vec<u8>, chunks: &[ChunkMeta]) {
    put_uvarint(entry, chunks.len() as u64);
    let mut before: Option<&ChunkMeta> = None;
    for chunk in chunks {
        match before {
            None => put_varint(entry, chunk.min_time),
            Some(before) => put_uvarint(entry, chunk.min_time.wrapping_sub(before.max_time) as u64),
        }
        put_uvarint(entry, chunk.max_time.wrapping_sub(chunk.min_time) as u64);
        match before {
            None => put_uvarint(entry, chunk.reference),
            Some(before) => {
                put_varint(entry, chunk.reference.wrapping_sub(before.reference) as i64);
            }
        }
        before = Some(chunk);
    }
}

/// Which series have a label, by the numbers of its name and value.
#[derive(Debug, Default)]
struct Postings {
    all: Vec<u32>,
    by_label: BTreeMap<(u32, u32), Vec<u32>>,
}

impl Postings {
    /// Notes the labels of a series, and gives its entry with the final numbers of symbols.
    fn take(&mut self, note: &[u8], ranks: &[u32], reference: u32) -> Result<Vec<u8>, DecodeError> {
        let mut fields = Fields::new(note);
        let rank = |number: u64| {
            let rank = usize::try_from(number).ok().and_then(|n| ranks.get(n));
            rank.copied().ok_or(crate::error::TRUNCATED)
        };
        let mut entry = Vec::with_capacity(note.len() + 8);
        let labels = fields.count(2)?;
        put_uvarint(&mut entry, labels as u64);
        for _ in 0..labels {
            let name = rank(fields.uvarint()?)?;
            let value = rank(fields.uvarint()?)?;
            put_uvarint(&mut entry, u64::from(name));
            put_uvarint(&mut entry, u64::from(value));
            self.by_label
                .entry((name, value))
                .or_default()
                .push(reference);
        }
        entry.extend_from_slice(fields.bytes(fields.len())?);
        self.all.push(reference);
        Ok(entry)
    }
}

/// The index file, with the place that is written next.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: BufWriter<File>,
    place: u64,
}

impl Output {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create_new(path).map_err(Error::io("create", path))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(1 << 20, file),
            place: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(Error::io("write", &self.path))?;
        self.place += bytes.len() as u64;
        Ok(())
    }

    /// Writes bytes and their checksum.
    fn write_checked(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(bytes)?;
        self.write(&crc32c(bytes).to_be_bytes())
    }

    fn align(&mut self, to: u64) -> Result<()> {
        let padding = (self.place.next_multiple_of(to) - self.place) as usize;
        self.write(
            [0; SERIES_ALIGNMENT as usize]
                .get(..padding)
                .unwrap_or_default(),
        )
    }

    fn finish(self) -> Result<()> {
        sync(self.file, &self.path)
    }
}
