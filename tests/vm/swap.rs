//! On a machine with swap: what is frozen goes there, what runs does not, and all of it comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ffwarden::slice::{Breach, Slice};
use nix::sys::wait::{WaitStatus, waitpid};

use crate::support::own_slice::OwnSlice;
use crate::support::swap::{self, Swap};
use crate::support::{Bystander, Finished, Place, Running, Warden, hog_text, kernel, packets};

const MIB: u64 = 1 << 20;
/// How long pushing out may take: 300 MiB take the emulated machine's disk 4 s.
const PUSHED_WITHIN: Duration = Duration::from_secs(120);

/// A hog in a slice that may have so much swap while it is frozen.
fn hog_with_swap(name: &str, limit_mib: u64, swap_mib: u64, args: &[&str]) -> OwnSlice {
    let hog = hog_text();
    let argv = [&[hog.as_str()], args].concat();
    OwnSlice::with_swap(name, limit_mib, swap_mib, &argv)
}

fn anon(own: &OwnSlice) -> u64 {
    own.stat("anon")
}

fn charged(own: &OwnSlice) -> u64 {
    own.value("memory.current").parse().unwrap()
}

fn swap_max(own: &OwnSlice) -> String {
    own.value("memory.swap.max")
}

#[track_caller]
fn until_it_has(own: &mut OwnSlice, mib: u64) {
    own.until("it has its memory", |own| anon(own) >= mib * MIB);
}

