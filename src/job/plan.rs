//! What would be run at each rung of the ladder: the rewritten command, its estimate, its limits.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::work::{ONE_CPU, cpu_milli, largest_input, repeatable, streams_repeatable};
use super::{JobError, Request};
use crate::child::find_program;
use crate::config::profile::{DEFAULT_PIDS_MAX, Profile, Profiles};
use crate::config::size::format_bytes;
use crate::core::budget::{self, Candidate};
use crate::ffmpeg::command::{Command, is_ffmpeg};
use crate::ffmpeg::estimate::{Estimate, estimate, output_seconds};
use crate::ffmpeg::probe::{MediaInfo, ProbeError, Prober};
use crate::ffmpeg::rewrite::{Change, Rewritten, rewrite};
use crate::memory;
use crate::slice::{Containment, Limits};

/// Threads a command is expected to have, for RLIMIT_DATA: a base, and three per CPU (decoder, filter and encoder
/// pools).
const THREADS_BASE: u64 = 16;
const THREADS_PER_CPU: u64 = 3;

/// A command with everything that was found out before its first attempt.
#[derive(Debug)]
pub struct Job {
    /// As typed.
    pub command: Vec<OsString>,
    /// The executable that was found for it.
    pub program: PathBuf,
    /// The same typed, when it is an FFmpeg command that will write something.
    pub ffmpeg: Option<Command>,
    /// The plans, from the heaviest to the lightest; at least one.
    pub rungs: Vec<Plan>,
    /// The rung to start on.
    pub first: usize,
    /// It can be run again: nothing goes through a pipe.
    pub repeatable: bool,
    /// The memory limit that was asked for, bytes.
    pub asked_bytes: Option<u64>,
    /// What a child started now may use, bytes.
    pub budget_bytes: u64,
    /// What was available when it was planned, bytes.
    pub available_bytes: u64,
    /// Seconds of output that it will write, where known.
    pub seconds: Option<f64>,
    /// Bytes of its largest input file, where it has any.
    pub input_bytes: Option<u64>,
}

/// Where a job is prepared and will run.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The smallest limit that is sensible, bytes.
    pub floor_bytes: u64,
    /// All profiles; none are read when they are needed.
    pub profiles: Option<&'a Profiles>,
    /// The child's standard streams.
    pub standard: Standard,
}

/// What a child's standard streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    /// Ours, whatever they are.
    Ours,
    /// stdin is empty, stdout and stderr are files of its own that each attempt begins anew.
    Files,
}

/// One rung.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The profile; none for a command that is not rewritten.
    pub profile: Option<String>,
    /// The profile's place on the ladder; 0 without one.
    pub rank: u32,
    /// Threads it keeps busy, in thousandths of a processor.
    pub cpu_milli: u32,
    /// The command, when it is FFmpeg's.
    pub ffmpeg: Option<Command>,
    /// What is run, with the outputs as the user named them.
    pub argv: Vec<OsString>,
    /// What the profile changed.
    pub changes: Vec<Change>,
    /// What it is expected to need; none when nothing is known.
    pub estimate: Option<Estimate>,
    /// What the slice is limited to.
    pub limits: Limits,
    /// The profile's own ceiling of the limit, bytes.
    pub ceiling_bytes: Option<u64>,
}

impl Plan {
    /// Bytes it is expected to peak at.
    pub fn estimate_bytes(&self) -> Option<u64> {
        self.estimate.as_ref().map(|estimate| estimate.bytes)
    }
}

/// What the machine gives.
struct Machine<'a> {
    profiles: Option<&'a Profiles>,
    total_bytes: u64,
    budget_bytes: u64,
    cpus: u32,
    floor_bytes: u64,
}

impl Job {
    /// Finds everything out that the first attempt needs. `floor_bytes` is the smallest limit that is sensible.
    ///
    /// # Errors
    /// When the program or profile is not there, or the machine's memory cannot be read.
    pub fn prepare(
        command: Vec<OsString>,
        request: &Request,
        floor_bytes: u64,
    ) -> Result<Job, JobError> {
        let surroundings = Surroundings {
            floor_bytes,
            profiles: None,
            standard: Standard::Ours,
        };
        Job::prepare_in(command, request, &surroundings)
    }

