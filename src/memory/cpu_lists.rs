//! Free pages that the kernel keeps in a list for each processor. Since Linux 6.7 such lists grow by themselves to an
//! eighth of the machine's memory, and what is in them counts neither as `MemFree` nor as `MemAvailable`: a process
//! that ends gives its memory back to one of them, from where it trickles for minutes (measured on 24 GiB with two
//! processors: 1.5 GB given back, 0.2 to 0.8 GB seen, 16 MB more in each second; all of it with the lists added). Who
//! runs short empties them before anything is reclaimed.

use std::path::Path;

use super::kept::Kept;

/// Bytes that it has on a machine with some processors.
const USUAL: usize = 16 << 10;

/// The lists of all zones and processors.
#[derive(Debug)]
pub struct CpuLists {
    /// None where they cannot grow.
    zoneinfo: Option<Kept>,
    page_bytes: u64,
}

impl CpuLists {
    /// Opens what tells of them.
    pub fn open() -> CpuLists {
        CpuLists {
            zoneinfo: Kept::open_long(Path::new("/proc/zoneinfo"), USUAL).ok(),
            page_bytes: procfs::page_size(),
        }
    }

    /// What is in them, bytes; 0 where the kernel keeps little in them, or does not tell.
    pub fn bytes(&mut self) -> u64 {
        let text = self.zoneinfo.as_mut().map(Kept::read_whole);
        let pages = text.and_then(|text| pages(text.ok()?));
        if pages.is_none() {
            // It will not tell another time.
            self.zoneinfo = None;
        }
        pages.unwrap_or(0).saturating_mul(self.page_bytes)
    }
}

/// The sum of all `count:` lines; none where there is no `high_max:`, up to which they may grow.
fn pages(text: &str) -> Option<u64> {
    let (mut sum, mut may_grow) = (0u64, false);
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(count) = line.strip_prefix("count:") {
            sum = sum.saturating_add(count.trim().parse().ok()?);
        }
        may_grow |= line.starts_with("high_max:");
    }
    may_grow.then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "Node 0, zone   Normal\n  pages free     840001\n        boost    0\n        protection: (0, 0)\n      nr_free_pages 840001\n  pagesets\n    cpu: 0\n              count:    132802\n              high:     133018\n              batch:    63\n              high_min: 10082\n              high_max: 337141\n  vm stats threshold: 36\n    cpu: 1\n              count:    198\n              high:     133018\n              batch:    63\n              high_min: 10082\n              high_max: 337141\n";

    #[test]
    fn all_lists_are_summed_where_they_can_grow() {
        assert_eq!(pages(ZONE), Some(133_000));
        assert_eq!(pages(&ZONE.repeat(2)), Some(266_000));
        let before_6_7 = ZONE.replace("high_max:", "x:").replace("high_min:", "x:");
        assert_eq!(pages(&before_6_7), None);
        assert_eq!(pages(""), None);
    }

    #[test]
    fn they_are_no_more_than_the_machine_has() {
        let total = super::super::machine().unwrap().total_bytes;
        assert!(CpuLists::open().bytes() < total / 4);
    }
}
