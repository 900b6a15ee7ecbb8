//! A slice itself, without a job around it: frozen, reclaimed, measured, and found to crawl.

use std::time::{Duration, Instant};

use ffwarden::memory::pressure::{Fired, Pressure, PressureTrigger};
use ffwarden::slice::{Breach, Slice, Wake};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::own_slice::OwnSlice;
use crate::support::{hog_text, kernel};

const MIB: u64 = 1 << 20;

/// Waits for the kernel to wake us; whether it did, and had a reason.
fn woken(own: &mut OwnSlice, wake: Wake, within: Duration) -> bool {
    let timeout = PollTimeout::try_from(within).unwrap();
    let fd = own.slice.wake(wake);
    let mut fds: Vec<_> = fd
        .map(|fd| PollFd::new(fd, PollFlags::POLLPRI))
        .into_iter()
        .collect();
    poll(&mut fds, timeout).unwrap();
    let revents = fds.first().and_then(|fd| fd.revents());
    revents.is_some_and(|revents| own.slice.polled(wake, revents))
}

#[test]
fn that_is_frozen_stands_still_with_its_memory_and_goes_on() {
    let mut own = OwnSlice::running("freeze", 256, &["sh", "-c", "while :; do :; done"]);
    own.until("it computes", |own| !own.slice.usage().cpu.is_zero());
    own.slice.freeze(true).unwrap();
    assert_eq!(kernel::keyed(&own.dir.join("cgroup.events"))["frozen"], 1);
    own.slice.look();
    let before = own.slice.usage();
    std::thread::sleep(Duration::from_secs(1));
    own.slice.look();
    let after = own.slice.usage();
    // To freeze takes a moment of its own; a loop that goes on would take the whole second.
    let used = after.cpu - before.cpu;
    assert!(used < Duration::from_millis(50), "{used:?}");
    assert!(after.needs_bytes > 0);
    own.slice.freeze(false).unwrap();
    own.until("it goes on", |own| own.slice.usage().cpu > after.cpu);
    own.slice.freeze(true).unwrap();
    own.end();
}

#[test]
fn that_becomes_empty_says_so() {
    let mut own = OwnSlice::running("empty", 256, &["sh", "-c", "sleep 600 & exec sleep 600"]);
    own.until("both are there", |own| {
        kernel::value(&own.dir, "pids.current") == "2"
    });
    assert!(!own.slice.is_empty());
    assert!(!woken(&mut own, Wake::Empty, Duration::from_millis(200)));
    own.process.signal(nix::sys::signal::Signal::SIGKILL);
    assert!(
        !woken(&mut own, Wake::Empty, Duration::from_millis(200)),
        "one is left"
    );
    own.slice.kill();
    assert!(woken(&mut own, Wake::Empty, Duration::from_secs(60)));
    assert!(own.slice.is_empty());
    own.end();
}

/// Writes a file, and holds anonymous memory.
#[test]
fn that_is_reclaimed_loses_its_file_cache_and_nothing_else_even_frozen() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("big").display().to_string();
    let hog = hog_text();
    let job = [
        hog.as_str(),
        "--write",
        &file,
        "100M",
        "--touch",
        "60M",
        "--hold",
        "600s",
    ];
    let mut own = OwnSlice::running("reclaim", 256, &job);
    own.until("all is there", |own| {
        own.stat("file") >= 100 * MIB && own.stat("anon") >= 60 * MIB
    });
    // What is not written yet cannot be taken back.
    nix::unistd::sync();
    own.slice.freeze(true).unwrap();
    let held = |own: &OwnSlice| {
        kernel::value(&own.dir, "memory.current")
            .parse::<u64>()
            .unwrap()
    };
    let before = held(&own);
    let back = own.slice.reclaim(1 << 40).unwrap();
    let lost = before - held(&own);
    assert!(back >= 90 * MIB, "{back}");
    assert!(back.abs_diff(lost) < 2 * MIB, "{back} said, {lost} lost");
    assert!(own.stat("anon") >= 60 * MIB);
    assert_eq!(own.slice.verdict(), None);
    own.slice.freeze(false).unwrap();
    own.end();
}

