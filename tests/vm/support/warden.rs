//! One run of ffwarden: how it is started, what there is of it while it runs, and what came of it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Gid, Pid, Uid};
use serde_json::Value;
use tempfile::TempDir;

use super::kernel::{self, Process};
use super::place::{Place, TAG};
use super::{SETTLE_LIMIT, group_id, signal, until, user_id, warden_path};

/// How long a run may take at most: an emulated machine is fifty times as slow as its host.
const RUN_LIMIT: Duration = Duration::from_secs(600);

/// A command line of ffwarden to be.
pub struct Warden {
    place: Place,
    options: Vec<OsString>,
    before: Vec<OsString>,
}

impl Warden {
    /// ffwarden started from `place`.
    pub fn at(place: Place) -> Self {
        Self {
            place,
            options: Vec::new(),
            before: Vec::new(),
        }
    }

    /// Options of ffwarden's own.
    pub fn options<S: AsRef<OsStr>>(mut self, options: &[S]) -> Self {
        self.options
            .extend(options.iter().map(|o| o.as_ref().to_owned()));
        self
    }

    /// A command that starts ffwarden in turn (`choom -n -900 --`).
    pub fn under<S: AsRef<OsStr>>(mut self, before: &[S]) -> Self {
        self.before
            .extend(before.iter().map(|o| o.as_ref().to_owned()));
        self
    }

    /// Starts it on `job` (`["run", "--", ...]` or `["ffmpeg", ...]`), in a directory of its own.
    pub fn start<S: AsRef<OsStr>>(self, job: &[S]) -> Running {
        self.start_with(|_| (), job)
    }

