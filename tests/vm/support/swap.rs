//! Swap for the time of one test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::kernel;

/// A swap file that is in use until this goes out of scope. What is in it has to fit into memory then.
pub struct Swap {
    file: PathBuf,
    _dir: TempDir,
}

impl Swap {
    /// Of so many MiB. Fails where the machine lets nobody have it: there is nothing to test then.
    pub fn of(mib: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("swap");
        let path = file.to_str().unwrap();
        // Made for root alone; a file with holes is refused by swapon.
        run("install", &["-m", "600", "/dev/null", path]);
        run("fallocate", &["-l", &format!("{mib}M"), path]);
        run("mkswap", &["--quiet", path]);
        run("swapon", &[path]);
        Self { file, _dir: dir }
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        let off = Command::new("swapoff").arg(&self.file).status();
        if !off.is_ok_and(|status| status.success()) {
            eprintln!("{} is still in use as swap", self.file.display());
        }
    }
}

/// Bytes of the machine's swap that are in use.
pub fn used() -> u64 {
    let bytes = |name| kernel::meminfo(name);
    bytes("SwapTotal") - bytes("SwapFree")
}

/// Bytes that a cgroup has in swap; none once it has gone.
pub fn held(cgroup: &Path) -> u64 {
    std::fs::read_to_string(cgroup.join("memory.swap.current"))
        .map_or(0, |text| text.trim().parse().unwrap())
}

fn run(program: &str, args: &[&str]) {
    let out = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("no swap can be made here: {program}: {error}"));
    assert!(
        out.status.success(),
        "no swap can be made here: {program} {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}
