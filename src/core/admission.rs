//! Which waiting job starts now, on which of its plans, with how much memory.
//!
//! The order is priority, then age. The head of the line is never delayed: a later job goes before it only where the
//! head would not start any sooner without it (EASY backfilling, as batch schedulers do it).

use std::time::Duration;

use super::action::{Action, Start};
use super::breaker::Admits;
use super::decision::Decision;
use super::job::JobId;
use super::lives::Job;
use super::running::{Running, most_bytes};
use super::state::State;
use crate::config::policy::{BaseWorkers, Ceiling, Share};

/// Waiting jobs behind the head that are looked at.
const BACKFILL_DEPTH: usize = 64;
/// So many later jobs may go before one; then the machine is kept free for it.
const OVERTAKEN_AT_MOST: u32 = 64;
/// Below this share of its processors in use, in percent, the machine takes another job though it may want more
/// than is left.
const CPU_IDLE_PERCENT: u64 = 85;
/// What is added to a reservation for the slice's limit, percent: estimates are off by that much at times.
const LIMIT_HEADROOM_PERCENT: u64 = 25;
/// A job that fits nothing, with nothing else running, is tried after this time with what there is.
const PATIENCE: Duration = Duration::from_secs(30);
/// Without any knowledge a job is believed to take one of so many parts of the budget.
const UNKNOWN_PARTS: u32 = 4;

/// What a job would be started with.
#[derive(Debug, Clone, Copy)]
struct Fit {
    rung: usize,
    needs_bytes: u64,
    cpu_milli: u32,
}

/// What is still to be had.
#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: u64,
    /// Processors in use, thousandths; none where they are not counted.
    cpu: Option<u64>,
}

impl State {
    /// Starts what may start now.
    pub(super) fn admit(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.stage_index() == 0 {
            self.normal_running = u32::try_from(self.started_by_us()).unwrap_or(u32::MAX);
        }
        let blocked = self.started_by_us() == 0 && self.queue.ready().next().is_some();
        if self.measured_at.is_none() || self.stale {
            if blocked {
                self.ask_to_measure(now, actions);
            }
            return;
        }
        while self.started_by_us() < self.workers() as usize {
            let admits = self.breaker.admits(now, self.level());
            if admits == Admits::Nothing {
                return;
            }
            let Some((job, fit, overtakes)) = self.choose(now) else {
                return;
            };
            self.start(job, fit, overtakes, admits == Admits::Probe, now, actions);
        }
    }

    /// How many jobs may run at once now.
    pub fn workers(&self) -> u32 {
        let stage = self.stage();
        let set = self.settings.workers.or(match self.policy.workers {
            BaseWorkers::Count(count) => Some(count),
            BaseWorkers::Auto => None,
        });
        let workers = match (set, stage.workers) {
            (Some(count), share) => share.of(count),
            (None, Share::Percent(100..)) => u32::MAX,
            // A share of what ran when all was well.
            (None, share) => share.of(self.normal_running.max(1)),
        };
        self.relief.allowed(workers)
    }

    /// The job to start next, how, and the head of the line if that is another one.
    fn choose(&mut self, now: Duration) -> Option<(JobId, Fit, Option<JobId>)> {
        let head = self.queue.ready().next()?;
        let room = self.room();
        if let Some(fit) = self.fit(&self.jobs[&head.job], room, now) {
            return Some((head.job, fit, None));
        }
        let too_large = self.is_too_large(&self.jobs[&head.job]);
        let since = self.jobs[&head.job].too_large_since;
        let since = too_large.then_some(since.unwrap_or(now));
        let known = self.jobs.get_mut(&head.job)?;
        known.too_large_since = since;
        // What cannot start at all is not delayed; but in the end the machine is kept free for it.
        let waits_patiently = since.is_some_and(|since| now < since + PATIENCE);
        let known = &self.jobs[&head.job];
        if !waits_patiently && (too_large || known.overtaken >= OVERTAKEN_AT_MOST) {
            return None;
        }
        let (soonest, spare) = self.reservation_of_head(known, now);
        let fits = self
            .queue
            .ready()
            .skip(1)
            .take(BACKFILL_DEPTH)
            .find_map(|place| {
                let job = &self.jobs[&place.job];
                let fit = self.fit(job, room, now)?;
                let in_time = || Some(now + job.spec.expected? <= soonest?);
                let beside = fit.needs_bytes <= spare.bytes
                    && spare
                        .cpu
                        .is_none_or(|used| self.cpu_fits(used, fit.cpu_milli));
                (waits_patiently || beside || in_time() == Some(true)).then_some((place.job, fit))
            });
        let (job, fit) = fits?;
        if let Some(head) = self.jobs.get_mut(&head.job).filter(|_| !waits_patiently) {
            head.overtaken += 1;
        }
        Some((job, fit, Some(head.job)))
    }

