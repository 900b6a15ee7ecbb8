//! The thread that finds out what a job needs before its first attempt: ffprobe takes about 80 ms for each input.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use super::{Answer, Task};
use crate::config::profile::Profiles;
use crate::core::{JobId, JobSpec, Rung};
use crate::job::{Job, JobError, Plan, Standard, Surroundings};
use crate::mailbox::{Answers, start_thread};

/// A job that has been planned, or cannot be.
#[derive(Debug)]
pub struct Planned {
    /// Which.
    pub job: JobId,
    /// What was asked for.
    pub task: Task,
    /// Its plans.
    pub plans: Result<Job, JobError>,
}

/// The loop's end of the thread.
#[derive(Debug)]
pub struct Planner {
    send: Sender<(JobId, Task)>,
    leaving: Arc<AtomicBool>,
}

impl Planner {
    /// Starts the thread. `floor_bytes` is the smallest limit that is sensible for a slice.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(
        profiles: Profiles,
        floor_bytes: u64,
        answers: Answers<Answer>,
    ) -> io::Result<Planner> {
        let (send, receive) = channel::<(JobId, Task)>();
        let leaving = Arc::new(AtomicBool::new(false));
        let left = Arc::clone(&leaving);
        start_thread("planner", move || {
            let surroundings = Surroundings {
                floor_bytes,
                profiles: Some(&profiles),
                standard: Standard::Files,
            };
            for (job, task) in receive {
                if left.load(Ordering::Relaxed) {
                    return;
                }
                let argv: Vec<OsString> = task.argv.clone();
                let plans = Job::prepare_in(argv, &task.request, &surroundings).map(slim);
                answers.give(Answer::Planned(Box::new(Planned { job, task, plans })));
            }
        })?;
        Ok(Planner { send, leaving })
    }

    /// Has a job planned.
    pub fn plan(&self, job: JobId, task: Task) {
        // The thread ends only after us.
        let _gone = self.send.send((job, task));
    }

    /// Nothing more is wanted, not even what was asked for.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }
}

/// Without what is only shown by `plan`: many jobs are held at once.
fn slim(mut job: Job) -> Job {
    for plan in &mut job.rungs {
        plan.changes = Vec::new();
        if let Some(estimate) = &mut plan.estimate {
            estimate.parts = Vec::new();
        }
        if plan.ffmpeg.is_some() {
            plan.argv = Vec::new();
        }
    }
    job.rungs.shrink_to_fit();
    job
}

/// What the core has to know of a job. `can_relieve`: the policy has a relief signal.
pub fn spec(task: &Task, job: &Job, can_relieve: bool) -> JobSpec {
    // A job that asked for its profile starts on that rung; the first is the heaviest in any case.
    let rungs = job.rungs.iter().map(rung).collect();
    JobSpec {
        priority: task.priority,
        rungs,
        retries: task.request.retries,
        repeatable: job.repeatable,
        input_bytes: job.input_bytes,
        expected: task.expected,
        class: task.class,
        limit_bytes: job.asked_bytes,
        batch: task.batch.as_ref().map(|rule| rule.range),
        tellable: task.batch.as_ref().is_some_and(|rule| rule.tellable()),
        relievable: can_relieve && task.relievable,
    }
}

fn rung(plan: &Plan) -> Rung {
    Rung {
        rank: plan.rank,
        estimate_bytes: plan.estimate_bytes(),
        ceiling_bytes: plan.ceiling_bytes,
        cpu_milli: plan.cpu_milli,
    }
}
