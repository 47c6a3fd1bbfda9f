//! One Helm operation per release at a time, also across a crash of this server.
//!
//! The lock is `flock` on a file per release, and the locked file becomes the *standard input* of each Helm
//! process: the kernel keeps the lock as long as any process has the file open. A Helm that outlives a killed
//! server thus keeps it until it ends, and the next server waits for that end before it examines the release;
//! it can never recover a release that an orphan still works on. Asking the kernel to kill Helm together with
//! its parent (`PDEATHSIG`) would shorten that wait, but it is tied to the *thread* that started the program,
//! and tokio's threads may end while Helm runs.
//!
//! Lock files stay: removing one would let two processes hold "the" lock on two different files.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clients::ReleaseKey;

const POLL: Duration = Duration::from_millis(100);

/// Exclusive use of a release and of its working folder, until dropped.
#[derive(Debug)]
pub(super) struct ReleaseLock {
    file: File,
    folder: PathBuf,
}

/// Why a lock was not obtained.
#[derive(Debug)]
pub(super) enum LockError {
    /// It was held by another process until the deadline.
    Busy,
    /// The file system refused.
    Io(PathBuf, io::Error),
}

impl ReleaseLock {
    /// Waits for the lock of a release until `deadline`. `home` is Helm's part of the data folder.
    pub(super) async fn acquire(home: &Path, key: &ReleaseKey, deadline: Instant) -> Result<Self, LockError> {
        // DNS labels hold no underscore, so different releases never share a name.
        let name = format!("{}_{}", key.namespace, key.name);
        let path = home.join("locks").join(format!("{name}.lock"));
        let failed = |error| LockError::Io(path.clone(), error);
        private_folder(&home.join("locks")).map_err(failed)?;
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let file = options.open(&path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() + POLL < deadline => sleep(POLL).await,
                Err(TryLockError::WouldBlock) => return Err(LockError::Busy),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let folder = home.join("run").join(name);
        let lock = Self { file, folder };
        // Files that a killed server left there have no owner any more.
        lock.remove_folder().and_then(|()| private_folder(&lock.folder)).map_err(failed)?;
        Ok(lock)
    }

    /// The locked file for a child process: while the child lives, the lock is held.
    pub(super) fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// A folder for this operation alone, readable by us only.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file into [`Self::folder`] that only we can read.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.folder.join(name))?;
        io::Write::write_all(&mut file, content)
    }

    fn remove_folder(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for ReleaseLock {
    fn drop(&mut self) {
        // The folder of a Helm that is just being killed may gain a file meanwhile: the next operation on the
        // release clears it.
        if let Err(error) = self.remove_folder() {
            tracing::debug!(%error, folder = %self.folder.display(), "cannot remove working folder of helm");
        }
    }
}

/// Creates a folder, with its parents, for this user only.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