    /// Whether even the lightest plan of a job needs more than all children may use; what was adopted need not end.
    fn is_too_large(&self, job: &Job) -> bool {
        let budget = self.budget_bytes();
        let at_most = budget.saturating_sub(self.adopted_bytes());
        let last = job.spec.rungs.len() - 1;
        (job.ladder.rung()..=last).all(|rung| self.needs(job, rung, budget) > at_most)
    }

    fn room(&self) -> Room {
        let cpu = self
            .running
            .values()
            .map(|attempt| u64::from(attempt.cpu_milli))
            .sum();
        Room {
            bytes: self.budget_bytes().saturating_sub(self.committed_bytes()),
            // A number that the user chose is the user's.
            cpu: self.settings.workers.is_none().then_some(cpu),
        }
    }

    fn cpu_capacity(&self) -> u64 {
        u64::from(self.settings.cpus.max(1)) * 10 * u64::from(self.policy.cpu_percent)
    }

    fn cpu_fits(&self, used: u64, wanted: u32) -> bool {
        let capacity = self.cpu_capacity();
        used + u64::from(wanted) <= capacity || used * 100 < capacity * CPU_IDLE_PERCENT
    }

    /// The best plan of a job that the stage allows and that fits.
    fn fit(&self, job: &Job, room: Room, now: Duration) -> Option<Fit> {
        let rungs = &job.spec.rungs;
        let last = rungs.len().checked_sub(1)?;
        let ceiling = self.ceiling(job);
        let allowed = (job.ladder.rung()..=last)
            .find(|rung| ceiling.is_none_or(|most| rungs[*rung].rank <= most))
            .unwrap_or(last);
        let budget = self.budget_bytes();
        let fit = |rung: usize| Fit {
            rung,
            needs_bytes: self.needs(job, rung, budget),
            cpu_milli: rungs[rung].cpu_milli,
        };
        let fits = |fit: &Fit| {
            fit.needs_bytes <= room.bytes
                && room
                    .cpu
                    .is_none_or(|used| self.cpu_fits(used, fit.cpu_milli))
        };
        let best = (allowed..=last).map(fit).find(fits);
        let lowered = match (&self.stage().profile, best) {
            (Ceiling::Lower(rungs), Some(best)) => {
                let lower = (best.rung + *rungs as usize).min(last);
                Some(fit(lower)).filter(fits).or(Some(best))
            }
            _ => best,
        };
        lowered.or_else(|| {
            // Nothing that runs would make room for it: it is tried with what there is.
            let alone = self.started_by_us() == 0
                && job
                    .too_large_since
                    .is_some_and(|since| now >= since + PATIENCE);
            (alone && room.bytes > 0).then(|| Fit {
                needs_bytes: room.bytes,
                ..fit(last)
            })
        })
    }

    /// The highest rank that the stage and the size of the input allow.
    fn ceiling(&self, job: &Job) -> Option<u32> {
        let rank = |ceiling: &Ceiling| match ceiling {
            Ceiling::AtMost { rank, .. } => Some(*rank),
            Ceiling::Any | Ceiling::Lower(_) => None,
        };
        let large = self
            .policy
            .large_files
            .iter()
            .filter(|rule| job.spec.input_bytes.is_some_and(|bytes| bytes > rule.above));
        large
            .filter_map(|rule| rank(&rule.profile))
            .chain(rank(&self.stage().profile))
            .min()
    }

    /// Bytes that a job is believed to need on a rung.
    fn needs(&self, job: &Job, rung: usize, budget: u64) -> u64 {
        // Whoever asks for more workers at once believes that they fit.
        let parts = self.settings.workers.unwrap_or(0).max(UNKNOWN_PARTS);
        let unknown = self
            .policy
            .memory_per_job
            .map_or(budget / u64::from(parts), |size| {
                size.resolve(self.measures.total_bytes)
            });
        let spec = &job.spec;
        // A limit that the user set says what a command of which nothing is known needs.
        let unknown = spec.limit_bytes.unwrap_or(unknown);
        let estimate = spec.rungs[rung].estimate_bytes;
        let needs = self
            .learned
            .needs(spec.class, estimate, unknown)
            .max(job.needs_bytes);
        needs
            .min(most_bytes(spec, rung, self.measures.total_bytes))
            .max(1)
    }

