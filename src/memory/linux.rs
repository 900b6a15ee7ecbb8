//! The machine's memory on Linux: `MemAvailable`, bounded by the ancestor cgroups' limits.
//!
//! `MemAvailable` is not cgroup aware: inside a container it still tells the host's. The bound is the smallest
//! of `limit - needs` over this process's cgroup and its ancestors, for cgroup v2 and for v1's memory controller.

use std::fs;
use std::path::{Path, PathBuf};

use procfs::{Current, Meminfo};

use super::{Machine, MemoryError};

/// Memory that this process and its children may use now.
///
/// # Errors
/// When `/proc/meminfo` is missing or has no `MemAvailable` (kernels before 3.14).
pub fn machine() -> Result<Machine, MemoryError> {
    let unreadable = |why: String| MemoryError::Unreadable {
        what: "/proc/meminfo".into(),
        why,
    };
    let meminfo = Meminfo::current().map_err(|error| unreadable(error.to_string()))?;
    let available = meminfo
        .mem_available
        .ok_or_else(|| unreadable("no MemAvailable line".into()))?;
    let mut machine = Machine {
        total_bytes: meminfo.mem_total,
        available_bytes: available,
        bound_by: None,
    };
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    for bound in bounds(&own, Path::new("/sys/fs/cgroup"), machine.total_bytes) {
        machine.apply(&bound);
    }
    Ok(machine)
}

/// Swap of the machine, bytes.
pub fn swap_total_bytes() -> u64 {
    Meminfo::current().map_or(0, |meminfo| meminfo.swap_total)
}

/// How often the kernel's OOM killer has killed since boot, for any cgroup or the whole machine.
pub fn oom_kills() -> Option<u64> {
    let vmstat = fs::read_to_string("/proc/vmstat").ok()?;
    value(&vmstat, "oom_kill")
}

/// Whether the kernel tells memory pressure (PSI); not where it was built without or booted with `psi=0`.
pub fn has_pressure() -> bool {
    procfs::MemoryPressure::current().is_ok()
}

/// A cgroup's limit and what it holds that cannot be reclaimed.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    file: PathBuf,
    limit: u64,
    needs: u64,
}

impl Machine {
    fn apply(&mut self, bound: &Bound) {
        if bound.limit < self.total_bytes {
            self.total_bytes = bound.limit;
            self.bound_by = Some(bound.file.display().to_string());
        }
        self.available_bytes = self
            .available_bytes
            .min(bound.limit.saturating_sub(bound.needs));
    }
}

/// The limits above a process that are below `total` bytes, given its `/proc/self/cgroup` and where cgroups are
/// mounted.
fn bounds(proc_self_cgroup: &str, mount: &Path, total: u64) -> Vec<Bound> {
    let mut found = Vec::new();
    for line in proc_self_cgroup.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let relative = Path::new(path.trim_start_matches('/'));
        if controllers.is_empty() {
            found.extend(
                relative
                    .ancestors()
                    .filter_map(|dir| bound_v2(&mount.join(dir), total)),
            );
        } else if controllers.split(',').any(|name| name == "memory") {
            let root = mount.join("memory");
            found.extend(
                relative
                    .ancestors()
                    .filter_map(|dir| bound_v1(&root.join(dir), total)),
            );
        }
    }
    found
}

fn bound_v2(dir: &Path, total: u64) -> Option<Bound> {
    let max = number(&dir.join("memory.max"));
    let high = number(&dir.join("memory.high"));
    let (name, limit) = match (max, high) {
        (Some(max), Some(high)) if high < max => ("memory.high", high),
        (Some(max), _) => ("memory.max", max),
        (None, Some(high)) => ("memory.high", high),
        (None, None) => return None,
    };
    if limit >= total {
        return None;
    }
    let stat = fs::read_to_string(dir.join("memory.stat")).ok()?;
    Some(Bound {
        file: dir.join(name),
        limit,
        needs: needs_from_stat(&stat),
    })
}

fn bound_v1(dir: &Path, total: u64) -> Option<Bound> {
    let file = dir.join("memory.limit_in_bytes");
    let limit = number(&file).filter(|limit| *limit < total)?;
    let stat = fs::read_to_string(dir.join("memory.stat")).ok()?;
    let needs = ["total_rss", "total_shmem", "total_unevictable"]
        .iter()
        .filter_map(|key| value(&stat, key))
        .sum();
    Some(Bound { file, limit, needs })
}

/// Bytes of a cgroup v2 `memory.stat` that cannot be reclaimed: anonymous memory, shared memory, unevictable
/// pages and kernel memory but for its reclaimable part (design, rule 1). Swap is counted apart.
pub fn needs_from_stat(stat: &str) -> u64 {
    let get = |key| value(stat, key).unwrap_or(0);
    // `kernel` is in memory.stat since 5.18; slabs, stacks and page tables make up most of it before.
    let kernel = value(stat, "kernel")
        .unwrap_or_else(|| get("slab") + get("kernel_stack") + get("pagetables"));
    get("anon") + get("shmem") + get("unevictable") + kernel.saturating_sub(get("slab_reclaimable"))
}

/// The number behind `key` in a file of `key number` lines.
pub fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }

    #[test]
    fn the_tightest_ancestor_bounds_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let (parent, own) = (root.path().join("a"), root.path().join("a/b"));
        write(&parent, "memory.max", "1000000\n");
        write(&parent, "memory.high", "max\n");
        write(
            &parent,
            "memory.stat",
            "anon 300000\nfile 600000\nshmem 100000\nkernel 50000\nslab_reclaimable 20000\n",
        );
        write(&own, "memory.max", "max\n");
        write(&own, "memory.high", "max\n");
        write(&own, "memory.stat", "anon 1\n");
        let bounds = bounds("0::/a/b\n", root.path(), 8_000_000);
        let mut machine = Machine {
            total_bytes: 8_000_000,
            available_bytes: 5_000_000,
            bound_by: None,
        };
        bounds.iter().for_each(|bound| machine.apply(bound));
        assert_eq!(machine.total_bytes, 1_000_000);
        assert_eq!(
            machine.available_bytes,
            1_000_000 - 300_000 - 100_000 - 30_000
        );
        assert!(machine.bound_by.unwrap().ends_with("a/memory.max"));
    }

    #[test]
    fn v1_limits_count_and_an_unlimited_v1_does_not() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("memory/job");
        write(&own, "memory.limit_in_bytes", "2000\n");
        write(&own, "memory.stat", "cache 700\ntotal_rss 500\n");
        let top = root.path().join("memory");
        write(&top, "memory.limit_in_bytes", "9223372036854771712\n");
        write(&top, "memory.stat", "total_rss 500\n");
        let mut machine = Machine {
            total_bytes: 10_000,
            available_bytes: 9_000,
            bound_by: None,
        };
        bounds("4:memory:/job\n0::/\n", root.path(), 10_000)
            .iter()
            .for_each(|bound| machine.apply(bound));
        assert_eq!((machine.total_bytes, machine.available_bytes), (2000, 1500));
    }

    #[test]
    fn keys_are_matched_whole() {
        assert_eq!(
            value("oom_kill_x 1\noom 2\noom_kill 3\n", "oom_kill"),
            Some(3)
        );
        assert_eq!(value("oom 2\n", "oom_kill"), None);
    }
}
