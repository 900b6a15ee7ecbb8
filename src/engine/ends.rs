//! What becomes of an attempt whose child has ended: reaped, emptied, cleared, and told.

use std::time::{Duration, Instant};

use super::attempt::{Attempt, Ended, Phase};
use super::desk::Last;
use super::event_loop::Engine;
use super::settle::{Leavings, Settled};
use crate::child::LaunchError;
use crate::core::ladder::Outcome;
use crate::core::outcome::outcome;
use crate::core::{AttemptId, End, Event, JobId, Start};
use crate::job::verdict::FAILED;
use crate::job::watch::GONE_WITHIN;
use crate::job::{JobError, reason};
use crate::report;
use crate::sys::{self, Reaped, WaitStatus};

impl Engine<'_> {
    /// Reaps all children that have ended.
    pub fn reap(&mut self) -> Result<(), JobError> {
        while let Some(reaped) = sys::reap_one()? {
            self.reaped(reaped);
        }
        Ok(())
    }

    fn reaped(&mut self, reaped: Reaped) {
        let mine =
            |(_, one): &(&AttemptId, &mut Attempt)| one.is_alive() && one.process.pid == reaped.pid;
        if let Some((id, attempt)) = self.attempts.iter_mut().find(mine) {
            let id = *id;
            let killed = reaped.status == WaitStatus::Signaled(libc::SIGKILL);
            let by_kernel = killed && attempt.dir.is_none() && self.kills.lately();
            if attempt.reaped(reaped, by_kernel, Instant::now()) {
                self.clear(id);
            }
        } else if let Some(over) = self.reliefs.reaped(&reaped) {
            self.over(over);
        }
        // Any other is an orphan that fell to us.
    }

    /// All of an attempt has ended: what it left is cleared by a thread.
    pub fn clear(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        let Phase::Settling(ended) = &attempt.phase else {
            return;
        };
        let keep =
            outcome_of(ended) == Outcome::Exited && ended.reaped.status == WaitStatus::Exited(0);
        let Some(outputs) = attempt.outputs.take() else {
            return;
        };
        let close = attempt.slice.let_go();
        self.settlers.clear(Leavings {
            attempt: id,
            cgroup: attempt.dir.clone(),
            close,
            outputs,
            keep,
        });
    }

    /// What an attempt left has been cleared: it is told.
    pub fn settled(&mut self, settled: Settled) {
        let Some(attempt) = self.attempts.remove(&settled.attempt) else {
            return;
        };
        let Phase::Settling(ended) = attempt.phase else {
            return;
        };
        for path in &attempt.temporaries {
            self.guard.file_done(path);
        }
        if let Some(dir) = &attempt.dir {
            self.guard.cgroup_removed(dir);
        }
        let status = ended.reaped.status;
        let meaning = outcome_of(&ended);
        let success =
            meaning == Outcome::Exited && status == WaitStatus::Exited(0) && settled.result.is_ok();
        let sentence = match &settled.result {
            Err(error) => Some(error.to_string()),
            Ok(()) => reason::sentence(
                meaning,
                ended.cause,
                status,
                ended.wall,
                attempt.limit_bytes,
                attempt.peaks.0,
            ),
        };
        let (exit_code, signal) = match status {
            WaitStatus::Exited(code) => (Some(code), None),
            WaitStatus::Signaled(number) => (None, Some(number)),
        };
        let told = report::Attempt {
            profile: attempt.profile,
            argv: attempt.argv,
            slice: attempt.dir,
            estimate_bytes: attempt.estimate_bytes,
            limit_bytes: attempt.limit_bytes,
            peak_bytes: attempt.peaks.0,
            peak_needs_bytes: attempt.peaks.1,
            outcome: meaning,
            exit_code,
            signal,
            wall_seconds: ended.wall.as_secs_f64(),
            cpu_seconds: ended.reaped.cpu.as_secs_f64(),
            reason: sentence.clone(),
        };
        self.observer.ended(attempt.job, &told);
        // What a short child needed may never have been sampled; what the kernel says of its largest process has
        // no page cache in it.
        let (peak, needs) = attempt.peaks;
        let peak_bytes = needs.max(ended.reaped.max_rss_bytes.min(peak));
        if let Some(held) = self.desk.held(attempt.job) {
            held.outputs = Some(settled.outputs);
            held.peak_bytes = held.peak_bytes.max(peak_bytes);
            held.last = Some(Last {
                status: Some(status),
                wall: ended.wall,
                reason: sentence,
                exit_code: settled.result.is_err().then_some(FAILED),
            });
        }
        self.events.push_back(Event::Ended {
            attempt: settled.attempt,
            end: End {
                outcome: meaning,
                success,
                peak_bytes,
                cpu: ended.reaped.cpu,
            },
        });
    }

    /// An attempt could not be started.
    pub fn not_started(&mut self, start: &Start, error: &JobError) {
        let outcome = if is_for_want_of_memory(error) {
            Outcome::Pressure
        } else {
            Outcome::Exited
        };
        if let Some(held) = self.desk.held(start.job) {
            held.last = Some(Last {
                status: None,
                wall: Duration::ZERO,
                reason: Some(error.to_string()),
                exit_code: Some(error.exit_code()),
            });
        }
        self.events.push_back(Event::Ended {
            attempt: start.attempt,
            end: End {
                outcome,
                success: false,
                peak_bytes: 0,
                cpu: Duration::ZERO,
            },
        });
    }

    /// Something of our own has failed: nothing is to be left behind.
    pub fn abandon(&mut self) {
        let until = Instant::now() + GONE_WITHIN;
        for attempt in self.attempts.values_mut() {
            while !attempt.slice.is_empty() && Instant::now() < until {
                attempt.slice.kill();
                std::thread::sleep(Duration::from_millis(2));
                while let Ok(Some(_)) = sys::reap_one() {}
            }
            if let Some(outputs) = &mut attempt.outputs {
                outputs.discard();
            }
        }
        self.reliefs.end();
    }

    /// A job has come to its end.
    pub fn finish(&mut self, job: JobId, end: crate::core::Final) {
        let cut_short = end == crate::core::Final::Cancelled && self.interrupts.are_any();
        if cut_short {
            self.desk.drop_job(job);
        } else if let Some(report) = self.desk.finish(job, end) {
            self.observer.finished(job, &report);
        }
    }
}

/// What an attempt's end means.
fn outcome_of(ended: &Ended) -> Outcome {
    let signal = match ended.reaped.status {
        WaitStatus::Signaled(number) => Some(number),
        WaitStatus::Exited(_) => None,
    };
    outcome(ended.cause, signal, ended.kernel_killed)
}

/// The kernel had no memory, process ID or descriptor for one more child: a reason to try again later.
fn is_for_want_of_memory(error: &JobError) -> bool {
    let source = match (error, error.launch()) {
        (JobError::Io(source), _) | (_, Some(LaunchError::Os { source, .. })) => source,
        _ => return false,
    };
    matches!(
        source.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE)
    )
}
