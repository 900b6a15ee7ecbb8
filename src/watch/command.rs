//! Runs a policy's relief command: an argv, never a shell, and no longer than it may.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Why a relief command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such program, or it could not be started.
    #[error("cannot run the relief command {program}: {source}")]
    Start {
        /// Its first word.
        program: String,
        /// What the OS said.
        source: io::Error,
    },
    /// It ended with another status than 0.
    #[error("the relief command {program} failed: {status}")]
    Failed {
        /// Its first word.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It ran longer than it may, and was killed.
    #[error("the relief command {program} was killed after {} s", .after.as_secs_f64())]
    Late {
        /// Its first word.
        program: String,
        /// The policy's timeout.
        after: Duration,
    },
}

/// Runs it to its end, with nothing on stdin and its output on our stderr. At the timeout it is killed, with all that
/// is in its process group. Blocks its caller for that long at most.
///
/// # Errors
/// [`CommandError`].
pub fn run(argv: &[String], timeout: Duration) -> Result<(), CommandError> {
    let program = argv.first().cloned().unwrap_or_default();
    let start = |source| CommandError::Start {
        program: program.clone(),
        source,
    };
    let mut child = Command::new(&program)
        .args(argv.iter().skip(1))
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait().map_err(start)? {
            return if status.success() {
                Ok(())
            } else {
                Err(CommandError::Failed { program, status })
            };
        }
        if Instant::now() >= deadline {
            kill(&mut child);
            let after = timeout;
            return Err(CommandError::Late { program, after });
        }
        std::thread::sleep(LOOK);
    }
}

/// It is our child and not reaped, so neither its PID nor its group's can have been given away.
fn kill(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let group = nix::unistd::Pid::from_raw(pid);
        let _already_gone = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    }
    let _reaped = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn its_end_is_told() {
        let second = Duration::from_secs(60);
        run(&argv(&["true"]), second).unwrap();
        let failed = run(&argv(&["false"]), second).unwrap_err();
        assert!(matches!(failed, CommandError::Failed { .. }), "{failed}");
        let missing = run(&argv(&["/no/such/program"]), second).unwrap_err();
        assert!(matches!(missing, CommandError::Start { .. }), "{missing}");
        // No shell: this is a program's name.
        assert!(run(&argv(&["true; true"]), second).is_err());
    }

    #[test]
    fn a_late_one_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 60 & echo $! >'{}'; wait", file.display());
        let late = run(&argv(&["sh", "-c", &script]), Duration::from_millis(500)).unwrap_err();
        assert!(matches!(late, CommandError::Late { .. }), "{late}");
        let pid: i32 = std::fs::read_to_string(file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let is_alive = || {
            let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
            stat.is_ok_and(|stat| stat.state != 'Z')
        };
        while is_alive() {
            assert!(Instant::now() < deadline, "{pid} lives on");
            std::thread::sleep(LOOK);
        }
    }
}
