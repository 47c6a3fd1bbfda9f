//! The only place that runs programs.
//!
//! A program gets an argument vector (never a shell line), a deadline and, optionally, an open file as its
//! standard input. When the deadline passes it is asked to end (SIGTERM) and killed if it does not within its
//! grace; when the caller is cancelled it is killed. Its output is kept up to a cap: the beginning of stdout
//! (where results are) and the end of stderr (where the cause is). Arguments and environment are never
//! logged, since they may hold secrets.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures::FutureExt as _;
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Bytes of standard output that are kept. Helm prints a whole chart, in base 64, with the objects it renders to.
const STDOUT_CAP: usize = 32 << 20;
/// Bytes of standard error that are kept.
const STDERR_CAP: usize = 64 << 10;

/// A program about to be run.
#[derive(Debug)]
pub struct Program {
    /// Name or path.
    pub path: PathBuf,
    /// Arguments, one by one.
    pub args: Vec<OsString>,
    /// Variables on top of the inherited environment.
    pub env: Vec<(OsString, OsString)>,
    /// Inherited variables that it must not see.
    pub without_env: Vec<OsString>,
    /// Working directory; `None` for that of this process.
    pub folder: Option<PathBuf>,
    /// Its standard input; `None` for none.
    pub stdin: Option<File>,
    /// After which time it is asked to end.
    pub deadline: Duration,
    /// After which further time it is killed.
    pub grace: Duration,
}

/// The output of a program that ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Beginning of its standard output.
    pub stdout: String,
    /// End of its standard error.
    pub stderr: String,
}

/// Why there is no result of a program.
#[derive(Debug, Error)]
pub enum CommandError {
    /// There is no such program.
    #[error("program {0:?} not found")]
    NoProgram(PathBuf),
    /// It could not be started or read from.
    #[error("program {0:?} cannot be run: {1}")]
    Io(PathBuf, std::io::Error),
    /// It did not end before its deadline and was stopped.
    #[error("program {0:?} did not end in time and was stopped")]
    Timeout(PathBuf),
}

impl Program {
    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started, or was stopped at the deadline. An exit code other than zero is no error
    /// here.
    #[expect(clippy::disallowed_methods, reason = "this is the module that runs programs")]
    pub async fn run(self) -> Result<Finished, CommandError> {
        let mut command = tokio::process::Command::new(&self.path);
        command.args(&self.args).kill_on_drop(true);
        command.stdin(self.stdin.map_or_else(Stdio::null, Stdio::from));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in &self.without_env {
            command.env_remove(name);
        }
        command.envs(self.env);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let failed = |error| CommandError::Io(self.path.clone(), error);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => CommandError::NoProgram(self.path.clone()),
            _ => failed(error),
        })?;
        // The builder holds its own copy of the standard input, which must not outlive the program.
        drop(command);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Read on its own until the program has ended: one that is asked to end and finds nobody reading dies
        // of SIGPIPE before it has tidied up.
        let outputs = AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::try_join!(
                read_capped(stdout, STDOUT_CAP, Keep::Beginning),
                read_capped(stderr, STDERR_CAP, Keep::End)
            )
        }));
        let mut outputs = outputs.map(|joined| joined?);
        let work = async { tokio::try_join!(child.wait(), &mut outputs) };
        match timeout(self.deadline, work).await {
            Ok(Ok((status, (stdout, stderr)))) => Ok(Finished { code: status.code(), stdout, stderr }),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => {
                stop(&mut child, self.grace).await.map_err(failed)?;
                Err(CommandError::Timeout(self.path))
            }
        }
    }
}

/// Ends a program and waits for its exit, so that it cannot overlap with the next operation.
async fn stop(child: &mut Child, grace: Duration) -> std::io::Result<()> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid
        && kill_process(pid, Signal::TERM).is_ok()
        && let Ok(ended) = timeout(grace, child.wait()).await
    {
        return ended.map(drop);
    }
    child.kill().await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Beginning,
    End,
}

/// Reads to the end, so that the program never blocks on a full pipe, but keeps only `cap` bytes.
async fn read_capped(
    stream: Option<impl AsyncRead + Unpin>,
    cap: usize,
    keep: Keep,
) -> std::io::Result<String> {
    let Some(mut stream) = stream else { return Ok(String::new()) };
    let mut kept = Vec::new();
    let mut chunk = vec![0; 8 << 10];
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        kept.extend_from_slice(&chunk[..read]);
        match keep {
            Keep::Beginning => kept.truncate(cap),
            Keep::End if kept.len() > 2 * cap => drop(kept.drain(..kept.len() - cap)),
            Keep::End => {}
        }
    }
    let start = if keep == Keep::End { kept.len().saturating_sub(cap) } else { 0 };
    Ok(String::from_utf8_lossy(&kept[start..]).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn shell(script: &str) -> Program {
        Program {
            path: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: Vec::new(),
            without_env: Vec::new(),
            folder: None,
            stdin: None,
            deadline: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }

    #[tokio::test]
    async fn exit_code_and_both_outputs_are_kept() {
        let finished = shell("echo out; echo err >&2; exit 3").run().await.unwrap();
        let expected = Finished { code: Some(3), stdout: "out\n".into(), stderr: "err\n".into() };
        assert_eq!(finished, expected);
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let mut program = shell("");
        program.path = "/nonexistent/helm".into();
        let error = program.run().await.unwrap_err();
        assert_eq!(error.to_string(), r#"program "/nonexistent/helm" not found"#);
    }

    #[tokio::test]
    async fn at_the_deadline_it_may_end_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap 'echo asked to end; echo tidy >left; exit 1' TERM; while :; do sleep 0.01; done";
        let mut program = shell(script);
        program.folder = Some(folder.path().to_owned());
        program.deadline = Duration::from_millis(500);
        assert!(matches!(program.run().await, Err(CommandError::Timeout(_))));
        assert_eq!(std::fs::read_to_string(folder.path().join("left")).unwrap(), "tidy\n");
    }

    #[tokio::test]
    async fn one_that_does_not_end_when_asked_is_killed() {
        let mut program = shell("trap '' TERM; while :; do sleep 0.01; done");
        program.deadline = Duration::from_millis(50);
        program.grace = Duration::from_millis(50);
        assert!(matches!(program.run().await, Err(CommandError::Timeout(_))));
    }

    #[tokio::test]
    async fn stdin_env_and_folder_reach_it() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"from a file").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell(r#"cat; printf ' %s %s' "$GIVEN" "${HOME-none}"; pwd -P >&2"#);
        program.env = vec![("GIVEN".into(), "given".into())];
        program.without_env = vec!["HOME".into()];
        program.stdin = Some(file);
        program.folder = Some(folder.path().to_owned());
        let finished = program.run().await.unwrap();
        assert_eq!(finished.stdout, "from a file given none");
        assert_eq!(finished.stderr.trim_end(), folder.path().canonicalize().unwrap().to_str().unwrap());
    }

    #[tokio::test]
    async fn much_output_neither_blocks_it_nor_fills_the_memory() {
        let script = "head -c 40000000 /dev/zero; head -c 500000 /dev/zero >&2; echo the cause >&2";
        let finished = shell(script).run().await.unwrap();
        assert_eq!(finished.stdout.len(), STDOUT_CAP);
        assert_eq!(finished.stderr.len(), STDERR_CAP);
        assert!(finished.stderr.ends_with("the cause\n"));
    }
}