/// A writer at its limit waits for its own pages to be written.
#[test]
fn trigger_fires_when_time_is_lost_and_says_when_its_cgroup_is_gone() {
    use ffwarden::config::policy::Trigger;
    use std::os::fd::AsFd;

    let dir = tempfile::tempdir().unwrap();
    let output = format!("of={}", dir.path().join("big").display());
    let script = format!("while :; do dd if=/dev/zero {output} bs=1M count=700 status=none; done");
    let own = OwnSlice::running("trigger", 256, &["sh", "-c", &script]);
    let mut pressure = Pressure::of(&own.dir).unwrap();
    let wanted = Trigger {
        full: false,
        stall: Duration::from_millis(20),
        window: Duration::from_secs(1),
    };
    let trigger = PressureTrigger::open(pressure.path(), wanted).unwrap();
    assert_eq!(trigger.taken(), wanted, "root has CAP_SYS_RESOURCE here");
    let wait = |millis: u16| {
        let mut fds = [PollFd::new(trigger.as_fd(), PollFlags::POLLPRI)];
        poll(&mut fds, PollTimeout::from(millis)).unwrap();
        PressureTrigger::fired(fds[0].revents().unwrap())
    };
    let fired = (0..10)
        .map(|_| wait(30_000))
        .find(|fired| *fired != Fired::No);
    assert_eq!(fired, Some(Fired::Yes));
    let lost = pressure.totals().unwrap().some;
    assert!(lost >= wanted.stall, "{lost:?}");
    own.end();
    assert_eq!(wait(30_000), Fired::Gone);
}

/// An encode whose own code was never read before, beside so much memory in use that there is no room for the code.
/// Alone it needs 189 MiB, and 67 of files; beside 62 MiB it gets on, beside 75 it crawls for minutes.
#[test]
fn whose_child_crawls_at_its_limit_is_found_out() {
    std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    let script = format!(
        "{} --touch 75M --hold 3600s & exec ffmpeg -v error -f lavfi -i testsrc2=size=1280x720:rate=25 \
         -frames:v 100000 -c:v libx264 -preset medium -threads 2 -f null -",
        hog_text()
    );
    let mut own = OwnSlice::running("crawl", 256, &["sh", "-c", &script]);
    assert!(
        own.slice.wake(Wake::Pressure).is_none(),
        "far from its limit"
    );
    let mut wakes = 0;
    let deadline = Instant::now() + Duration::from_secs(400);
    let breach = loop {
        if let Some(breach) = own.slice.look() {
            break breach;
        }
        let events = || kernel::keyed(&own.dir.join("memory.events"));
        assert!(
            Instant::now() < deadline,
            "{} {:?}",
            own.stat("anon"),
            events()
        );
        let pause = own.slice.next_look();
        wakes += u32::from(woken(&mut own, Wake::Pressure, pause));
    };
    assert_eq!(breach, Breach::Crawl);
    // Once in two seconds at most, and it crawled for ten at least.
    assert!(wakes >= 3, "{wakes}");
    assert_eq!(kernel::keyed(&own.dir.join("memory.events"))["oom_kill"], 0);
    assert!(!own.slice.is_empty(), "the kernel would have let it go on");
    own.end();
}

/// The same encode with room for its code: it fills its slice with what it writes, and is left alone.
#[test]
fn whose_child_writes_at_its_limit_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.nut").display().to_string();
    let source = "testsrc2=size=1280x720:rate=25";
    let mut own = OwnSlice::running(
        "writes",
        256,
        &[
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            source,
            "-frames:v",
            "600",
            "-c:v",
            "rawvideo",
            &output,
        ],
    );
    let mut full = Duration::ZERO;
    let mut pressure = Pressure::of(&own.dir).unwrap();
    loop {
        assert_eq!(own.slice.look(), None);
        if own.slice.is_empty() {
            break;
        }
        full = pressure.totals().unwrap().full;
        std::thread::sleep(Duration::from_millis(200));
    }
    // It was at its limit, and did wait.
    assert!(kernel::keyed(&own.dir.join("memory.events"))["max"] > 0);
    assert!(!full.is_zero());
    own.end();
}