    /// The same for one of many jobs, which do not read the profiles each.
    ///
    /// # Errors
    /// As [`Job::prepare`].
    pub fn prepare_in(
        command: Vec<OsString>,
        request: &Request,
        surroundings: &Surroundings<'_>,
    ) -> Result<Job, JobError> {
        let floor_bytes = surroundings.floor_bytes;
        let program = find_program(command.first().map_or(OsStr::new(""), OsString::as_os_str))?;
        let memory = memory::machine()?;
        let cpus = std::thread::available_parallelism().map_or(1, |count| count.get());
        let machine = Machine {
            profiles: surroundings.profiles,
            total_bytes: memory.total_bytes,
            budget_bytes: budget::budget(memory.total_bytes, memory.available_bytes),
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            floor_bytes,
        };
        let asked_bytes = request.memory.map(|size| size.resolve(machine.total_bytes));
        if let Some(asked) = asked_bytes.filter(|asked| *asked < floor_bytes) {
            let (asked, floor) = (format_bytes(asked), format_bytes(floor_bytes));
            log::warn!(
                "the limit {asked} is raised to {floor}: below it a child that only writes files is killed"
            );
        }
        // What FFmpeg itself will refuse to read is for FFmpeg to refuse.
        let ffmpeg = is_ffmpeg(command.first().map_or(OsStr::new(""), OsString::as_os_str))
            .then(|| Command::parse(&command).ok())
            .flatten()
            .filter(|command| !command.is_informational());
        let inputs = ffmpeg.as_ref().map(probe).unwrap_or_default();
        let rungs = match &ffmpeg {
            Some(ffmpeg) => machine.rungs(ffmpeg, &inputs, request, asked_bytes)?,
            None => {
                machine.known(request)?;
                vec![machine.plain(&command, asked_bytes)]
            }
        };
        let first = match request.profile {
            Some(_) => 0,
            None => {
                let candidates: Vec<Candidate> = rungs.iter().map(Candidate::from).collect();
                budget::highest_that_fits(&candidates, machine.budget_bytes).unwrap_or(0)
            }
        };
        Ok(Job {
            repeatable: match &ffmpeg {
                Some(command) => repeatable(command, surroundings.standard),
                None => surroundings.standard == Standard::Files || streams_repeatable(),
            },
            seconds: ffmpeg
                .as_ref()
                .and_then(|command| output_seconds(command, &inputs)),
            input_bytes: ffmpeg.as_ref().and_then(largest_input),
            command,
            program,
            ffmpeg,
            rungs,
            first,
            asked_bytes,
            budget_bytes: machine.budget_bytes,
            available_bytes: memory.available_bytes,
        })
    }

    /// The plan to start with.
    pub fn first_plan(&self) -> Option<&Plan> {
        self.rungs.get(self.first)
    }

    /// Says in one line what is about to be run, when it is an FFmpeg command.
    pub fn announce(&self, containment: Containment) {
        let (Some(_), Some(plan)) = (&self.ffmpeg, self.first_plan()) else {
            return;
        };
        let profile = plan.profile.as_deref().unwrap_or("no");
        let limit = format_bytes(plan.limits.memory_bytes);
        let estimate = plan.estimate_bytes().map_or_else(
            || "no estimate".to_owned(),
            |bytes| format!("estimate {}", format_bytes(bytes)),
        );
        log::info!("{profile} profile, {estimate}, limit {limit} ({containment})");
        for change in &plan.changes {
            let from = change
                .from
                .as_deref()
                .map_or(String::new(), |from| format!("{from} -> "));
            log::debug!("{} {from}{}: {}", change.option, change.to, change.why);
        }
        if !self.repeatable {
            log::debug!("an input or output is a pipe or device: run once, whatever happens");
        }
    }
}

impl From<&Plan> for Candidate {
    fn from(plan: &Plan) -> Candidate {
        Candidate {
            estimate_bytes: plan.estimate_bytes(),
            limit_bytes: plan.limits.memory_bytes,
        }
    }
}

