//! What `/proc` says of one process: few fields, read without more allocation than it takes.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::kept::Kept;

/// Longest environment that is searched, bytes: what execve allows on most machines.
const ENVIRON_BOUND: u64 = 2 << 20;

/// What is needed of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its parent.
    pub parent: i32,
    /// `R`, `S`, `D`, `T`, `Z` ...
    pub state: u8,
    /// When it was started, clock ticks since boot; with the PID it names a process for good.
    pub start: u64,
    /// CPU time of its own and of the children that it has waited for, clock ticks.
    pub cpu_ticks: u64,
}

impl Stat {
    /// Whether it still runs; a zombie does not.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X')
    }

    /// Whether a signal or a tracer has stopped it.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }
}

/// A process's `/proc/PID/stat`; none when it is gone.
pub fn stat(pid: i32) -> Option<Stat> {
    stat_of(&File::open(format!("/proc/{pid}/stat")).ok()?)
}

fn stat_of(file: &File) -> Option<Stat> {
    let mut buffer = [0; 1024];
    let length = file.read_at(&mut buffer, 0).ok()?;
    parse_stat(&buffer[..length])
}

/// The files of one process kept open, so that a look at it costs one read. They are that process's, whoever gets its
/// PID later.
#[derive(Debug)]
pub struct Files {
    statm: File,
    stat: File,
}

impl Files {
    /// Of the process that was started at `start`; none when it is gone.
    pub fn open(pid: i32, start: u64) -> Option<Files> {
        let open = |name| File::open(format!("/proc/{pid}/{name}")).ok();
        let files = Files {
            statm: open("statm")?,
            stat: open("stat")?,
        };
        // Open before it is looked at: the PID may be another's by now.
        (files.stat()?.start == start).then_some(files)
    }

    /// Its `stat`; none when it is gone.
    pub fn stat(&self) -> Option<Stat> {
        stat_of(&self.stat)
    }

    /// Its resident and shared pages; none when it is gone.
    pub fn pages(&self) -> Option<(u64, u64)> {
        let mut buffer = [0; 128];
        let length = self.statm.read_at(&mut buffer, 0).ok()?;
        statm(std::str::from_utf8(&buffer[..length]).ok()?)
    }
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The name stands in brackets and may hold anything, brackets and line ends too.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    // proc_pid_stat(5): the fields from the third on.
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let mut number = |skip| fields.nth(skip)?.parse::<u64>().ok();
    // utime, stime, cutime, cstime are fields 14 to 17, starttime is 22.
    let cpu_ticks = number(9)? + number(0)? + number(0)? + number(0)?;
    let start = number(4)?;
    Some(Stat {
        parent,
        state,
        start,
        cpu_ticks,
    })
}

/// Clock ticks as time.
pub fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(1000) / procfs::ticks_per_second().max(1))
}

/// Time since boot, in suspension too: the clock that [`Stat::start`] is on.
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// Resident and shared pages of a `/proc/PID/statm`.
fn statm(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.split_ascii_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Bytes that a process has read and written by system calls; none for another user's.
pub fn io_bytes(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let field = |key| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
    };
    Some(field("rchar:")? + field("wchar:")?)
}

/// Whether the kernel lists the children of a process (`CONFIG_PROC_CHILDREN`).
pub fn lists_children() -> bool {
    Path::new("/proc/thread-self/children").exists()
}

/// The children of a process, where the kernel lists them. They belong to the thread that forked them.
pub fn children(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return found;
    };
    for thread in threads.flatten() {
        if let Ok(text) = fs::read_to_string(thread.path().join("children")) {
            found.extend(
                text.split_ascii_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            );
        }
    }
    found
}

/// All processes.
pub fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether a number of `/proc` is that of a process, and not of a thread of one.
pub fn is_process(pid: i32) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    let of_process = text.lines().find_map(|line| line.strip_prefix("Tgid:"));
    of_process.and_then(|text| text.trim().parse().ok()) == Some(pid)
}

/// The value of a variable in the environment that a process was started with; none when it has none, or is
/// another user's.
pub fn variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    let mut environ = Vec::new();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRON_BOUND).read_to_end(&mut environ).ok()?;
    environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .map(<[u8]>::to_vec)
}

/// The PID given away last: as long as it stays the same, no process and no thread has been started.
pub fn newest() -> Option<u64> {
    Newest::default().read()
}

/// The same, asked again and again.
#[derive(Debug, Default)]
pub struct Newest(Option<Kept>);

impl Newest {
    /// The PID given away last.
    pub fn read(&mut self) -> Option<u64> {
        if self.0.is_none() {
            self.0 = Kept::open(Path::new("/proc/loadavg")).ok();
        }
        let text = self.0.as_mut()?.read().ok()?;
        text.split_ascii_whitespace().nth(4)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_brackets_spaces_and_line_ends() {
        let line =
            b"42 (a) R 1 (\nb) S 7 42 42 0 -1 4194560 1 0 0 0 10 20 3 4 20 0 1 0 987 1 1 1\n";
        let expected = Stat {
            parent: 7,
            state: b'S',
            start: 987,
            cpu_ticks: 37,
        };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat(b"42 (x) S 7"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn this_process_is_as_it_is() {
        let own = i32::try_from(std::process::id()).unwrap();
        let stat = stat(own).unwrap();
        assert_eq!(stat.parent, nix::unistd::getppid().as_raw());
        assert!(stat.is_alive() && !stat.is_stopped());
        assert_eq!(
            variable(own, "PATH"),
            std::env::var("PATH").ok().map(String::into_bytes)
        );
        assert!(io_bytes(own).is_some());
        assert!(all().contains(&own));
        let files = Files::open(own, stat.start).unwrap();
        assert_eq!(files.stat().unwrap().start, stat.start);
        let (resident, shared) = files.pages().unwrap();
        assert!(resident > shared && shared > 0);
        assert!(
            Files::open(own, stat.start + 1).is_none(),
            "another process"
        );
        assert!(is_process(own) && !is_process(0));
        // Tests run in threads of this process.
        let thread = nix::unistd::gettid().as_raw();
        assert_ne!(thread, own);
        assert!(!is_process(thread));
    }

    #[test]
    fn a_started_process_changes_the_newest() {
        let mut kept = Newest::default();
        let before = (newest().unwrap(), kept.read().unwrap());
        std::process::Command::new("true").status().unwrap();
        assert_ne!(newest().unwrap(), before.0);
        assert_ne!(kept.read().unwrap(), before.1);
    }
}
