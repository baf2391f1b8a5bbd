//! Where a TSDB's files lie: in a folder, or in a bucket. Both are read at positions, in windows.
//!
//! A [`Source`] is one file. A [`Window`] keeps the part of it that was read last, so that reading on from there costs one
//! request for many small items. Blocks are laid out in the order of series, so a block is read from front to back.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use crate::error::{Error, Result};

/// Bytes that one request reads at least, if the file has them: from a folder, and from a bucket.
const FILE_WINDOW_BYTES: usize = 256 << 10;
const OBJECT_WINDOW_BYTES: usize = 8 << 20;

/// Opens the files of one block. Calls block, so they belong on a thread that may.
#[derive(Clone, Debug)]
pub enum Folder {
    /// A folder of this machine.
    Local(PathBuf),
    /// A prefix of a bucket. The handle's runtime makes the requests.
    Objects {
        /// The bucket.
        store: Arc<dyn ObjectStore>,
        /// The prefix.
        prefix: object_store::path::Path,
        /// Who makes the requests.
        runtime: Handle,
    },
}

impl Folder {
    /// What messages call a file of the folder.
    pub(crate) fn name_of(&self, name: &str) -> String {
        match self {
            Self::Local(folder) => folder.join(name).display().to_string(),
            Self::Objects { prefix, .. } => format!("{prefix}/{name}"),
        }
    }

    fn key(prefix: &object_store::path::Path, name: &str) -> object_store::path::Path {
        name.split('/')
            .fold(prefix.clone(), |key, part| key.join(part))
    }

    /// Opens a file, given by its path in the folder; `None` if there is none.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Source>> {
        let path = self.name_of(name);
        match self {
            Self::Local(folder) => match File::open(folder.join(name)) {
                Ok(file) => {
                    let size = file
                        .metadata()
                        .map_err(Error::io("read", Path::new(&path)))?
                        .len();
                    Ok(Some(Source {
                        path: path.into(),
                        size,
                        place: Place::File(Arc::new(file)),
                    }))
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::io("open", Path::new(&path))(error)),
            },
            Self::Objects {
                store,
                prefix,
                runtime,
            } => {
                let key = Self::key(prefix, name);
                match runtime.block_on(store.head(&key)) {
                    Ok(meta) => Ok(Some(Source {
                        path: path.into(),
                        size: meta.size,
                        place: Place::Object {
                            store: Arc::clone(store),
                            key,
                            runtime: runtime.clone(),
                        },
                    })),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(source) => Err(store_error("read", path, source)),
                }
            }
        }
    }

    /// Opens a file that must be there.
    pub(crate) fn open_required(&self, name: &str) -> Result<Source> {
        self.open(name)?.ok_or_else(|| Error::Vanished {
            path: self.name_of(name),
        })
    }

    /// The names of the files in a folder below this one, ascending.
    pub(crate) fn list(&self, below: &str) -> Result<Vec<String>> {
        let path = self.name_of(below);
        let mut names: Vec<String> = match self {
            Self::Local(folder) => {
                let io = || Error::io("list", Path::new(&path));
                let entries = match std::fs::read_dir(folder.join(below)) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Err(Error::Vanished { path });
                    }
                    entries => entries.map_err(io())?,
                };
                entries
                    .map(|entry| {
                        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
                    })
                    .collect::<Result<_, _>>()
                    .map_err(io())?
            }
            Self::Objects {
                store,
                prefix,
                runtime,
            } => {
                let prefix = Self::key(prefix, below);
                let listed = store.list(Some(&prefix)).try_collect::<Vec<_>>();
                runtime
                    .block_on(listed)
                    .map_err(|source| store_error("list", path, source))?
                    .into_iter()
                    .filter_map(|meta| meta.location.filename().map(str::to_owned))
                    .collect()
            }
        };
        names.sort_unstable();
        Ok(names)
    }
}

pub(crate) fn store_error(action: &'static str, key: String, source: object_store::Error) -> Error {
    Error::Storage(varve_storage::Error::Store {
        action,
        key,
        source,
    })
}

#[derive(Clone, Debug)]
enum Place {
    File(Arc<File>),
    Object {
        store: Arc<dyn ObjectStore>,
        key: object_store::path::Path,
        runtime: Handle,
    },
    #[cfg(any(test, feature = "testing"))]
    Memory(Bytes),
}

/// One file, read at positions.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    path: Arc<str>,
    size: u64,
    place: Place,
}

