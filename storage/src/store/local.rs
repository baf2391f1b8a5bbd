//! A local folder that keeps its word after a power cut.
//!
//! object_store's own [`LocalFileSystem`] puts objects atomically but does not sync them. Here a put returns only
//! when the object's bytes, its name, and the names of folders made for it have reached the disk:
//!
//! 1. missing folders are made, and each new name is synced in its parent;
//! 2. the bytes go into `<name>#<random digits>` in the same folder (a form of name that listings hide) and are synced;
//! 3. the file gets its final name: by `link`, which fails if the name is taken (put-if-absent), or by `rename`;
//! 4. the folder is synced.
//!
//! A put that finds its name taken syncs the folder before it says so: whoever then reads the object back may rely on it.
//! Whatever fails, the temporary file is removed. Multipart uploads and copies are synced when they complete.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart,
};

use crate::error::Error;

/// A local folder whose puts are durable when they return.
#[derive(Debug)]
pub(super) struct LocalFolder {
    inner: LocalFileSystem,
    root: PathBuf,
}

impl LocalFolder {
    /// Opens a folder, which is made if `create` says so.
    pub(super) fn open(folder: &FilePath, create: bool) -> crate::Result<Self> {
        let failed = |action: &'static str, source: io::Error| Error::Io {
            action,
            path: folder.display().to_string(),
            source,
        };
        if create {
            create_folder(folder).map_err(|e| failed("create the storage folder", e))?;
        }
        let root = folder.canonicalize().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::Invalid(format!(
                "the storage folder {} does not exist: check --storage.url, or create it with `varve storage init`",
                folder.display()
            )),
            _ => failed("open the storage folder", e),
        })?;
        if !root.is_dir() {
            return Err(Error::Invalid(format!(
                "the storage folder {} is not a folder",
                root.display()
            )));
        }
        let inner = LocalFileSystem::new_with_prefix(&root).map_err(|source| Error::Store {
            action: "open",
            key: root.display().to_string(),
            source,
        })?;
        Ok(Self { inner, root })
    }

    fn file(&self, location: &Path) -> Result<PathBuf> {
        self.inner.path_to_filesystem(location)
    }

    /// Makes the folders above an object, durably.
    async fn prepare(&self, location: &Path) -> Result<PathBuf> {
        let file = self.file(location)?;
        let target = file.clone();
        blocking(move || {
            let folder = parent(&target);
            create_folder(folder).map_err(|e| failed("create the folder", folder, e))
        })
        .await?;
        Ok(file)
    }
}

fn failed(action: &'static str, path: &FilePath, source: io::Error) -> object_store::Error {
    let path = path.display().to_string();
    let source = Box::new(Error::Io {
        action,
        path: path.clone(),
        source,
    });
    match source.as_ref() {
        Error::Io { source: e, .. } if e.kind() == io::ErrorKind::PermissionDenied => {
            object_store::Error::PermissionDenied { path, source }
        }
        _ => object_store::Error::Generic {
            store: "local folder",
            source,
        },
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn parent(file: &FilePath) -> &FilePath {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => FilePath::new("."),
    }
}

fn sync_folder(folder: &FilePath) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder and the missing ones above it, and syncs each new name.
fn create_folder(folder: &FilePath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = parent(folder);
    if above != folder {
        create_folder(above)?;
    }
    match std::fs::create_dir(folder) {
        // Another writer may make it at the same time; it is synced either way.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        result => result?,
    }
    sync_folder(above)
}

/// Makes a storage folder, durably.
#[cfg(feature = "admin")]
pub(crate) fn create_local_folder(folder: &FilePath) -> crate::Result<()> {
    LocalFolder::open(folder, true).map(|_| ())
}

/// A file that goes away unless it was given its final name.
struct TemporaryFile {
    path: PathBuf,
    renamed: bool,
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file could not be removed; it is safe to delete");
        }
    }
}

