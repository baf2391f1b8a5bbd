//! The chunks files of a block that is being written.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::block::layout::{CHUNKS_HEADER_BYTES, CHUNKS_MAGIC, CHUNKS_VERSION};
use crate::chunk::Encoding;
use crate::crc::Crc32c;
use crate::error::{Error, Result};
use crate::fields::put_uvarint;

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

/// Appends chunks to files of a bounded size.
#[derive(Debug)]
pub(super) struct ChunkFiles {
    folder: PathBuf,
    file_bytes_max: u64,
    files: u32,
    open: Option<Open>,
}

impl ChunkFiles {
    /// Makes the folder; the first file comes with the first chunk.
    pub(super) fn create(folder: PathBuf, file_bytes_max: u64) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        Ok(Self {
            folder,
            file_bytes_max,
            files: 0,
            open: None,
        })
    }

    /// Appends a chunk; gives its reference.
    pub(super) fn append(&mut self, encoding: Encoding, data: &[u8]) -> Result<u64> {
        let mut head = Vec::with_capacity(6);
        put_uvarint(&mut head, data.len() as u64);
        head.push(encoding as u8);
        let mut checksum = Crc32c::new();
        checksum.update(&[encoding as u8]);
        checksum.update(data);
        let bytes = (head.len() + data.len() + 4) as u64;

        let open = match self.open.take() {
            Some(open) if open.bytes + bytes <= self.file_bytes_max => open,
            full => {
                if let Some(full) = full {
                    close(full)?;
                }
                self.next_file()?
            }
        };
        let open = self.open.insert(open);
        let place = open.bytes;
        let checksum = checksum.finish().to_be_bytes();
        for part in [&head[..], data, &checksum[..]] {
            open.file
                .write_all(part)
                .map_err(Error::io("write", &open.path))?;
        }
        open.bytes += bytes;
        Ok(u64::from(self.files - 1) << 32 | place)
    }

    fn next_file(&mut self) -> Result<Open> {
        self.files += 1;
        let path = self.folder.join(format!("{:06}", self.files));
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        let [a, b, c, d] = CHUNKS_MAGIC.to_be_bytes();
        file.write_all(&[a, b, c, d, CHUNKS_VERSION, 0, 0, 0])
            .map_err(Error::io("write", &path))?;
        Ok(Open {
            path,
            file,
            bytes: CHUNKS_HEADER_BYTES,
        })
    }

    /// Makes all files durable.
    pub(super) fn finish(mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            close(open)?;
        }
        sync_folder(&self.folder)
    }
}

fn close(open: Open) -> Result<()> {
    sync(open.file, &open.path)
}

/// Writes what is buffered, and makes a file durable.
pub(super) fn sync(file: BufWriter<File>, path: &Path) -> Result<()> {
    let written = file.into_inner().map_err(|error| error.into_error());
    written
        .and_then(|file| file.sync_all())
        .map_err(Error::io("write", path))
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("sync", folder))?;
    }
    Ok(())
}
