//! The answer to memory pressure: relief step by step, each judged by what it brought; then, where the policy says
//! so, one victim; then a look before the next.

use std::time::Duration;

use super::action::{Action, ReliefId};
use super::decision::Decision;
use super::job::AttemptId;
use super::level::met;
use super::running::Running;
use super::state::State;
use super::victim::{self, Candidate};
use crate::config::policy::{ReliefKind, Stage};
use crate::config::size::Size;

/// What the shell gets on top of the policy's timeout before a relief is given up without its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Relief that did not show at once is looked at once more after this time, or the grace time if that is shorter: a
/// model runner takes a moment to let go.
const SHOWS_WITHIN: Duration = Duration::from_secs(1);
/// When less than this part of all memory is available the kernel's own OOM killer is near: nothing is waited for,
/// and even the last attempt is stopped, which can be run again.
const LAST_RESERVE_PART: u64 = 40;
/// What is tried when the user asks.
const ASKED: [ReliefKind; 3] = [ReliefKind::Reclaim, ReliefKind::Signal, ReliefKind::Command];

/// Where relief stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Relief {
    /// The stage it is for, and since when that is in force.
    stage: usize,
    entered: Duration,
    phase: Phase,
    /// Something was tried since the stage was entered.
    tried: bool,
    /// A worse stage was entered while something was under way: its own relief comes next.
    again: bool,
    asked: bool,
    /// When the last attempt was ended by memory.
    victim_ended: Option<Duration>,
    /// When a frozen attempt last went on.
    pub(super) thawed: Option<Duration>,
    /// After relief, until the level is normal: so many at once, and whether even where the stage starts none.
    cap: Option<u32>,
    lifted: bool,
    next_id: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing to do, or all has been tried, at that time.
    #[default]
    Idle,
    Spent(Duration),
    /// The next kind to be tried.
    Trying(usize),
    Waiting(Trial),
    /// It was carried out, or not; memory has to be looked at.
    Looking(Trial, bool, Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trial {
    id: ReliefId,
    index: usize,
    kind: ReliefKind,
    on: Option<AttemptId>,
    available_bytes: u64,
    since: Duration,
}

impl Relief {
    /// The user wants it now.
    pub fn ask(&mut self, now: Duration) {
        if !self.is_acting() {
            (self.asked, self.phase, self.entered) = (true, Phase::Trying(0), now);
        }
    }

    /// Whether something is under way.
    pub fn is_acting(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Spent(_))
    }

    /// An attempt was ended by memory and is gone.
    pub fn victim_ended(&mut self, now: Duration) {
        self.victim_ended = Some(now);
    }

    /// How many may run at once where the stage allows so many.
    pub fn allowed(&self, workers: u32) -> u32 {
        match self.cap {
            Some(cap) if self.lifted => cap,
            Some(cap) => workers.min(cap),
            None => workers,
        }
    }
}

impl State {
    /// A relief was carried out, or was not.
    pub(super) fn relieved(
        &mut self,
        id: ReliefId,
        done: bool,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        if let Phase::Waiting(trial) = self.relief.phase
            && trial.id == id
        {
            self.relief.phase = Phase::Looking(trial, done, now);
            if let (false, Some(frozen)) = (done, trial.on.and_then(|on| self.running.get_mut(&on)))
            {
                frozen.frozen = None;
            }
            self.measure_anew(now, actions);
        }
    }

    /// Does what the stage in force asks for.
    pub(super) fn answer_pressure(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.follow_stage(now);
        self.judge(now, actions);
        self.try_next(now, actions);
        self.stop_one(now, actions);
        self.thaw(now, actions);
    }

    /// Whether the stage in force would be entered now, by the last look.
    fn is_met(&self) -> bool {
        let counted = self.levels.counted(&self.policy.stages, self.stage_index());
        met(&counted, &self.measures, None).is_some()
    }