/// Makes `<file>#<digits>` next to the file; two processes never take one name.
fn create_temporary(file: &FilePath) -> io::Result<(File, TemporaryFile)> {
    loop {
        let mut name = file.as_os_str().to_owned();
        name.push(format!("#{}", uuid::Uuid::new_v4().as_u64_pair().0));
        let path = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(created) => {
                let temporary = TemporaryFile {
                    path,
                    renamed: false,
                };
                return Ok((created, temporary));
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

fn put(file: &FilePath, payload: &PutPayload, create_only: bool) -> Result<()> {
    let folder = parent(file);
    create_folder(folder).map_err(|e| failed("create the folder", folder, e))?;
    let (mut open, mut temporary) =
        create_temporary(file).map_err(|e| failed("create", file, e))?;
    let written = payload.iter().try_for_each(|chunk| open.write_all(chunk));
    written.map_err(|e| failed("write", file, e))?;
    open.sync_all().map_err(|e| failed("sync", file, e))?;
    drop(open);
    if create_only {
        match std::fs::hard_link(&temporary.path, file) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // The rival may have died between its link and its sync.
                sync_folder(folder).map_err(|e| failed("sync the folder", folder, e))?;
                return Err(object_store::Error::AlreadyExists {
                    path: file.display().to_string(),
                    source: Box::new(e),
                });
            }
            Err(e) => return Err(failed("create", file, e)),
        }
    } else {
        std::fs::rename(&temporary.path, file).map_err(|e| failed("replace", file, e))?;
        temporary.renamed = true;
    }
    sync_folder(folder).map_err(|e| failed("sync the folder", folder, e))
}

/// Syncs a file that the inner store has just named.
fn sync_named(file: &FilePath) -> Result<()> {
    let folder = parent(file);
    File::open(file)
        .and_then(|open| open.sync_all())
        .map_err(|e| failed("sync", file, e))?;
    sync_folder(folder).map_err(|e| failed("sync the folder", folder, e))
}

impl fmt::Display for LocalFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for LocalFolder {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let create_only = match options.mode {
            PutMode::Create if options.attributes.is_empty() => true,
            PutMode::Overwrite if options.attributes.is_empty() => false,
            // A folder can do neither; the inner store says so.
            _ => return self.inner.put_opts(location, payload, options).await,
        };
        let file = self.file(location)?;
        blocking(move || put(&file, &payload, create_only)).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let file = self.prepare(location).await?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(DurableUpload { inner, file }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let file = self.prepare(to).await?;
        self.inner.copy_opts(from, to, options).await?;
        blocking(move || sync_named(&file)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let file = self.prepare(to).await?;
        self.inner.rename_opts(from, to, options).await?;
        blocking(move || sync_named(&file)).await
    }
}

#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    file: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let file = self.file.clone();
        blocking(move || sync_named(&file)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    fn files(folder: &FilePath) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    async fn create(store: &LocalFolder, key: &str, bytes: &'static str) -> Result<PutResult> {
        store
            .put_opts(&Path::from(key), bytes.into(), PutMode::Create.into())
            .await
    }

    #[tokio::test]
    async fn create_is_atomic_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFolder::open(folder.path(), false).unwrap();
        create(&store, "a/b/c", "first").await.unwrap();
        let error = create(&store, "a/b/c", "second").await.unwrap_err();
        assert!(matches!(error, object_store::Error::AlreadyExists { .. }));
        let key = Path::from("a/b/c");
        let read = || async { store.get(&key).await.unwrap().bytes().await.unwrap() };
        assert_eq!(read().await, "first");
        store.put(&key, "third".into()).await.unwrap();
        assert_eq!(read().await, "third");
        assert_eq!(files(&folder.path().join("a/b")), ["c"]);
    }

    #[tokio::test]
    async fn of_many_writers_exactly_one_creates() {
        let folder = tempfile::tempdir().unwrap();
        let store = std::sync::Arc::new(LocalFolder::open(folder.path(), false).unwrap());
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let store = std::sync::Arc::clone(&store);
                tokio::spawn(async move { create(&store, "x/y", "z").await.is_ok() })
            })
            .collect();
        let mut created = 0;
        for task in tasks {
            created += usize::from(task.await.unwrap());
        }
        assert_eq!(created, 1);
        assert_eq!(files(&folder.path().join("x")), ["y"]);
    }

    #[tokio::test]
    async fn a_temporary_file_of_a_dead_process_is_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFolder::open(folder.path(), false).unwrap();
        create(&store, "wal/1", "x").await.unwrap();
        std::fs::write(folder.path().join("wal/2#17"), "half").unwrap();
        let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
    }

    #[tokio::test]
    async fn a_failed_put_names_the_object_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFolder::open(folder.path(), false).unwrap();
        create(&store, "taken", "x").await.unwrap();
        // A file stands where a folder is needed.
        let error = create(&store, "taken/below", "x").await.unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        // The name is a folder already, so the last step fails after the bytes were written.
        std::fs::create_dir(folder.path().join("dir")).unwrap();
        let key = Path::from("dir");
        let error = store.put(&key, "x".into()).await.unwrap_err();
        assert!(error.to_string().contains("dir"), "{error}");
        assert_eq!(files(folder.path()), ["dir", "taken"]);
    }

    #[tokio::test]
    async fn a_multipart_upload_and_a_copy_make_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFolder::open(folder.path(), false).unwrap();
        let (from, to) = (Path::from("p/q/r"), Path::from("s/t/u"));
        let mut upload = store.put_multipart(&from).await.unwrap();
        upload.put_part("ab".into()).await.unwrap();
        upload.put_part("cd".into()).await.unwrap();
        upload.complete().await.unwrap();
        store.copy(&from, &to).await.unwrap();
        let bytes = store.get(&to).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes, "abcd");
        assert_eq!(files(&folder.path().join("p/q")), ["r"]);
    }

    #[test]
    fn a_missing_folder_is_made_only_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("a/b");
        let error = LocalFolder::open(&missing, false).unwrap_err();
        assert!(error.to_string().contains("varve storage init"), "{error}");
        assert!(LocalFolder::open(&missing, true).is_ok());
        std::fs::write(missing.join("file"), "").unwrap();
        let error = LocalFolder::open(&missing.join("file"), false).unwrap_err();
        assert!(error.to_string().contains("not a folder"), "{error}");
    }
}
