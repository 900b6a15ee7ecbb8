use std::cell::RefCell;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use nix::poll::PollFlags;
use nix::unistd::Pid;

use super::*;
use crate::child::Launch;
use crate::memory::Usage;
use crate::slice::{Breach, Containment, SliceError};

const SECOND: Duration = Duration::from_secs(1);

/// What was done to a slice, and what it answers.
#[derive(Debug, Default)]
struct Script {
    done: Vec<String>,
    breach: Option<Breach>,
    alive: bool,
    io_bytes: u64,
    pause: Duration,
    peak: u64,
}

#[derive(Debug, Clone, Default)]
struct Fake(Rc<RefCell<Script>>);

impl Fake {
    fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().done.push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().done)
    }
}

impl Slice for Fake {
    fn containment(&self) -> Containment {
        Containment::Cgroup
    }

    fn path(&self) -> Option<&Path> {
        None
    }

    fn spawn(&mut self, _launch: &Launch) -> Result<Process, SliceError> {
        Err(SliceError::Scope("not in this test".to_owned()))
    }

    fn look(&mut self) -> Option<Breach> {
        self.0.borrow().breach
    }

    fn next_look(&self) -> Duration {
        self.0.borrow().pause
    }

    fn wake(&self, _wake: Wake) -> Option<BorrowedFd<'_>> {
        None
    }

    fn polled(&mut self, _wake: Wake, _revents: PollFlags) -> bool {
        false
    }

    fn activity(&self) -> Usage {
        Usage {
            io_bytes: self.0.borrow().io_bytes,
            ..Usage::default()
        }
    }

    fn usage(&mut self) -> Usage {
        Usage {
            needs_bytes: 7,
            ..Usage::default()
        }
    }

    fn freeze(&self, frozen: bool) -> Result<(), SliceError> {
        self.note(if frozen { "freeze" } else { "thaw" });
        Ok(())
    }

    fn reclaim(&mut self, _bytes: u64) -> Result<u64, SliceError> {
        Ok(0)
    }

    fn signal(&self, signal: Signal) {
        self.note(signal.as_str());
    }

    fn kill(&self) {
        self.note("kill");
    }

    fn is_empty(&mut self) -> bool {
        !self.0.borrow().alive
    }

    fn verdict(&mut self) -> Option<Breach> {
        self.0.borrow().breach
    }

    fn peak_bytes(&self, max_rss_bytes: u64) -> u64 {
        max_rss_bytes
    }

    fn peak_needs_bytes(&self) -> u64 {
        self.0.borrow().peak
    }

    fn let_go(&mut self) -> Option<OwnedFd> {
        None
    }

    fn remove(&mut self) -> Result<(), SliceError> {
        Ok(())
    }
}

fn attempt(begun: Instant) -> (Attempt, Fake) {
    let slice = Fake::default();
    slice.0.borrow_mut().pause = SECOND;
    slice.0.borrow_mut().peak = 3;
    let attempt = Attempt {
        job: JobId(1),
        slice: Box::new(slice.clone()),
        dir: None,
        process: Process::named(1),
        argv: Vec::new(),
        profile: None,
        estimate_bytes: None,
        limit_bytes: 1 << 30,
        is_ffmpeg: false,
        seconds: None,
        heartbeat: None,
        timeout: None,
        stall: None,
        started: begun,
        look_at: (begun + FIRST_LOOK, FIRST_LOOK),
        last_beat: (0, begun),
        beat_read: begun,
        grown_to: 0,
        used: Use::default(),
        phase: Phase::Running,
        cause: None,
        killed: false,
        frozen: false,
        outputs: None,
        temporaries: Vec::new(),
        deaf_until: begun,
        peaks: (0, 0),
    };
    (attempt, slice)
}

fn reaped(status: WaitStatus) -> Reaped {
    Reaped {
        pid: Pid::from_raw(1),
        status,
        cpu: Duration::ZERO,
        max_rss_bytes: 5,
    }
}