    fn follow_stage(&mut self, now: Duration) {
        let stage = self.stage_index();
        if stage == 0 {
            (self.relief.cap, self.relief.lifted) = (None, false);
        }
        let relief = &mut self.relief;
        if stage != relief.stage {
            let worse = stage > relief.stage;
            (relief.stage, relief.entered) = (stage, now);
            if worse {
                relief.tried = false;
                // What is under way is finished first.
                relief.again = relief.is_acting();
                if !relief.again {
                    relief.phase = Phase::Trying(0);
                }
            } else if !relief.is_acting() {
                relief.phase = Phase::Idle;
            }
            return;
        }
        // Still as bad as when it was entered: once more, but not without pause.
        if let Phase::Spent(at) = relief.phase
            && stage > 0
            && now >= at + self.policy.hold.max(self.policy.grace)
            && self.is_met()
        {
            self.relief.phase = Phase::Trying(0);
        }
    }

    fn judge(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let (trial, done, looked_after) = match self.relief.phase {
            Phase::Waiting(trial) => {
                let given_up = trial.since + self.policy.relief.timeout + ANSWER_WITHIN;
                if now < given_up {
                    return;
                }
                (trial, false, trial.since)
            }
            Phase::Looking(trial, done, since) => (trial, done, since),
            _ => return,
        };
        if self.measured_at.is_none_or(|at| at < looked_after) {
            return;
        }
        let after = self.measures.available_bytes;
        let wanted = self.measures.total_bytes / 100 * u64::from(self.policy.relief.helped_points);
        let enough = after >= trial.available_bytes.saturating_add(wanted.max(1));
        let helped = done && (enough || !self.is_met());
        let last_look = looked_after + self.shows_within();
        if done && !helped && self.measured_at.is_none_or(|at| at < last_look) {
            if now >= last_look {
                self.ask_to_measure(now, actions);
            }
            return;
        }
        actions.push(Action::Note(Decision::Relieved {
            kind: trial.kind,
            done,
            helped,
            available_bytes: (trial.available_bytes, after),
        }));
        let enough = helped && self.stage().verify && !self.relief.asked;
        self.relief.phase = Phase::Trying(match (std::mem::take(&mut self.relief.again), enough) {
            (true, _) => 0,
            (false, true) => usize::MAX,
            (false, false) => trial.index + 1,
        });
    }

    fn shows_within(&self) -> Duration {
        SHOWS_WITHIN.min(self.policy.grace)
    }

    /// When the relief that was carried out is looked at for the last time.
    pub(super) fn relief_due(&self) -> Option<Duration> {
        match self.relief.phase {
            Phase::Looking(_, true, since) => Some(since + self.shows_within()),
            _ => None,
        }
    }

    fn try_next(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Phase::Trying(from) = self.relief.phase else {
            return;
        };
        let kinds: &[ReliefKind] = if self.relief.asked {
            &ASKED
        } else {
            &self.stage().relief
        };
        let next = kinds
            .iter()
            .enumerate()
            .skip(from)
            .find_map(|(index, kind)| Some((index, *kind, self.applies_to(*kind, now)?)));
        let Some((index, kind, attempts)) = next else {
            return self.relief_is_spent(now, actions);
        };
        self.relief.next_id += 1;
        self.relief.tried = true;
        let trial = Trial {
            id: ReliefId(self.relief.next_id),
            index,
            kind,
            on: attempts
                .first()
                .copied()
                .filter(|_| kind == ReliefKind::Freeze),
            available_bytes: self.measures.available_bytes,
            since: now,
        };
        self.relief.phase = Phase::Waiting(trial);
        let stage = self.stage_index();
        if let Some(frozen) = trial.on.and_then(|on| self.running.get_mut(&on)) {
            frozen.frozen = Some((now, stage));
        }
        actions.push(Action::Note(Decision::Relief {
            kind,
            attempts: attempts.len(),
            available_bytes: trial.available_bytes,
        }));
        actions.push(Action::Relieve {
            relief: trial.id,
            kind,
            attempts,
        });
    }

    /// The attempts that a kind of relief is for; none if it cannot be done now.
    fn applies_to(&self, kind: ReliefKind, now: Duration) -> Option<Vec<AttemptId>> {
        let running = || self.running.iter().filter(|(_, attempt)| !attempt.stopping);
        let attempts: Vec<AttemptId> = match kind {
            ReliefKind::Command => {
                return self.policy.relief.command.as_ref().map(|_| Vec::new());
            }
            ReliefKind::Reclaim => running().map(|(id, _)| *id).collect(),
            ReliefKind::Signal => {
                self.policy.relief.signal?;
                let answers =
                    |attempt: &Running| self.job_of(attempt).is_some_and(|job| job.spec.relievable);
                running()
                    .filter(|(_, attempt)| answers(attempt))
                    .map(|(id, _)| *id)
                    .collect()
            }
            ReliefKind::Freeze => vec![self.to_freeze(now)?],
        };
        (!attempts.is_empty()).then_some(attempts)
    }

