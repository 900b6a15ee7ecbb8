//! The limits of the cgroups above this process: `MemAvailable` does not know them, inside a container it still tells
//! the host's. The bound is the smallest of `limit - needs`, for cgroup v2 and for v1's memory controller.
//!
//! In a cgroup namespace ancestors beyond its root cannot be seen.

use std::path::{Path, PathBuf};

use super::kept::Kept;
use super::{Machine, needs_from_stat, value};

/// The cgroups that may bound us, their files kept open.
#[derive(Debug)]
pub(super) struct Bounds(Vec<Level>);

/// One cgroup.
#[derive(Debug)]
struct Level {
    /// The least of these counts.
    limits: Vec<(PathBuf, Kept)>,
    stat: Kept,
    needs: fn(&str) -> u64,
    swap: Option<Swap>,
}

#[derive(Debug)]
struct Swap {
    max: Kept,
    current: Kept,
}

impl Bounds {
    /// For a process with this `/proc/PID/cgroup`, where cgroups are mounted at `mount`.
    pub(super) fn of(proc_cgroup: &str, mount: &Path) -> Bounds {
        let mut levels = Vec::new();
        for line in proc_cgroup.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let relative = Path::new(path.trim_start_matches('/'));
            if controllers.is_empty() {
                let level = |dir| Level::v2(&mount.join(dir));
                levels.extend(relative.ancestors().filter_map(level));
            } else if controllers.split(',').any(|name| name == "memory") {
                let root = mount.join("memory");
                let level = |dir| Level::v1(&root.join(dir));
                levels.extend(relative.ancestors().filter_map(level));
            }
        }
        Bounds(levels)
    }

    /// Lowers what the machine has to what the cgroups allow.
    pub(super) fn apply(&mut self, machine: &mut Machine) {
        let total = machine.total_bytes;
        for level in &mut self.0 {
            level.apply(machine, total);
        }
    }

    /// The swap that may be used of so many free bytes.
    pub(super) fn swap_free(&mut self, free: u64) -> u64 {
        self.0
            .iter_mut()
            .filter_map(|level| level.swap.as_mut())
            .filter_map(|swap| {
                Some(number(&mut swap.max)?.saturating_sub(number(&mut swap.current)?))
            })
            .fold(free, u64::min)
    }
}

impl Level {
    fn v2(dir: &Path) -> Option<Level> {
        let limit = |name: &str| {
            let path = dir.join(name);
            Some((path.clone(), Kept::open(&path).ok()?))
        };
        // The root has neither.
        let limits: Vec<_> = ["memory.max", "memory.high"]
            .into_iter()
            .filter_map(limit)
            .collect();
        let open = |name: &str| Kept::open(&dir.join(name)).ok();
        let swap = || {
            Some(Swap {
                max: open("memory.swap.max")?,
                current: open("memory.swap.current")?,
            })
        };
        Some(Level {
            stat: (!limits.is_empty()).then(|| open("memory.stat"))??,
            limits,
            needs: needs_from_stat,
            swap: swap(),
        })
    }

    fn v1(dir: &Path) -> Option<Level> {
        let limit = dir.join("memory.limit_in_bytes");
        Some(Level {
            limits: vec![(limit.clone(), Kept::open(&limit).ok()?)],
            stat: Kept::open(&dir.join("memory.stat")).ok()?,
            needs: needs_v1,
            swap: None,
        })
    }

    fn apply(&mut self, machine: &mut Machine, total: u64) {
        let limits = self.limits.iter_mut();
        let read = limits.filter_map(|(path, file)| Some((number(file)?, path)));
        // Of two that are the same the first is named. v1 tells "no limit" as a number beyond any memory.
        let Some((limit, path)) = read
            .min_by_key(|(limit, _)| *limit)
            .filter(|(limit, _)| *limit < total)
        else {
            return;
        };
        let Ok(stat) = self.stat.read() else { return };
        let left = limit.saturating_sub((self.needs)(stat));
        machine.available_bytes = machine.available_bytes.min(left);
        if limit < machine.total_bytes {
            machine.total_bytes = limit;
            machine.bound_by = Some(path.display().to_string());
        }
    }
}

fn number(file: &mut Kept) -> Option<u64> {
    file.read().ok()?.trim().parse().ok()
}

fn needs_v1(stat: &str) -> u64 {
    ["total_rss", "total_shmem", "total_unevictable"]
        .iter()
        .filter_map(|key| value(stat, key))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(dir: &Path, name: &str, text: &str) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }

    fn machine(total_bytes: u64, available_bytes: u64) -> Machine {
        Machine {
            total_bytes,
            available_bytes,
            bound_by: None,
        }
    }

    #[test]
    fn the_tightest_ancestor_bounds_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let (parent, own) = (root.path().join("a"), root.path().join("a/b"));
        write(&parent, "memory.max", "1000000\n");
        write(&parent, "memory.high", "max\n");
        let stat = "anon 300000\nfile 600000\nshmem 100000\nkernel 50000\nslab_reclaimable 20000\n";
        write(&parent, "memory.stat", stat);
        write(&own, "memory.max", "max\n");
        write(&own, "memory.high", "max\n");
        write(&own, "memory.stat", "anon 1\n");
        let mut bounds = Bounds::of("0::/a/b\n", root.path());
        let mut bound = machine(8_000_000, 5_000_000);
        bounds.apply(&mut bound);
        assert_eq!(bound.total_bytes, 1_000_000);
        assert_eq!(
            bound.available_bytes,
            1_000_000 - 300_000 - 100_000 - 30_000
        );
        assert!(bound.bound_by.unwrap().ends_with("a/memory.max"));
        // A limit that is changed counts from then on.
        write(&parent, "memory.max", "max\n");
        write(&own, "memory.high", "2000000\n");
        let mut bound = machine(8_000_000, 5_000_000);
        bounds.apply(&mut bound);
        assert_eq!(bound.total_bytes, 2_000_000);
        assert!(bound.bound_by.unwrap().ends_with("a/b/memory.high"));
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
        let mut bound = machine(10_000, 9_000);
        Bounds::of("4:memory:/job\n0::/\n", root.path()).apply(&mut bound);
        assert_eq!((bound.total_bytes, bound.available_bytes), (2000, 1500));
    }

    #[test]
    fn swap_is_bounded_too() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("job");
        for (name, text) in [
            ("memory.max", "max\n"),
            ("memory.stat", "anon 1\n"),
            ("memory.swap.max", "5000\n"),
            ("memory.swap.current", "1000\n"),
        ] {
            write(&own, name, text);
        }
        let mut bounds = Bounds::of("0::/job\n", root.path());
        assert_eq!(bounds.swap_free(9000), 4000);
        assert_eq!(bounds.swap_free(3000), 3000);
    }
}
