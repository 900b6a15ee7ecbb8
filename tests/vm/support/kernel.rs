//! What the kernel says: processes, cgroups and their counters. Reads only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where cgroup v2 is mounted.
pub const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// A process as `/proc` shows it.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    /// The kernel's name of it, 15 bytes at most.
    pub comm: String,
}

/// The processes whose environment holds `tag`, in the order of their ids.
///
/// The environment is what a process was started with, so nothing that a test started can hide: neither a
/// daemon in a session of its own nor one that systemd has adopted. (A zombie has none, and needs no finding.)
pub fn tagged(tag: &str) -> Vec<Process> {
    let mut found: Vec<_> = pids()
        .filter(|pid| {
            // Gone since, or never ours to read: not one of ours.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(tag.len()).any(|w| w == tag.as_bytes())
        })
        .filter_map(process)
        .collect();
    found.sort_by_key(|p| p.pid);
    found
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The process `pid`, `None` once it has gone.
pub fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold any character, brackets too.
    let comm = stat.get(stat.find('(')? + 1..stat.rfind(')')?)?.to_owned();
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    Some(Process { pid, parent, comm })
}

/// What `pid` does: `R`, `S`, `T`, ... `None` once it has gone.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// The program that `pid` runs, `None` once it has gone.
pub fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The cgroup directory that `pid` is in, `None` once it has gone.
pub fn cgroup_of(pid: u32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(CGROUP_ROOT).join(path))
}

/// The cgroup directories anywhere in the tree that `wanted` is true for.
pub fn cgroups(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from(CGROUP_ROOT)];
    while let Some(dir) = left.pop() {
        // A cgroup may go while we look.
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                left.push(entry.path());
                if entry.file_name().to_str().is_some_and(&wanted) {
                    found.push(entry.path());
                }
            }
        }
    }
    found.sort();
    found
}

/// One value of `/proc/vmstat`.
pub fn vmstat(name: &str) -> u64 {
    keyed(Path::new("/proc/vmstat"))[name]
}

/// What is available, bytes, as ffwarden counts it: `MemAvailable` leaves out an eighth of the machine here at times.
pub fn available() -> u64 {
    ffwarden::memory::machine().unwrap().available_bytes
}

/// One value of `/proc/meminfo`, in bytes.
pub fn meminfo(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.unwrap().parse::<u64>().unwrap() << 10
}

/// A file of lines `key value`.
pub fn keyed(path: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .map(|line| {
            let (key, value) = line.split_once(' ').unwrap();
            (key.to_owned(), value.trim().parse().unwrap())
        })
        .collect()
}

/// The sum of `memory.events` over the cgroups at the top of the tree.
///
/// Events count in every ancestor but the root, so these keep what a cgroup that has gone had counted.
pub fn memory_events() -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for entry in fs::read_dir(CGROUP_ROOT).unwrap().flatten() {
        let events = entry.path().join("memory.events");
        if events.exists() {
            for (key, value) in keyed(&events) {
                *sum.entry(key).or_default() += value;
            }
        }
    }
    sum
}

/// What a file of a cgroup holds, without the newline.
pub fn value(cgroup: &Path, file: &str) -> String {
    let path = cgroup.join(file);
    fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .trim_end()
        .to_owned()
}

/// Whether all in a cgroup stands still.
pub fn is_frozen(cgroup: &Path) -> bool {
    let events = fs::read_to_string(cgroup.join("cgroup.events"));
    events.is_ok_and(|text| text.contains("frozen 1"))
}

/// The processes in a cgroup; none once it has gone.
pub fn members(cgroup: &Path) -> Vec<u32> {
    fs::read_to_string(cgroup.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect()
}

/// Reads FFmpeg and its libraries into the page cache on our own account. Whoever reads a file first is charged for
/// it; charged to a small slice, its code would be evicted and read again for minutes before the kernel gives up.
pub fn cache_ffmpeg() {
    let script = "ffmpeg=$(command -v ffmpeg); cat \"$ffmpeg\" $(ldd \"$ffmpeg\" | grep -o '/[^ ]*') >/dev/null";
    let status = std::process::Command::new("sh")
        .args(["-c", script])
        .status()
        .unwrap();
    assert!(status.success());
}