    fn relief_is_spent(&mut self, now: Duration, actions: &mut Vec<Action>) {
        (self.relief.phase, self.relief.asked) = (Phase::Spent(now), false);
        let Some(after) = self.stage().after_relief.clone() else {
            return;
        };
        let measures = &self.measures;
        let lifted = after.even_above.is_some_and(|size| match size {
            Size::Percent(percent) => measures.used_percent() >= percent,
            Size::Bytes(bytes) => measures.used_bytes() >= bytes,
        });
        let used_percent = measures.used_percent();
        if self.relief.cap != Some(after.workers) || lifted && !self.relief.lifted {
            let workers = after.workers;
            actions.push(Action::Note(Decision::Sequential {
                workers,
                used_percent,
            }));
        }
        (self.relief.cap, self.relief.lifted) = (Some(after.workers), lifted);
    }

    /// Stops one attempt where relief did not help in time.
    fn stop_one(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Stage { stop: true, .. } = self.stage() else {
            return;
        };
        let fresh = self
            .measured_at
            .is_some_and(|at| self.relief.victim_ended.is_none_or(|ended| at >= ended));
        let one_is_ending = self.running.values().any(|attempt| attempt.stopping);
        if !fresh || one_is_ending || !self.is_met() {
            return;
        }
        let available = self.measures.available_bytes;
        let desperate = available < self.measures.total_bytes / LAST_RESERVE_PART;
        let grace = self.policy.grace;
        // At the present rate there is nothing left when the grace time is over.
        let falling = self.fall.rate();
        let falling_fast = falling > 0 && (available as f64) < falling as f64 * grace.as_secs_f64();
        // A disk takes longer than the grace time to take up what is pushed out.
        let is_freezing = match self.relief.phase {
            Phase::Waiting(trial) => trial.on.is_some(),
            Phase::Looking(trial, _, since) => {
                trial.on.is_some() && self.measured_at.is_none_or(|at| at < since)
            }
            _ => false,
        };
        let waited = !is_freezing
            && now
                >= self
                    .relief
                    .entered
                    .max(self.relief.victim_ended.unwrap_or_default())
                    + grace;
        let nothing_to_try = matches!(self.relief.phase, Phase::Spent(_))
            && !self.relief.tried
            && self
                .relief
                .victim_ended
                .is_none_or(|ended| now >= ended + grace);
        if waited || desperate || falling_fast || nothing_to_try {
            self.stop_victim(desperate, now, actions);
        }
    }

    fn stop_victim(&mut self, even_the_last: bool, now: Duration, actions: &mut Vec<Action>) {
        let candidates: Vec<Candidate> = self
            .running
            .iter()
            .map(|(id, attempt)| {
                let job = self.job_of(attempt);
                Candidate {
                    attempt: *id,
                    needs_bytes: attempt.used.resident_bytes(),
                    lost: attempt.lost(now),
                    progress: attempt.used.progress,
                    priority: job.map_or(0, |job| job.spec.priority),
                    stops: job.map_or(0, |job| job.stops),
                    // What the core did not start it cannot start again.
                    repeatable: job.is_some_and(|job| job.spec.repeatable),
                }
            })
            .collect();
        if candidates.len() < 2 && !even_the_last {
            return;
        }
        let Some(victim) = victim::choose(&candidates).filter(|victim| victim.needs_bytes > 0)
        else {
            return;
        };
        let Some(attempt) = self.running.get_mut(&victim.attempt) else {
            return;
        };
        attempt.stopping = true;
        actions.push(Action::Note(Decision::Victim {
            attempt: victim.attempt,
            job: attempt.job,
            needs_bytes: victim.needs_bytes,
            lost: victim.lost,
            considered: candidates.len(),
        }));
        actions.push(Action::Stop {
            attempt: victim.attempt,
        });
    }
}