#[test]
fn frozen_memory_goes_there_and_comes_back_as_it_was() {
    let _swap = Swap::of(900);
    let args = ["--touch", "300M", "--hold", "10s", "--check"];
    let mut own = hog_with_swap("swap", 400, 600, &args);
    until_it_has(&mut own, 300);
    assert_eq!(swap_max(&own), "0", "what runs gets none");
    own.slice.freeze(true).unwrap();
    assert_eq!(swap_max(&own), (600 * MIB).to_string());
    let (before, available) = (charged(&own), kernel::available());
    let back = own.slice.push_out(PUSHED_WITHIN).unwrap();
    let gained = kernel::available().saturating_sub(available);
    assert_eq!(own.slice.look(), None);
    let usage = own.slice.usage();
    assert!(back >= 290 * MIB, "{back}");
    assert!(
        before - charged(&own) >= 290 * MIB,
        "{before} before, {} now",
        charged(&own)
    );
    assert!(
        swap::held(&own.dir) >= 290 * MIB,
        "{}",
        swap::held(&own.dir)
    );
    assert!(gained >= 250 * MIB, "{gained} more available");
    assert!(usage.swapped_bytes >= 290 * MIB, "{usage:?}");
    let needs = usage.needs_bytes / MIB;
    assert!((300..320).contains(&needs), "{needs} MiB of 300 counted");
    own.slice.freeze(false).unwrap();
    assert_eq!(swap_max(&own), "0");
    let mut most = 0;
    let deadline = Instant::now() + Duration::from_secs(300);
    while !own.slice.is_empty() {
        assert!(Instant::now() < deadline, "{:?}", own.slice.usage());
        assert_eq!(own.slice.look(), None);
        most = most.max(own.slice.usage().needs_bytes);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(most < 320 * MIB, "{most}: what is in both counts once");
    // It has read every page of it.
    let ended = WaitStatus::Exited(own.process.pid, 0);
    assert_eq!(waitpid(own.process.pid, None).unwrap(), ended);
    own.slice.remove().unwrap();
}

/// An administrator's `vm.swappiness` is about what runs.
#[test]
fn frozen_memory_goes_there_though_the_machine_prefers_not_to_swap() {
    const SWAPPINESS: &str = "/proc/sys/vm/swappiness";
    struct Restore(String);
    impl Drop for Restore {
        fn drop(&mut self) {
            fs::write(SWAPPINESS, &self.0).unwrap();
        }
    }
    let _swap = Swap::of(400);
    let _restore = Restore(fs::read_to_string(SWAPPINESS).unwrap());
    fs::write(SWAPPINESS, "0").unwrap();
    let mut own = hog_with_swap(
        "unwilling",
        256,
        256,
        &["--touch", "100M", "--hold", "600s"],
    );
    until_it_has(&mut own, 100);
    own.slice.freeze(true).unwrap();
    let back = own.slice.push_out(PUSHED_WITHIN).unwrap();
    assert!(back >= 90 * MIB, "{back}");
    own.end();
}

#[test]
fn what_runs_fails_at_its_own_limit_and_does_not_go_there() {
    let _swap = Swap::of(600);
    let mut own = hog_with_swap("wall", 256, 600, &["--touch", "400M", "--hold", "600s"]);
    let status = waitpid(own.process.pid, None).unwrap();
    assert!(matches!(status, WaitStatus::Signaled(..)), "{status:?}");
    assert_eq!(own.slice.verdict(), Some(Breach::OwnLimit));
    assert_eq!(swap::held(&own.dir), 0);
    own.slice.remove().unwrap();
}

#[test]
#[ignore = "fills the machine's memory: for the emulated machine only"]
fn what_runs_does_not_go_there_when_the_machine_is_short() {
    let _swap = Swap::of(1000);
    let args = ["--touch", "150M", "--hold", "600s"];
    let mut without = hog_with_swap("without", 256, 0, &args);
    let mut with = hog_with_swap("with", 256, 600, &args);
    until_it_has(&mut without, 150);
    until_it_has(&mut with, 150);
    let room = kernel::available() / MIB;
    let mut other = Bystander::holding(&format!("{}M", room + 200));
    other.assert_untouched();
    assert!(swap::used() > 100 * MIB, "somebody had to make room");
    for own in [without, with] {
        assert_eq!(swap::held(&own.dir), 0);
        assert!(anon(&own) >= 150 * MIB);
        own.end();
    }
}

/// At which percentage in use the youngest is frozen, for how long at most, and whether one is stopped if that did not
/// help.
struct Rules {
    used: u32,
    freeze_at_most: &'static str,
    stop: bool,
}

fn policy(dir: &Path, rules: &Rules) {
    let Rules {
        used,
        freeze_at_most,
        stop,
    } = rules;
    let text = format!(
        "\
name: policy
summary: the youngest is frozen
reserves: []
margin: 2
hold: 2s
grace: 2s
poll: 500ms
relief: {{timeout: 60s, freeze_at_most: {freeze_at_most}}}
levels:
  - level: normal
  - level: critical
    enter: {{used: {used}%}}
    workers: 0
    relief: [freeze]
    stop: {stop}
"
    );
    fs::write(dir.join("policy.yaml"), text).unwrap();
}

/// A batch under that policy, two jobs at once.
fn batch(options: &[&str], rules: &Rules, job: &[&str]) -> Running {
    let inputs = &["a.mkv", "b.mkv"][..];
    let command = [
        &["-v", "batch", "--workers", "2", "--results", "results"][..],
        &["--policy", "./policy.yaml"],
        inputs,
        &["--"],
        job,
    ];
    Warden::at(Place::Undelegated).options(options).start_with(
        |dir| {
            policy(dir, rules);
            for input in inputs {
                clip(&dir.join(input));
            }
        },
        &command.concat(),
    )
}

/// Jobs that hold memory and read it all again at their end.
fn hogs(options: &[&str], freeze_at_most: &'static str, hold: &str) -> Running {
    let hog = hog_text();
    let job = [hog.as_str(), "--touch", "250M", "--hold", hold, "--check"];
    let job = [&job[..], &["--write", "{}.out", "1M"]].concat();
    let rules = Rules {
        used: 40,
        freeze_at_most,
        stop: false,
    };
    batch(options, &rules, &job)
}

/// 720p, which costs libx264 some 190 MiB; a still picture, which costs an emulated processor little.
fn clip(path: &Path) {
    let made = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i"])
        .args(["color=gray:s=1280x720:r=25", "-frames:v"])
        .arg(FRAMES.to_string())
        .args(["-c:v", "libx264", "-preset", "ultrafast"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

/// So many that an encode is not over before its turn to stand still is.
const FRAMES: u32 = 300;

/// The cgroups of the attempts, the oldest first, once each holds so many MiB and grows no more.
fn both(running: &Running, mib: u64) -> (PathBuf, PathBuf) {
    let anon = |dir: &PathBuf| {
        fs::read_to_string(dir.join("memory.stat"))
            .ok()
            .and_then(|text| ffwarden::memory::value(&text, "anon"))
            .unwrap_or(0)
    };
    let all = || running.attempts().iter().map(anon).collect::<Vec<_>>();
    running.until_running("two attempts to have their memory", || {
        let before = all();
        std::thread::sleep(Duration::from_secs(2));
        let after = all();
        let has_all = |(before, after): (&u64, &u64)| {
            *after >= mib * MIB && after.abs_diff(*before) < 2 * MIB
        };
        before.len() == 2 && after.len() == 2 && before.iter().zip(&after).all(has_all)
    });
    let mut attempts = running.attempts();
    attempts.sort_by_key(|dir| {
        let name = dir.to_str().unwrap();
        name.rsplit('-').next().unwrap().parse::<u32>().unwrap()
    });
    let youngest = attempts.pop().unwrap();
    (attempts.pop().unwrap(), youngest)
}

/// Another program takes so much that this percentage of all memory is in use.
fn others_fill_to(percent: u64, takes: impl Fn(&str) -> Bystander) -> Bystander {
    let total = kernel::meminfo("MemTotal");
    let used = total - kernel::available();
    takes(&format!("{}M", (total / 100 * percent - used) / MIB))
}

fn assert_nobody_was_stopped(done: &Finished) {
    assert_eq!(done.code, 0, "{}", done.state());
    assert!(!done.stderr().contains("is stopped"), "{}", done.state());
    assert!(
        done.stderr().contains("relief by freeze helped"),
        "{}",
        done.state()
    );
}

fn assert_intact(done: &Finished) {
    for input in ["a.mkv", "b.mkv"] {
        let size = fs::metadata(done.dir().join(format!("{input}.out"))).unwrap();
        assert_eq!(size.len(), MIB);
    }
    let said = std::process::Command::new("grep")
        .args(["-rhc", "hog: intact", "results"])
        .current_dir(done.dir())
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let count: u32 = said.lines().map(|line| line.parse::<u32>().unwrap()).sum();
    assert_eq!(count, 2, "{}", done.state());
}

#[test]
#[ignore = "fills the machine's memory: for the emulated machine only"]
fn the_youngest_encode_goes_there_and_comes_back_when_others_give_their_memory_back() {
    let _swap = Swap::of(900);
    let job = ["ffmpeg", "-v", "error", "-i", "{}", "-c:v", "libx264"];
    let job = [&job[..], &["-preset", "medium", "out-{.}.mp4"]].concat();
    let rules = Rules {
        used: 70,
        freeze_at_most: "600s",
        stop: true,
    };
    let running = batch(&[], &rules, &job);
    let (oldest, youngest) = both(&running, 130);
    let other = others_fill_to(72, Bystander::taking);
    running.until_running("the youngest to be pushed out", || {
        kernel::is_frozen(&youngest) && swap::held(&youngest) > 110 * MIB
    });
    running.until_running("the level to fall", || {
        running.stderr().contains("critical -> normal")
    });
    // Its memory would bring the level back.
    std::thread::sleep(Duration::from_secs(5));
    assert!(kernel::is_frozen(&youngest) && !kernel::is_frozen(&oldest));
    assert_eq!(swap::held(&oldest), 0);
    drop(other);
    running.until_running("the youngest to go on", || !kernel::is_frozen(&youngest));
    let done = running.wait();
    assert_nobody_was_stopped(&done);
    for name in ["a", "b"] {
        let file = done.dir().join(format!("out-{name}.mp4"));
        assert_eq!(packets(&file), FRAMES);
    }
    done.assert_nothing_left();
}

#[test]
#[ignore = "fills the machine's memory: for the emulated machine only"]
fn what_is_frozen_goes_on_after_the_longest_time_though_the_level_is_what_it_was() {
    let _swap = Swap::of(900);
    let running = hogs(&[], "10s", "60s");
    let (oldest, youngest) = both(&running, 250);
    // One of them in swap is not enough.
    let _other = others_fill_to(56, Bystander::holding);
    running.until_running("the youngest to stand still", || {
        kernel::is_frozen(&youngest)
    });
    running.until_running("it to go on", || !kernel::is_frozen(&youngest));
    assert!(
        !running.stderr().contains("-> normal"),
        "{}",
        running.stderr()
    );
    // Now it is the other's turn.
    running.until_running("the oldest to stand still", || kernel::is_frozen(&oldest));
    let done = running.wait();
    assert_eq!(done.code, 0, "{}", done.state());
    assert!(
        done.stderr()
            .contains("goes on: it was frozen as long as allowed"),
        "{}",
        done.state()
    );
    assert_intact(&done);
    done.assert_nothing_left();
}

#[test]
#[ignore = "fills the machine's memory: for the emulated machine only"]
fn what_is_frozen_ends_with_its_batch_and_leaves_nothing_there() {
    let _swap = Swap::of(900);
    let running = hogs(&[], "600s", "600s");
    let (_, youngest) = both(&running, 250);
    let _other = others_fill_to(52, Bystander::holding);
    running.until_running("the youngest to be pushed out", || {
        kernel::is_frozen(&youngest) && swap::held(&youngest) > 200 * MIB
    });
    running.terminate();
    let done = running.wait();
    assert_eq!(done.code, 143, "{}", done.state());
    done.assert_nothing_left();
    assert!(swap::used() < 20 * MIB, "{}", swap::used());
}

/// Without cgroups it stands still, and the kernel pushes out what it will.
#[test]
#[ignore = "fills the machine's memory: for the emulated machine only"]
fn a_watched_tree_stands_still_and_goes_on_as_well() {
    let _swap = Swap::of(900);
    let running = hogs(&["--containment", "rlimit"], "10s", "60s");
    let holding = || {
        let resident = |pid: u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let text = line.and_then(|line| line.trim().strip_suffix(" kB"));
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        let mut hogs = running.named("hog");
        hogs.retain(|hog| resident(hog.pid) > 250 << 10);
        hogs
    };
    running.until_running("two attempts to have their memory", || holding().len() == 2);
    let hogs = holding();
    let _other = others_fill_to(52, Bystander::holding);
    let stopped = || {
        hogs.iter()
            .filter(|hog| kernel::state(hog.pid) == Some('T'))
            .count()
    };
    running.until_running("one to stand still", || stopped() == 1);
    running.until_running("it to go on", || stopped() == 0);
    let done = running.wait();
    assert_eq!(done.code, 0, "{}", done.state());
    assert_intact(&done);
    done.assert_nothing_left();
}