    /// Starts it on `job`, after `prepare` has seen to the directory.
    pub fn start_with<S: AsRef<OsStr>>(self, prepare: impl Fn(&Path), job: &[S]) -> Running {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let tag = format!(
            "run-{}-{}.",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = tempfile::tempdir().unwrap();
        let report = dir.path().join("report.json");
        prepare(dir.path());
        if self.place.is_users() {
            let id = user_id();
            nix::unistd::chown(
                dir.path(),
                Some(Uid::from_raw(id)),
                Some(Gid::from_raw(group_id())),
            )
            .unwrap();
        }
        let mut command = self.place.prefix(&tag);
        // A service starts in / whatever its starter's directory.
        command
            .arg("env")
            .arg("-C")
            .arg(dir.path())
            .args(&self.before);
        command
            .arg(warden_path())
            .args(&self.options)
            .arg("--report")
            .arg(&report)
            .args(job);
        // Files, not pipes: what a run leaves behind must not keep us waiting for the end of its output.
        let child = command
            .env(TAG, &tag)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(dir.path().join("stdout")).unwrap())
            .stderr(File::create(dir.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Running {
            child,
            tag,
            dir,
            report,
        }
    }

    /// Starts it and waits for its end.
    pub fn run<S: AsRef<OsStr>>(self, job: &[S]) -> Finished {
        self.start(job).wait()
    }
}

/// A started ffwarden. Whatever of it is left is killed when this goes.
pub struct Running {
    child: Child,
    tag: String,
    dir: TempDir,
    report: PathBuf,
}

impl Running {
    /// The directory that the job runs in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its processes now: those of ffwarden, of the job, and of what was put in front of ffwarden.
    pub fn processes(&self) -> Vec<Process> {
        kernel::tagged(&self.tag)
    }

    /// Its processes that run ffwarden itself. The one that was started comes first.
    pub fn wardens(&self) -> Vec<Process> {
        let path = warden_path();
        let mut wardens = self.processes();
        wardens.retain(|p| kernel::program(p.pid).as_deref() == Some(&path));
        let own: Vec<_> = wardens.iter().map(|p| p.pid).collect();
        wardens.sort_by_key(|p| own.contains(&p.parent));
        wardens
    }

    /// The job's processes by the name of their program.
    pub fn named(&self, comm: &str) -> Vec<Process> {
        let mut processes = self.processes();
        processes.retain(|p| p.comm == comm);
        processes
    }

    /// The cgroups of its attempts now: those that hold a process of it.
    pub fn attempts(&self) -> Vec<PathBuf> {
        let own: Vec<_> = self.processes().iter().map(|p| p.pid).collect();
        let mut attempts = kernel::cgroups(is_attempt);
        attempts.retain(|cgroup| kernel::members(cgroup).iter().any(|pid| own.contains(pid)));
        attempts
    }

    /// Waits until the job has said `line`, and returns the cgroup of its attempt.
    pub fn attempt_after(&self, line: &str) -> PathBuf {
        self.until_running(&format!("the job to say '{line}'"), || {
            self.stdout().lines().any(|l| l == line)
        });
        let attempts = self.attempts();
        assert_eq!(attempts.len(), 1, "{attempts:?}\n{}", self.state());
        attempts.into_iter().next().unwrap()
    }

    /// Waits until `condition` is true.
    pub fn until(&self, what: &str, condition: impl Fn() -> bool) {
        until(what, condition, || self.state());
    }

    /// Waits until `condition` is true; fails if the run ends before that.
    pub fn until_running(&self, what: &str, condition: impl Fn() -> bool) {
        self.until(what, || {
            let ended = self.ended();
            condition()
                || ended.is_some_and(|status| panic!("not {what}, but {status}\n{}", self.state()))
        });
    }

    /// How the process that was started has ended, if it has. It can still be waited for.
    fn ended(&self) -> Option<String> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(pid), flags).unwrap() {
            WaitStatus::StillAlive => None,
            status => Some(format!("{status:?}")),
        }
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir().join("stdout")).unwrap()).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir().join("stderr")).unwrap()).into_owned()
    }

    /// All there is to know, for the message of a failed test.
    fn state(&self) -> String {
        let processes: Vec<_> = self
            .processes()
            .into_iter()
            .take(40) // of a fork bomb's thousands
            .map(|p| {
                format!(
                    "{} {:?}",
                    kernel::cgroup_of(p.pid).unwrap_or_default().display(),
                    p
                )
            })
            .collect();
        format!(
            "processes:\n  {}\nstdout:\n{}\nstderr:\n{}",
            processes.join("\n  "),
            self.stdout(),
            self.stderr()
        )
    }

    /// Ends the process that was started, as a user would.
    pub fn terminate(&self) {
        signal(self.wardens()[0].pid, Signal::SIGTERM);
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Finished {
        let deadline = Instant::now() + RUN_LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "no end after {RUN_LIMIT:?}\n{}",
                self.state()
            );
            thread::sleep(Duration::from_millis(20));
        };
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap());
        Finished {
            code,
            running: self,
        }
    }

    /// Waits until no process and no cgroup of it is left.
    pub fn assert_nothing_left(&self) {
        let left = || (self.processes(), kernel::cgroups(is_ours));
        until(
            "all processes and cgroups to go",
            || {
                let (processes, cgroups) = left();
                processes.is_empty() && cgroups.is_empty()
            },
            || format!("{:?}\n{}", left(), self.state()),
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let attempts = self.attempts();
        for process in self.processes() {
            signal(process.pid, Signal::SIGKILL);
        }
        // Nobody waits for it any more; this only keeps it from being a zombie.
        let _ = self.child.wait();
        // Nor does anybody remove what its two processes would have, and the next test looks for leftovers.
        let deadline = Instant::now() + SETTLE_LIMIT;
        for cgroup in attempts {
            while fs::remove_dir(&cgroup).is_err_and(|e| e.kind() != ErrorKind::NotFound)
                && Instant::now() < deadline
            {
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// A run that has ended.
pub struct Finished {
    /// The exit code; 128 + N after signal N.
    pub code: i32,
    running: Running,
}

impl Finished {
    /// The JSON report.
    pub fn report(&self) -> Value {
        let path = &self.running.report;
        let text = fs::read(path)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", path.display(), self.running.state()));
        serde_json::from_slice(&text).unwrap()
    }

    /// The attempts of the report.
    pub fn attempts(&self) -> Vec<Value> {
        self.report()["attempts"].as_array().unwrap().clone()
    }

    /// The outcomes of the attempts, in order.
    pub fn outcomes(&self) -> Vec<String> {
        self.attempts()
            .iter()
            .map(|a| a["outcome"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The kind of containment.
    pub fn containment(&self) -> String {
        self.report()["containment"]["kind"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub fn stdout(&self) -> String {
        self.running.stdout()
    }

    pub fn stderr(&self) -> String {
        self.running.stderr()
    }

    /// The directory that the job ran in.
    pub fn dir(&self) -> &Path {
        self.running.dir()
    }

    /// See [`Running::assert_nothing_left`].
    pub fn assert_nothing_left(&self) {
        self.running.assert_nothing_left();
    }

    /// The report and the output, for the message of a failed test.
    pub fn state(&self) -> String {
        format!(
            "exit {}\nreport: {}\n{}",
            self.code,
            fs::read_to_string(&self.running.report).unwrap_or_default(),
            self.running.state()
        )
    }
}

fn is_attempt(name: &str) -> bool {
    name.starts_with("attempt-")
}

fn is_ours(name: &str) -> bool {
    is_attempt(name) || name.starts_with("ffwarden-") && name.ends_with(".scope")
}
