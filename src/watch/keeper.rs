//! Who lets frozen processes go on when the watcher is killed: a process of its own, which notices that the pipe between
//! the two has broken.
//!
//! It holds back every signal that can be: it ends with the watcher in any case.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sys::signal::SigSet;

use crate::job::messages::Messages;
use crate::memory::proc;
use crate::memory::tree::Tree;
use crate::slice::cgroup;
use crate::sys::{self, Forked};

/// What has been frozen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Frozen {
    /// All in a cgroup.
    Cgroup(PathBuf),
    /// A process with its descendants: its ID, and when it was started, clock ticks since boot.
    Tree(i32, u64),
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frozen::Cgroup(dir) => write!(f, "what is in {}", dir.display()),
            Frozen::Tree(pid, _) => write!(f, "process {pid}"),
        }
    }
}

/// The watcher's end.
#[derive(Debug)]
pub struct Keeper(Option<PipeWriter>);

impl Keeper {
    /// Starts the process. To be called before there is any thread.
    ///
    /// # Errors
    /// When no pipe or process can be made.
    pub fn start() -> io::Result<Keeper> {
        let (reader, writer) = io::pipe()?;
        match sys::fork()? {
            Forked::Parent(_) => Ok(Keeper(Some(writer))),
            Forked::Child => {
                drop(writer);
                keep(reader);
                std::process::exit(0)
            }
        }
    }

    /// There is nothing to keep.
    pub fn none() -> Keeper {
        Keeper(None)
    }

    /// To be told before it is frozen.
    pub fn freezes(&mut self, what: &Frozen) {
        match what {
            Frozen::Cgroup(dir) => self.tell(b'C', dir.as_os_str().as_bytes()),
            Frozen::Tree(pid, start) => self.tell(b'T', format!("{pid} {start}").as_bytes()),
        }
    }

    /// To be told when it goes on.
    pub fn thawed(&mut self, what: &Frozen) {
        match what {
            Frozen::Cgroup(dir) => self.tell(b'c', dir.as_os_str().as_bytes()),
            Frozen::Tree(pid, start) => self.tell(b't', format!("{pid} {start}").as_bytes()),
        }
    }

    fn tell(&mut self, tag: u8, body: &[u8]) {
        let message = [&[tag], body, &[0]].concat();
        let Some(pipe) = &mut self.0 else { return };
        if let Err(error) = pipe.write_all(&message) {
            log::warn!("what is frozen will stand still if this process is killed: {error}");
            self.0 = None;
        }
    }
}

/// Listens until the watcher has ended, and lets go on what still stands still.
fn keep(reader: PipeReader) {
    // The terminal's signals are the watcher's, and so is a wish to end that is sent to all of its name.
    let _as_it_was = SigSet::all().thread_set_mask();
    crate::job::guard::let_go_of_input_and_output();
    thaw(&listen(reader));
}

/// What is still frozen when the pipe breaks.
fn listen(mut reader: impl Read) -> BTreeSet<Frozen> {
    let mut messages = Messages::default();
    let mut frozen = BTreeSet::new();
    let mut chunk = [0u8; 4096];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return frozen,
            Ok(count) => messages.read(&chunk[..count], |tag, body| note(&mut frozen, tag, body)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return frozen,
        }
    }
}

fn note(frozen: &mut BTreeSet<Frozen>, tag: u8, body: &[u8]) {
    let what = match tag.to_ascii_uppercase() {
        b'C' => Some(Frozen::Cgroup(OsString::from_vec(body.to_vec()).into())),
        b'T' => tree(body),
        _ => None,
    };
    match what {
        Some(what) if tag.is_ascii_uppercase() => drop(frozen.insert(what)),
        Some(what) => drop(frozen.remove(&what)),
        None => {}
    }
}

fn tree(body: &[u8]) -> Option<Frozen> {
    let (pid, start) = std::str::from_utf8(body).ok()?.split_once(' ')?;
    Some(Frozen::Tree(pid.parse().ok()?, start.parse().ok()?))
}

fn thaw(frozen: &BTreeSet<Frozen>) {
    for one in frozen {
        let thawed = match one {
            Frozen::Cgroup(dir) => thaw_cgroup(dir),
            Frozen::Tree(pid, start) => thaw_tree(*pid, *start),
        };
        match thawed {
            Ok(()) => log::warn!("the watcher was killed; {one} goes on"),
            Err(error) => log::error!("the watcher was killed; {one} stands still: {error}"),
        }
    }
}

fn thaw_cgroup(dir: &Path) -> io::Result<()> {
    cgroup::freeze(dir, false).map_err(io::Error::other)
}

fn thaw_tree(pid: i32, start: u64) -> io::Result<()> {
    // The PID may be another's by now.
    match proc::stat(pid).filter(|stat| stat.start == start) {
        Some(_) => Tree::of(nix::unistd::Pid::from_raw(pid)).freeze(false),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_thawed_is_left() {
        let told: &[u8] = b"C/cg/a\nb\0T12 345\0c/cg/a\nb\0T7 8\0C/cg/c\0t7 8\0Tx\0Q1\0";
        let expected = [Frozen::Cgroup("/cg/c".into()), Frozen::Tree(12, 345)];
        assert_eq!(listen(told), expected.into());
    }

    #[test]
    fn a_stopped_tree_goes_on_and_one_that_is_another_by_now_does_not() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let start = proc::stat(pid).unwrap().start;
        let of = nix::unistd::Pid::from_raw(pid);
        Tree::of(of).freeze(true).unwrap();
        let state = || {
            procfs::process::Process::new(pid)?
                .stat()
                .map(|stat| stat.state)
        };
        thaw(&[Frozen::Tree(pid, start + 1)].into());
        assert_eq!(state().unwrap(), 'T');
        thaw(&[Frozen::Tree(pid, start)].into());
        assert_ne!(state().unwrap(), 'T');
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