impl Source {
    /// Bytes in memory, for tests and fuzz targets.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn memory(path: &str, bytes: Bytes) -> Self {
        Self {
            path: path.into(),
            size: bytes.len() as u64,
            place: Place::Memory(bytes),
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The file's size when it was opened; what was appended since is not read.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Forgets what lies behind some bytes.
    pub(crate) fn truncate(&mut self, size: u64) {
        self.size = self.size.min(size);
    }

    pub(crate) fn corrupt(&self, offset: u64, reason: impl ToString) -> Error {
        Error::corrupt(&self.path, offset, reason)
    }

    /// Reads exactly so many bytes. It is an error if the file has fewer, and no memory is taken then.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Result<Bytes> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        let (Some(end), Ok(length)) = (end, usize::try_from(length)) else {
            return Err(self.corrupt(
                offset,
                format!(
                    "{length} bytes are announced and the file ends at {}",
                    self.size
                ),
            ));
        };
        match &self.place {
            Place::File(file) => {
                let mut bytes = vec![0; length];
                read_at(file, &mut bytes, offset)
                    .map_err(Error::io("read", Path::new(&*self.path)))?;
                Ok(bytes.into())
            }
            Place::Object {
                store,
                key,
                runtime,
            } => runtime
                .block_on(store.get_range(key, offset..end))
                .map_err(|source| store_error("read", self.path.to_string(), source)),
            #[cfg(any(test, feature = "testing"))]
            Place::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                Ok(bytes
                    .get(start..)
                    .and_then(|rest| rest.get(..length))
                    .map(|part| bytes.slice_ref(part))
                    .unwrap_or_default())
            }
        }
    }

    /// Reads the whole file, if it is not larger than it can sensibly be.
    pub(crate) fn read_all(&self, bytes_max: u64) -> Result<Bytes> {
        if self.size > bytes_max {
            return Err(self.corrupt(
                bytes_max,
                format!(
                    "it has {} bytes, and {bytes_max} at most make sense",
                    self.size
                ),
            ));
        }
        self.read(0, self.size)
    }

    fn window_bytes(&self) -> usize {
        match self.place {
            Place::Object { .. } => OBJECT_WINDOW_BYTES,
            _ => FILE_WINDOW_BYTES,
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes = bytes.split_at_mut(read).1;
        offset += read as u64;
    }
    Ok(())
}

/// A file with the part of it that was read last.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    source: Source,
    start: u64,
    bytes: Bytes,
    /// Bytes to read at least.
    least: usize,
}

impl Window {
    pub(crate) fn new(source: Source) -> Self {
        let least = source.window_bytes();
        Self {
            source,
            start: 0,
            bytes: Bytes::new(),
            least,
        }
    }

    /// A window for items that lie scattered.
    pub(crate) fn small(source: Source) -> Self {
        Self {
            least: 4 << 10,
            ..Self::new(source)
        }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    fn held(&self, offset: u64, length: u64) -> Option<Bytes> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let to = from.checked_add(usize::try_from(length).ok()?)?;
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }

    /// Exactly so many bytes at a position.
    pub(crate) fn read(&mut self, offset: u64, length: u64) -> Result<Bytes> {
        if let Some(bytes) = self.held(offset, length) {
            return Ok(bytes);
        }
        let rest = self.source.size.saturating_sub(offset);
        let wanted = length.max((self.least as u64).min(rest));
        self.bytes = self.source.read(offset, wanted)?;
        self.start = offset;
        Ok(self.bytes.slice(
            ..usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(self.bytes.len()),
        ))
    }

    /// Up to so many bytes at a position: fewer at the file's end.
    pub(crate) fn read_up_to(&mut self, offset: u64, length: u64) -> Result<Bytes> {
        let rest = self.source.size.saturating_sub(offset);
        self.read(offset, length.min(rest))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn windows_give_what_the_file_has() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), &bytes).unwrap();
        let folder = Folder::Local(folder.path().to_owned());
        assert!(folder.open("other").unwrap().is_none());
        let mut window = Window::new(folder.open("file").unwrap().unwrap());
        for (offset, length) in [
            (0, 10),
            (5, 300_000),
            (300_000, 700_000),
            (7, 1),
            (1 << 20, 0),
        ] {
            let read = window.read(offset as u64, length as u64).unwrap();
            assert_eq!(read, bytes[offset..offset + length], "{offset} {length}");
        }
        assert_eq!(window.read_up_to((1 << 20) - 3, 10).unwrap().len(), 3);
        let error = window.read(1 << 19, 1 << 20).unwrap_err().to_string();
        assert!(error.contains("the file ends at 1048576"), "{error}");
        assert_eq!(folder.list("").unwrap(), ["file"]);
    }
}
