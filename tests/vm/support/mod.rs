//! Starts ffwarden as the different kinds of user do, and keeps what came of it.

pub mod kernel;
pub mod own_slice;
mod place;
pub mod swap;
mod warden;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};

pub use place::Place;
pub use warden::{Finished, Running, Warden};

/// How long the kernel and systemd may take to do what they have been told.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// The ffwarden under test.
pub fn warden_path() -> PathBuf {
    let path = std::env::var_os("FFWARDEN_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_ffwarden").into(), PathBuf::from);
    // As /proc/PID/exe names it.
    fs::canonicalize(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The program that uses memory as told (tests/support/hog.rs).
pub fn hog() -> PathBuf {
    std::env::var_os("FFWARDEN_HOG").map_or_else(
        || {
            // Beside .../deps/vm-HASH lies .../examples/hog.
            let deps = std::env::current_exe().unwrap();
            deps.ancestors().nth(2).unwrap().join("examples/hog")
        },
        PathBuf::from,
    )
}

/// The path of [`hog`] as text, for command lines.
pub fn hog_text() -> String {
    hog().into_os_string().into_string().unwrap()
}

/// The ordinary user of this machine, who has a service manager of their own.
pub fn user_id() -> u32 {
    std::env::var("FFWARDEN_TEST_UID").map_or(1000, |uid| uid.parse().unwrap())
}

/// Their group.
pub fn group_id() -> u32 {
    let user = User::from_uid(Uid::from_raw(user_id())).unwrap();
    user.expect("the ordinary user has an account").gid.as_raw()
}

/// The number of packets in the first video stream of a file; for x264's output, the number of frames.
pub fn packets(file: &Path) -> u32 {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-count_packets"])
        .args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// A process outside of anything that ffwarden has to do with.
pub struct Bystander(Child);

impl Bystander {
    /// Holds `size` (as [`hog`] understands it) until it goes out of scope.
    pub fn holding(size: &str) -> Self {
        Self::with(&["--touch", size])
    }

    /// The same, but takes no more than 100 MB/s: memory that goes faster is a reason to stop a victim at once.
    pub fn taking(size: &str) -> Self {
        Self::with(&["--touch", size, "--step", "1M", "--delay", "10ms"])
    }

    fn with(args: &[&str]) -> Self {
        let mut child = Command::new(hog())
            .args(args)
            .args(["--hold", "3600s"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The one line that it says is there once it has its memory.
        let mut line = [0; 13];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        assert_eq!(&line, b"hog: holding\n");
        Self(child)
    }

    /// Fails if it has come to harm.
    pub fn assert_untouched(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "the bystander has ended");
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal; a process that has gone is no error.
pub fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
}

/// Waits until `condition` is true; fails with `what` and `state` if it does not come true.
fn until(what: &str, condition: impl Fn() -> bool, state: impl Fn() -> String) {
    let deadline = Instant::now() + SETTLE_LIMIT;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "waited for {what} for {SETTLE_LIMIT:?}\n{}",
            state()
        );
        thread::sleep(Duration::from_millis(50));
    }
}