fn ended(attempt: &Attempt) -> Ended {
    match attempt.phase {
        Phase::Settling(ended) => ended,
        _ => panic!("not settling: {:?}", attempt.phase),
    }
}

#[test]
fn a_frozen_one_is_thawed_before_it_is_asked_to_end_and_killed_after_the_grace() {
    let begun = Instant::now();
    let (mut attempt, slice) = attempt(begun);
    attempt.frozen = true;
    attempt.stop(Cause::Victim, begun);
    assert_eq!(slice.take(), ["thaw", "SIGTERM", "SIGCONT"]);
    assert!(!attempt.frozen);
    attempt.go_on(begun + GRACE - SECOND);
    assert!(slice.take().is_empty());
    attempt.go_on(begun + GRACE);
    attempt.go_on(begun + GRACE + SECOND);
    attempt.go_on(begun + GRACE * 2);
    assert_eq!(slice.take(), ["kill", "kill"], "again after a while");
    assert!(attempt.reaped(reaped(WaitStatus::Signaled(9)), false, begun + GRACE * 2));
    assert_eq!(ended(&attempt).cause, Cause::Victim);
}

#[test]
fn an_interrupted_one_is_given_the_time_that_it_takes() {
    let begun = Instant::now();
    let (mut attempt, slice) = attempt(begun);
    attempt.ask(Cause::Leaving, None);
    assert_eq!(slice.take(), ["SIGTERM", "SIGCONT"]);
    attempt.go_on(begun + GRACE * 100);
    assert!(slice.take().is_empty());
    attempt.kill(Cause::Leaving, begun);
    assert_eq!(slice.take(), ["kill"]);
}

#[test]
fn an_ffmpeg_that_had_done_all_its_work_when_it_was_stopped_has_done_it() {
    let begun = Instant::now();
    for (is_ffmpeg, code, cause) in [
        (true, 0, Cause::Itself),
        (true, 255, Cause::Victim),
        (false, 0, Cause::Victim),
    ] {
        let (mut attempt, _) = attempt(begun);
        attempt.is_ffmpeg = is_ffmpeg;
        attempt.stop(Cause::Victim, begun);
        assert!(attempt.reaped(reaped(WaitStatus::Exited(code)), false, begun));
        assert_eq!(ended(&attempt).cause, cause);
    }
}

#[test]
fn what_the_kernel_counted_is_why_whatever_the_exit_status() {
    let begun = Instant::now();
    let (mut attempt, slice) = attempt(begun);
    slice.0.borrow_mut().breach = Some(Breach::OwnLimit);
    assert!(attempt.reaped(reaped(WaitStatus::Exited(0)), false, begun));
    assert_eq!(ended(&attempt).cause, Cause::OwnLimit);
}

#[test]
fn a_breach_kills_at_once_and_its_reason_stays() {
    let begun = Instant::now();
    let (mut attempt, slice) = attempt(begun);
    slice.0.borrow_mut().breach = Some(Breach::OwnLimit);
    attempt.go_on(begun + FIRST_LOOK);
    assert_eq!(slice.take(), ["kill"]);
    attempt.stop(Cause::Victim, begun + FIRST_LOOK);
    assert_eq!(attempt.cause, Some(Cause::OwnLimit));
    // One that is ending may not grow meanwhile; it is killed once.
    let (mut attempt, slice) = self::attempt(begun);
    attempt.ask(Cause::Leaving, None);
    slice.take();
    slice.0.borrow_mut().breach = Some(Breach::OwnLimit);
    attempt.go_on(begun + SECOND);
    attempt.go_on(begun + SECOND * 2);
    assert_eq!(slice.take(), ["kill"]);
    assert_eq!(attempt.cause, Some(Cause::Leaving));
}

