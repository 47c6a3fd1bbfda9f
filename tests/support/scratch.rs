//! One folder for everything a test process leaves on disk, removed when the process ends, however it ends.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// `$0` = the folder. A database server in it may still be stopping and leave files behind, so once is not
/// enough.
const REMOVE: &str = r#"
cat >/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$0" && exit
    sleep 0.5
done
"#;

/// The folder, and the watchdog that removes it.
struct Scratch {
    path: PathBuf,
    /// Held for its standard input, whose end tells the watchdog that this process is gone.
    _watchdog: Child,
}

/// The folder of this test process. Other users may enter it, nobody else may write to it.
pub fn folder() -> &'static Path {
    static SCRATCH: OnceLock<Scratch> = OnceLock::new();
    let scratch = SCRATCH.get_or_init(|| {
        let path = tempfile::Builder::new().prefix("smo-test-").tempdir_in(base()).unwrap().keep();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let watchdog = watchdog(REMOVE, None, &[path.as_os_str()]);
        Scratch { path, _watchdog: watchdog }
    });
    &scratch.path
}

/// Runs a shell script that outlives this process: reading its standard input blocks until this process has
/// ended, even if it was killed. It has its own process group, so that Ctrl-C does not end it too early.
pub fn watchdog(script: &str, user: Option<&User>, arguments: &[&std::ffi::OsStr]) -> Child {
    #[expect(
        clippy::disallowed_methods,
        reason = "the watchdog must outlive the tests, unlike any client's program"
    )]
    let mut command = match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid)).args([
                "--clear-groups",
                "--",
                "sh",
            ]);
            command
        }
        None => Command::new("sh"),
    };
    command
        .args(["-c", script])
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh and setpriv (util-linux) must be installed")
}

/// An unprivileged user to run a program as.
pub struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// `None` when this process is unprivileged itself; else the user `postgres`, or `nobody`.
    pub fn unprivileged() -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let me = std::fs::metadata("/proc/self").expect("/proc is mounted").uid();
        if me != 0 {
            return None;
        }
        let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable");
        ["postgres", "nobody"].iter().find_map(|name| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2).map(str::parse);
            Some(Self { uid: fields.next()?.ok()?, gid: fields.next()?.ok()? })
        })
    }

    /// Gives a folder to this user.
    pub fn own(&self, path: &Path) {
        chown(path, Some(self.uid), Some(self.gid)).unwrap();
    }
}

/// The temporary folder, if everybody may pass through it and a socket's path (107 bytes) fits below it.
fn base() -> PathBuf {
    let base = std::env::temp_dir();
    let passable = base.is_absolute()
        && base.ancestors().all(|folder| {
            std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
        });
    if passable && base.as_os_str().len() < 50 { base } else { PathBuf::from("/tmp") }
}
