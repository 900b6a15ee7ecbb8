//! The life of a job: submitted, taken back, its attempts ended, and its one end.

use std::time::Duration;

use super::action::Action;
use super::decision::Decision;
use super::job::{AttemptId, End, Final, JobId, JobSpec};
use super::ladder::{Ladder, Next, Outcome};
use super::learn::AFTER_OOM_PERCENT;
use super::queue::Place;
use super::state::State;

/// So often a job may be stopped by us without it costing a retry. More often, and it is taken for one that this
/// machine cannot run.
const FREE_STOPS: u32 = 8;

/// An unfinished job.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub spec: JobSpec,
    pub place: Place,
    pub ladder: Ladder,
    /// It waits until then.
    pub until: Option<Duration>,
    /// It is known to need at least this, bytes.
    pub needs_bytes: u64,
    /// How often it was stopped by us.
    pub stops: u32,
    /// How often a later job went before it.
    pub overtaken: u32,
    /// Since when it is the head of the line and needs more than all that children may use now.
    pub too_large_since: Option<Duration>,
    pub cancelled: bool,
}

impl State {
    pub(super) fn submit(&mut self, job: JobId, spec: JobSpec) {
        let place = Place::new(spec.priority, self.next_age, job);
        self.next_age += 1;
        let ladder = Ladder::new(spec.rungs.len(), 0, spec.retries, spec.repeatable)
            .with_backoff(self.policy.backoff);
        let known = Job {
            spec,
            place,
            ladder,
            until: None,
            needs_bytes: 0,
            stops: 0,
            overtaken: 0,
            too_large_since: None,
            cancelled: false,
        };
        self.jobs.insert(job, known);
        self.queue.push(place);
    }

    pub(super) fn cancel(&mut self, job: JobId, actions: &mut Vec<Action>) {
        let Some(known) = self.jobs.get_mut(&job) else {
            return;
        };
        known.cancelled = true;
        let (place, until) = (known.place, known.until);
        let mine = self
            .running
            .iter_mut()
            .find(|(_, attempt)| attempt.job == Some(job));
        match mine {
            Some((id, attempt)) if !attempt.stopping => {
                attempt.stopping = true;
                actions.push(Action::Stop { attempt: *id });
            }
            Some(_) => {}
            None => {
                self.queue.remove(place, until);
                self.finish(job, Final::Cancelled, 0, actions);
            }
        }
    }

    pub(super) fn finish(
        &mut self,
        job: JobId,
        end: Final,
        peak_bytes: u64,
        actions: &mut Vec<Action>,
    ) {
        self.jobs.remove(&job);
        self.finished += 1;
        actions.push(Action::Note(Decision::Finish {
            job,
            end,
            peak_bytes,
        }));
        actions.push(Action::Finish { job, end });
        let every = self.policy.report_every.map_or(0, u64::from);
        if every > 0 && self.finished.is_multiple_of(every) {
            actions.push(Action::Note(Decision::Memory {
                finished: self.finished,
                used_bytes: self.measures.used_bytes(),
                total_bytes: self.measures.total_bytes,
                children_bytes: self.measures.children_bytes,
            }));
        }
    }

    pub(super) fn ended(
        &mut self,
        id: AttemptId,
        end: End,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(attempt) = self.running.remove(&id) else {
            return;
        };
        let by_memory = matches!(end.outcome, Outcome::Oom | Outcome::Pressure);
        if by_memory {
            // What was lost to pressure until now had a cause that is gone.
            self.stalls.forget();
            // Others may have taken what it left: nothing is started on old numbers.
            self.stale = true;
            self.relief.victim_ended(now);
        }
        if !attempt.is_adopted() {
            self.tell_breaker(id, by_memory, now, actions);
        }
        // What is free now is known by looking; until then the numbers are the old ones less this attempt's.
        self.measures.children_bytes = self.children_bytes();
        self.ask_to_measure(now, actions);
        let Some(job) = attempt.job else { return };
        let Some(known) = self.jobs.get_mut(&job) else {
            return;
        };
        let estimate = known.spec.rungs[attempt.rung].estimate_bytes;
        if end.success {
            self.learned
                .observe(known.spec.class, estimate, end.peak_bytes);
            return self.finish(job, Final::Done, end.peak_bytes, actions);
        }
        if known.cancelled || self.draining {
            return self.finish(job, Final::Cancelled, end.peak_bytes, actions);
        }
        let peak = end.peak_bytes.max(attempt.used.needs_bytes);
        let needs = peak.saturating_mul(AFTER_OOM_PERCENT) / 100;
        if end.outcome == Outcome::Oom {
            self.learned.observe(known.spec.class, estimate, peak);
            known.needs_bytes = known.needs_bytes.max(needs);
        }
        let jitter = jitter(self.settings.seed, id);
        if by_memory {
            known.ladder.stand_at(attempt.rung);
        }
        let next = if attempt.stopping && end.outcome == Outcome::Pressure {
            known.stops = known.stops.saturating_add(1);
            // It used so much, whatever was expected of it.
            known.needs_bytes = known.needs_bytes.max(peak);
            if known.stops > FREE_STOPS {
                known.ladder.after_with_room(end.outcome, jitter, false)
            } else {
                known.ladder.after_stop(jitter)
            }
        } else {
            let most = attempt.most_bytes(&known.spec, self.measures.total_bytes);
            let more_room = known.needs_bytes > attempt.limit_bytes && known.needs_bytes <= most;
            known.ladder.after_with_room(end.outcome, jitter, more_room)
        };
        match next {
            Next::Retry { rung, after } => {
                let until = now + after;
                known.until = Some(until);
                self.queue.push_later(known.place, until);
                actions.push(Action::Note(Decision::Requeue {
                    job,
                    outcome: end.outcome,
                    rung,
                    estimate_bytes: known
                        .needs_bytes
                        .max(known.spec.rungs[rung].estimate_bytes.unwrap_or(0)),
                    after,
                }));
            }
            Next::Done => self.finish(job, Final::Failed(end.outcome), end.peak_bytes, actions),
            Next::GiveUp(why) => {
                let needs_bytes = known.needs_bytes.max(end.peak_bytes);
                let budget_bytes = self.budget_bytes();
                let end = Final::OutOfMemory {
                    why,
                    needs_bytes,
                    budget_bytes,
                };
                self.finish(job, end, peak, actions);
            }
        }
    }

    fn tell_breaker(
        &mut self,
        id: AttemptId,
        by_memory: bool,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        if by_memory {
            if let Some(wait) = self.breaker.ended_by_memory(id, now) {
                let why = "too many attempts ended by memory".to_owned();
                actions.push(Action::Note(Decision::BreakerOpen { wait, why }));
            }
        } else if self.breaker.ended_well(id, now) {
            actions.push(Action::Note(Decision::BreakerClosed));
        }
    }
}

/// 0 to 1, the same for the same seed and attempt (splitmix64).
fn jitter(seed: u64, attempt: AttemptId) -> f64 {
    let mut z = seed.wrapping_add(attempt.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % 1000) as f64 / 1000.0
}