#[test]
fn leftovers_are_asked_then_killed_and_waited_for() {
    let begun = Instant::now();
    let (mut attempt, slice) = attempt(begun);
    slice.0.borrow_mut().alive = true;
    assert!(!attempt.reaped(reaped(WaitStatus::Exited(0)), false, begun));
    assert_eq!(slice.take(), ["SIGTERM", "SIGCONT"]);
    assert!(!attempt.go_on(begun + LEFTOVER_GRACE / 2));
    assert!(slice.take().is_empty());
    assert!(!attempt.go_on(begun + LEFTOVER_GRACE));
    assert_eq!(slice.take(), ["kill"]);
    slice.0.borrow_mut().alive = false;
    assert!(attempt.go_on(begun + LEFTOVER_GRACE + SECOND));
    assert_eq!(attempt.peaks, (5, 3));
    // One that stays for ever does not keep its job from ending.
    let (mut attempt, slice) = self::attempt(begun);
    slice.0.borrow_mut().alive = true;
    attempt.reaped(reaped(WaitStatus::Exited(0)), false, begun);
    assert!(attempt.go_on(begun + LEFTOVER_GRACE + GONE_WITHIN));
}

#[test]
fn standing_still_counts_only_while_it_may_move() {
    let begun = Instant::now();
    let (mut attempt, slice) = attempt(begun);
    attempt.stall = Some(SECOND * 3);
    slice.0.borrow_mut().io_bytes = 1;
    attempt.go_on(begun + SECOND);
    attempt.frozen = true;
    attempt.go_on(begun + SECOND * 60);
    assert_eq!(attempt.cause, None);
    attempt.thaw(begun + SECOND * 60);
    attempt.go_on(begun + SECOND * 62);
    assert_eq!(attempt.cause, None);
    slice.0.borrow_mut().io_bytes = 2;
    attempt.go_on(begun + SECOND * 64);
    assert_eq!(attempt.cause, None, "it moved");
    attempt.go_on(begun + SECOND * 67);
    assert_eq!(attempt.cause, Some(Cause::Stalled));
}

#[test]
fn a_slice_that_wakes_us_all_the_time_is_looked_at_now_and_then() {
    let begun = Instant::now();
    let (mut attempt, _) = attempt(begun);
    attempt.woken(begun);
    assert_eq!(attempt.deaf_until, begun + DEAF);
    assert_eq!(attempt.next_deadline(), Some(begun + DEAF));
}

#[test]
fn a_slice_wakes_us_for_what_matters_now() {
    let begun = Instant::now();
    let (mut attempt, slice) = attempt(begun);
    let alive = [Wake::Limit, Wake::Pressure];
    assert_eq!(attempt.wakes(begun), alive);
    attempt.woken(begun);
    assert_eq!(attempt.wakes(begun), []);
    assert_eq!(attempt.wakes(begun + DEAF), alive);
    slice.0.borrow_mut().alive = true;
    assert!(!attempt.reaped(reaped(WaitStatus::Exited(0)), false, begun));
    assert_eq!(attempt.wakes(begun), [Wake::Empty]);
    slice.0.borrow_mut().alive = false;
    attempt.woken(begun);
    assert!(attempt.go_on(begun), "no look has to be waited for");
    assert_eq!(attempt.wakes(begun), []);
}

#[test]
fn a_watched_tree_that_does_not_grow_is_looked_at_less_often() {
    let begun = Instant::now();
    let (mut attempt, slice) = attempt(begun);
    slice.0.borrow_mut().pause = Duration::from_millis(5);
    let mut look = |peak: u64, now: Instant| {
        slice.0.borrow_mut().peak = peak;
        attempt.look(now);
        attempt.look_at.1.as_millis()
    };
    let pauses: Vec<u128> = (1..8)
        .map(|second| look(100, begun + SECOND * second))
        .collect();
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 200]);
    assert_eq!(look(100 + GROWTH, begun + SECOND * 9), 5, "it has grown");
}
