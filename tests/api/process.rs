//! The program as a process of its own: how it ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use smo::store::Store;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::database::{Engine, TestDatabase, run};
use crate::wait::eventually;

const LIMIT: Duration = Duration::from_secs(30);

/// A running program; killed when dropped.
struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts it on a database and waits until it serves.
    async fn start(database: &TestDatabase) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(log_in(folder.path())).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the program itself is what is tested")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_smo"));
        command
            .env_clear()
            .envs([("SMO_MODE", "simulated"), ("SMO_LISTEN", "127.0.0.1:0"), ("DATABASE_URL", &database.url)])
            .env("SMO_DATA_DIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        let process = Self { child: command.spawn().unwrap(), folder };
        eventually("it serves", LIMIT, async || {
            let log = process.log();
            if log.contains("listens on http://") { Ok(()) } else { Err(log) }
        })
        .await;
        process
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log_in(self.folder.path())).unwrap()
    }

    /// Waits until it has ended by itself; its exit code.
    async fn exit_code(&mut self) -> Option<i32> {
        tokio::time::timeout(LIMIT, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}

fn log_in(folder: &Path) -> PathBuf {
    folder.join("smo.log")
}

#[tokio::test]
async fn a_server_whose_database_another_one_has_taken_ends_with_an_error() {
    run(Engine::Postgres, async |database| {
        let mut process = Process::start(&database).await;
        let second = Store::connect(&database.url).await.unwrap();
        // The first may be so quick as to take its lock again.
        let _taken = eventually("the second server has the lock", LIMIT, async || {
            database.disconnect_all().await;
            second.lock_instance().await.map_err(|error| error.to_string())
        })
        .await;
        // A supervisor starts only those again that failed.
        assert_eq!(process.exit_code().await, Some(1), "{}", process.log());
        let log = process.log();
        assert!(log.contains("smo: internal error: another server has taken the database"), "{log}");
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_asked_to_end_ends_with_success() {
    run(Engine::Sqlite, async |database| {
        let mut process = Process::start(&database).await;
        let pid = process.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
    })
    .await;
}
