//! A slice of a test's own, without a job around it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ffwarden::child::{Launch, Process, find_program};
use ffwarden::slice::cgroup::CgroupSlice;
use ffwarden::slice::{Containment, Limits, Slice};
use nix::sys::wait::waitpid;

use super::kernel;

const MIB: u64 = 1 << 20;

/// A slice directly below the root of the tree, where systemd turns the controllers on, and the process in it.
pub struct OwnSlice {
    pub slice: CgroupSlice,
    pub process: Process,
    pub dir: PathBuf,
}

impl OwnSlice {
    /// Without swap.
    pub fn running(name: &str, limit_mib: u64, argv: &[&str]) -> Self {
        Self::with_swap(name, limit_mib, 0, argv)
    }

    /// May have so much swap while it is frozen.
    pub fn with_swap(name: &str, limit_mib: u64, swap_mib: u64, argv: &[&str]) -> Self {
        let dir = Path::new(kernel::CGROUP_ROOT).join(format!("ffwarden-test-{name}"));
        let limits = Limits {
            memory_bytes: limit_mib * MIB,
            pids_max: 512,
            expected_threads: 8,
            swap_bytes: swap_mib * MIB,
        };
        let mut slice = CgroupSlice::create(dir.clone(), Containment::Cgroup, &limits).unwrap();
        let launch = Launch {
            path: find_program(argv[0].as_ref()).unwrap(),
            argv: argv.iter().map(OsString::from).collect(),
            keep_fd: None,
            apart: None,
        };
        let process = slice.spawn(&launch).unwrap();
        Self {
            slice,
            process,
            dir,
        }
    }

    /// A number of its `memory.stat`.
    pub fn stat(&self, key: &str) -> u64 {
        kernel::keyed(&self.dir.join("memory.stat"))[key]
    }

    /// What a file of it holds.
    pub fn value(&self, file: &str) -> String {
        kernel::value(&self.dir, file)
    }

    /// Waits until something holds.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(300);
        while !holds(self) {
            assert!(
                Instant::now() < deadline,
                "not in 300 s: {what}, but {:?}",
                self.slice.usage()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills it and removes it.
    pub fn end(mut self) {
        self.slice.kill();
        waitpid(self.process.pid, None).unwrap();
        self.slice.remove().unwrap();
        assert!(!self.dir.exists());
    }
}
