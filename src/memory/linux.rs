//! The machine's memory on Linux, and what the files of a cgroup say.

use std::fs;

use procfs::{Current, Meminfo};

use super::sample::Sampler;
use super::{Machine, MemoryError};

/// Memory that this process and its children may use now: `MemAvailable` and what is free besides, bounded by the
/// cgroups above.
///
/// # Errors
/// When `/proc/meminfo` is missing or has no `MemAvailable` (kernels before 3.14).
pub fn machine() -> Result<Machine, MemoryError> {
    Sampler::open()?.machine()
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

/// Bytes of a cgroup v2 `memory.stat` that cannot be reclaimed: anonymous memory, shared memory, unevictable
/// pages and kernel memory but for its reclaimable part (design, rule 1). Swap is counted apart.
pub fn needs_from_stat(stat: &str) -> u64 {
    let (mut sure, mut kernel, mut parts, mut reclaimable) = (0, None, 0, 0);
    for line in stat.lines() {
        let Some((key, number)) = line.split_once(' ') else {
            continue;
        };
        let place = match key {
            "anon" | "shmem" | "unevictable" => &mut sure,
            "kernel" => kernel.insert(0),
            "slab" | "kernel_stack" | "pagetables" => &mut parts,
            "slab_reclaimable" => &mut reclaimable,
            _ => continue,
        };
        *place += number.trim().parse::<u64>().unwrap_or(0);
    }
    // `kernel` is in memory.stat since 5.18; slabs, stacks and page tables make up most of it before.
    sure + kernel.unwrap_or(parts).saturating_sub(reclaimable)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_reclaimed_is_counted_once() {
        let new = "anon 100\nfile 70\nkernel 50\nkernel_stack 9\npagetables 9\nshmem 20\nunevictable 3\nslab_reclaimable 15\nslab 30\n";
        assert_eq!(needs_from_stat(new), 100 + 20 + 3 + 35);
        let old = "anon 100\nkernel_stack 9\nslab 30\nslab_reclaimable 15\npagetables 6\n";
        assert_eq!(needs_from_stat(old), 100 + 30);
        assert_eq!(needs_from_stat(""), 0);
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