    /// When the head of the line could start if running attempts end when they are expected to, and what would be
    /// left beside it then.
    fn reservation_of_head(&self, head: &Job, now: Duration) -> (Option<Duration>, Room) {
        let budget = self.budget_bytes();
        let last = head.spec.rungs.len() - 1;
        let wanted = (head.ladder.rung()..=last)
            .map(|rung| self.needs(head, rung, budget))
            .min()
            .unwrap_or(0);
        let cpu_wanted = head.spec.rungs[last].cpu_milli;
        let mut running: Vec<(Option<Duration>, &Running)> = self
            .running
            .values()
            .filter_map(|attempt| {
                let spec = &self.job_of(attempt)?.spec;
                Some((attempt.left(spec, now), attempt))
            })
            .collect();
        // Those whose end nobody knows come last, the oldest first.
        running.sort_by_key(|(left, attempt)| (left.unwrap_or(Duration::MAX), attempt.started));
        let mut room = self.room();
        let mut soonest = Some(now);
        for (left, attempt) in running {
            if wanted <= room.bytes && room.cpu.is_none_or(|used| self.cpu_fits(used, cpu_wanted)) {
                break;
            }
            soonest = left.map(|left| now + left);
            room.bytes = room.bytes.saturating_add(attempt.held()).min(budget);
            room.cpu = room
                .cpu
                .map(|used| used.saturating_sub(u64::from(attempt.cpu_milli)));
        }
        let spare = Room {
            bytes: room.bytes.saturating_sub(wanted),
            cpu: room.cpu.map(|used| used + u64::from(cpu_wanted)),
        };
        (soonest, spare)
    }

    fn start(
        &mut self,
        job: JobId,
        fit: Fit,
        overtakes: Option<JobId>,
        probe: bool,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let attempt = self.next_attempt_id();
        let budget = self.budget_bytes();
        let room = self.room();
        let share = self.stage().batch;
        let segment = self.policy.segment;
        let length = segment
            .length
            .mul_f64(f64::from(self.stage().segment_percent) / 100.0);
        let (floor, total) = (self.settings.floor_bytes, self.measures.total_bytes);
        let Some(known) = self.jobs.get_mut(&job) else {
            return;
        };
        self.queue.remove(known.place, known.until.take());
        let most = most_bytes(&known.spec, fit.rung, total);
        let with_headroom = fit
            .needs_bytes
            .saturating_add(fit.needs_bytes / 100 * LIMIT_HEADROOM_PERCENT);
        // Where nothing was known but the user's limit, or nothing at all, the limit is the widest that harms nobody.
        let known_need = known.spec.rungs[fit.rung].estimate_bytes.is_some();
        let wanted = if known_need {
            with_headroom
        } else {
            with_headroom.max(room.bytes)
        };
        let limit_bytes = known
            .spec
            .limit_bytes
            .unwrap_or(wanted)
            .min(most)
            .max(floor);
        let batch = known.spec.batch.map(|range| share.batch(range));
        let running = Running {
            job: Some(job),
            rung: fit.rung,
            started: now,
            reserved_bytes: fit.needs_bytes,
            limit_bytes,
            cpu_milli: fit.cpu_milli,
            batch,
            used: super::event::Use::default(),
            frozen: None,
            stopping: false,
        };
        self.running.insert(attempt, running);
        if probe {
            self.breaker.probes(attempt, now);
            actions.push(Action::Note(Decision::BreakerProbe { job }));
        }
        actions.push(Action::Note(Decision::Start {
            job,
            attempt,
            rung: fit.rung,
            reserved_bytes: fit.needs_bytes,
            all_reserved_bytes: self.committed_bytes(),
            budget_bytes: budget,
            overtakes,
        }));
        actions.push(Action::Start(Start {
            job,
            attempt,
            rung: fit.rung,
            limit_bytes,
            reserved_bytes: fit.needs_bytes,
            batch,
            segment: length.max(segment.minimum),
        }));
    }
}