impl Machine<'_> {
    fn limits(&self, asked: Option<u64>, ceiling: Option<u64>, pids_max: u32) -> Limits {
        let memory_bytes = budget::limit(asked, self.budget_bytes, ceiling).max(self.floor_bytes);
        let expected_threads = THREADS_BASE + THREADS_PER_CPU * u64::from(self.cpus);
        Limits {
            memory_bytes,
            pids_max: u64::from(pids_max),
            expected_threads,
            swap_bytes: 0,
        }
    }

    /// The only plan of a command that is not FFmpeg's.
    fn plain(&self, command: &[OsString], asked: Option<u64>) -> Plan {
        Plan {
            profile: None,
            rank: 0,
            cpu_milli: ONE_CPU,
            ffmpeg: None,
            argv: command.to_vec(),
            changes: Vec::new(),
            estimate: None,
            limits: self.limits(asked, None, DEFAULT_PIDS_MAX),
            ceiling_bytes: None,
        }
    }

    fn profiles(&self) -> Result<Cow<'_, Profiles>, JobError> {
        match self.profiles {
            Some(profiles) => Ok(Cow::Borrowed(profiles)),
            None => Ok(Cow::Owned(Profiles::load(&Profiles::directories())?)),
        }
    }

    /// Fails for a profile that is not there, also where none is applied: it was meant to be.
    fn known(&self, request: &Request) -> Result<(), JobError> {
        if let Some(name) = &request.profile {
            self.profiles()?.resolve(&name.to_string_lossy())?;
        }
        Ok(())
    }

    /// The plans of an FFmpeg command; a profile that would run the same under the same limit as a heavier one is
    /// no rung of its own.
    fn rungs(
        &self,
        command: &Command,
        inputs: &[Option<MediaInfo>],
        request: &Request,
        asked: Option<u64>,
    ) -> Result<Vec<Plan>, JobError> {
        if request.no_rewrite {
            self.known(request)?;
            let plan = self.plain(&command.to_argv(), asked);
            let estimate = estimate(command, inputs, self.cpus);
            let ffmpeg = Some(command.clone());
            return Ok(vec![Plan {
                cpu_milli: cpu_milli(command, inputs, None, self.cpus),
                ffmpeg,
                estimate: Some(estimate),
                ..plan
            }]);
        }
        let profiles = self.profiles()?;
        let start = match &request.profile {
            Some(name) => profiles.resolve(&name.to_string_lossy())?,
            None => profiles
                .iter()
                .next_back()
                .cloned()
                .ok_or(JobError::NoProfile)?,
        };
        let mut rungs: Vec<Plan> = Vec::new();
        for profile in std::iter::once(&start).chain(profiles.ladder_below(start.rank)) {
            let plan = self.rung(command, inputs, profile, asked);
            let same = |last: &Plan| last.argv == plan.argv && last.limits == plan.limits;
            if !rungs.last().is_some_and(same) {
                rungs.push(plan);
            }
        }
        Ok(rungs)
    }

    fn rung(
        &self,
        command: &Command,
        inputs: &[Option<MediaInfo>],
        profile: &Profile,
        asked: Option<u64>,
    ) -> Plan {
        let Rewritten { command, changes } = rewrite(command, profile, self.cpus);
        let ceiling_bytes = profile
            .memory_max
            .map(|size| size.resolve(self.total_bytes));
        Plan {
            profile: Some(profile.name.clone()),
            rank: profile.rank,
            cpu_milli: cpu_milli(&command, inputs, Some(profile), self.cpus),
            argv: command.to_argv(),
            estimate: Some(estimate(&command, inputs, self.cpus)),
            ffmpeg: Some(command),
            changes,
            limits: self.limits(asked, ceiling_bytes, profile.pids_max),
            ceiling_bytes,
        }
    }
}

/// What the inputs hold. An input that cannot be probed has no part in the estimate; FFmpeg will say what is wrong
/// with it.
fn probe(command: &Command) -> Vec<Option<MediaInfo>> {
    let prober = Prober::default();
    let mut missing = false;
    let mut one = |group| {
        if missing {
            return None;
        }
        prober.probe(group).unwrap_or_else(|error| {
            missing = matches!(error, ProbeError::Missing { .. });
            log::debug!("{error}");
            None
        })
    };
    command.inputs().map(&mut one).collect()
}
