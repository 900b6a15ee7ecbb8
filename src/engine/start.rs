//! Starting an attempt: the words of its command, its files, its environment, its slice, its child.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Instant;

use super::attempt::{Attempt, FIRST_LOOK, Phase};
use super::desk::Held;
use super::{BATCH, SEGMENT, Task};
use crate::child::{Apart, Launch};
use crate::config::policy::Level;
use crate::core::{Start, Use};
use crate::job::heartbeat::FfmpegHeartbeat;
use crate::job::{JobError, Plan};
use crate::memory::tree::COOKIE;
use crate::slice::detect::Container;
use crate::slice::{Limits, owner};

/// What a child is told of the moment it is started at.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The level of memory pressure.
    pub level: Level,
    /// Swap that a slice may use, bytes.
    pub swap_bytes: u64,
    /// The soft limit of open files before we raised ours.
    pub open_files: Option<u64>,
}

/// Starts the child of an attempt in a slice of its own. `words` are its plan's, with temporary names for outputs.
///
/// # Errors
/// When a file cannot be made, the slice not be set up, or the program not be started. Nothing is left then.
pub fn start(
    start: &Start,
    held: &Held,
    plan: &Plan,
    mut words: Vec<OsString>,
    moment: &Moment,
    container: &mut Container,
) -> Result<Attempt, JobError> {
    let task = &held.task;
    fill(&mut words, task, plan.ffmpeg.is_some(), start);
    let limits = Limits {
        memory_bytes: start.limit_bytes,
        swap_bytes: moment.swap_bytes,
        ..plan.limits
    };
    let stdio = open_streams(task)?;
    if let (Some(file), Some(batch)) = (
        task.batch.as_ref().and_then(|rule| rule.file.as_deref()),
        start.batch,
    ) {
        tell_by_file(file, batch)?;
    }
    let dir = container.next_dir();
    let cookie = OsString::from(owner::name(start.attempt.0));
    let mut slice = container.slice_among(&limits, &cookie)?;
    let argv = words.clone();
    let mut launch = Launch {
        path: held.job.program.clone(),
        argv: words,
        keep_fd: None,
        apart: Some(Apart {
            stdio,
            env: environment(task, start, moment, cookie),
            open_files: moment.open_files,
        }),
    };
    let heartbeat = heartbeat(plan, &mut launch)?;
    let begun = Instant::now();
    let process = slice.spawn(&launch)?;
    Ok(Attempt {
        job: start.job,
        slice,
        dir,
        process,
        argv,
        profile: plan.profile.clone(),
        estimate_bytes: plan.estimate_bytes(),
        limit_bytes: limits.memory_bytes,
        is_ffmpeg: plan.ffmpeg.is_some(),
        seconds: held.job.seconds,
        heartbeat,
        timeout: task.request.timeout,
        stall: task.request.stall_timeout,
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
    })
}

/// FFmpeg tells its progress when asked to.
fn heartbeat(plan: &Plan, launch: &mut Launch) -> Result<Option<FfmpegHeartbeat>, JobError> {
    let Some(command) = &plan.ffmpeg else {
        return Ok(None);
    };
    if command.has_global("progress") {
        return Ok(None);
    }
    let (heartbeat, child_end) = FfmpegHeartbeat::open()?;
    launch.argv = FfmpegHeartbeat::asked(&launch.argv, &child_end);
    launch.keep_fd = Some(child_end);
    Ok(Some(heartbeat))
}

/// stdin is empty; stdout and stderr go to the task's files.
fn open_streams(task: &Task) -> Result<[OwnedFd; 3], JobError> {
    let null = || OpenOptions::new().read(true).write(true).open("/dev/null");
    let stdin = null()?;
    let stdout = match &task.stdout {
        Some(path) => begin(path)?,
        None => null()?,
    };
    let stderr = match &task.stderr {
        Some(path) if task.stdout.as_ref() == Some(path) => stdout.try_clone()?,
        Some(path) => begin(path)?,
        None => null()?,
    };
    Ok([stdin.into(), stdout.into(), stderr.into()])
}

/// Written at its end whoever writes, so that two writers of one file do not overwrite each other.
fn begin(path: &Path) -> Result<File, JobError> {
    let fail = |source: io::Error| JobError::Stream {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(fail)?;
    if file.metadata().map_err(fail)?.is_file() {
        file.set_len(0).map_err(fail)?;
    }
    Ok(file)
}

/// Makes a file hold a batch size, whole at any moment.
///
/// # Errors
/// What the file system said.
pub fn tell_by_file(path: &Path, batch: u32) -> Result<(), JobError> {
    let fail = |source: io::Error| JobError::Stream {
        path: path.to_owned(),
        source,
    };
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".ffwarden-{}", std::process::id()));
    let partial = path.with_file_name(name);
    std::fs::write(&partial, format!("{batch}\n"))
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(fail)
}

fn environment(
    task: &Task,
    start: &Start,
    moment: &Moment,
    cookie: OsString,
) -> Vec<(OsString, OsString)> {
    let mut env = task.env.clone();
    let mut add = |name: &str, value: OsString| env.push((name.into(), value));
    add(COOKIE, cookie);
    add("FFWARDEN_LEVEL", moment.level.to_string().into());
    add(
        "FFWARDEN_SEGMENT_SECONDS",
        start.segment.as_secs().to_string().into(),
    );
    if let Some(batch) = start.batch {
        for name in ["FFWARDEN_BATCH_SIZE", "BATCH_SIZE"] {
            add(name, batch.to_string().into());
        }
    }
    env
}

/// Puts the values of this start into the words that may hold them.
fn fill(words: &mut [OsString], task: &Task, rewritten: bool, start: &Start) {
    let template = |index: &usize| task.argv.get(*index).map(OsString::as_os_str);
    let adaptive: BTreeSet<&OsStr> = task.adaptive.iter().filter_map(template).collect();
    let batch = start.batch.unwrap_or(1).to_string();
    let segment = start.segment.as_secs().to_string();
    for (index, word) in words.iter_mut().enumerate() {
        let is_one = if rewritten {
            adaptive.contains(word.as_os_str())
        } else {
            task.adaptive.contains(&index)
        };
        if is_one {
            *word = replace(&replace(word, BATCH, &batch), SEGMENT, &segment);
        }
    }
}

fn replace(word: &OsStr, from: &str, to: &str) -> OsString {
    let (bytes, from) = (word.as_bytes(), from.as_bytes());
    let mut filled = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(from) {
            filled.extend_from_slice(to.as_bytes());
            at += from.len();
        } else {
            filled.push(bytes[at]);
            at += 1;
        }
    }
    OsString::from_vec(filled)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::{AttemptId, JobId};

    fn start_with(batch: Option<u32>) -> Start {
        Start {
            job: JobId(1),
            attempt: AttemptId(1),
            rung: 0,
            limit_bytes: 1 << 30,
            reserved_bytes: 1 << 30,
            batch,
            segment: Duration::from_secs(300),
        }
    }

    fn words(list: &[&str]) -> Vec<OsString> {
        list.iter().map(OsString::from).collect()
    }

    #[test]
    fn only_the_words_that_were_named_are_filled() {
        let argv = words(&[
            "run",
            "-b={batch},{batch}",
            "-s",
            "{segment}",
            "in {batch}.wav",
        ]);
        let task = Task {
            argv: argv.clone(),
            adaptive: vec![1, 3],
            ..Task::default()
        };
        let mut filled = argv;
        fill(&mut filled, &task, false, &start_with(Some(4)));
        assert_eq!(
            filled,
            words(&["run", "-b=4,4", "-s", "300", "in {batch}.wav"])
        );
    }

    #[test]
    fn in_a_rewritten_command_they_are_found_by_what_they_are() {
        let task = Task {
            argv: words(&["ffmpeg", "-i", "{segment}.mov", "-t", "{segment}", "o.mp4"]),
            adaptive: vec![4],
            ..Task::default()
        };
        let mut filled = words(&[
            "ffmpeg",
            "-threads",
            "1",
            "-i",
            "{segment}.mov",
            "-t",
            "{segment}",
            "o.mp4",
        ]);
        fill(&mut filled, &task, true, &start_with(None));
        assert_eq!(filled[6], "300");
        assert_eq!(filled[4], "{segment}.mov");
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let word = OsString::from_vec(b"\xff{batch}\xfe".to_vec());
        assert_eq!(replace(&word, BATCH, "8").as_bytes(), b"\xff8\xfe");
    }

    #[test]
    fn streams_begin_anew_and_may_share_a_file() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "of an earlier attempt").unwrap();
        let task = Task {
            stdout: Some(log.clone()),
            stderr: Some(log.clone()),
            ..Task::default()
        };
        let [_, stdout, stderr] = open_streams(&task).unwrap();
        File::from(stdout).write_all(b"one ").unwrap();
        File::from(stderr).write_all(b"two").unwrap();
        assert_eq!(std::fs::read(&log).unwrap(), b"one two");
    }

    #[test]
    fn a_batch_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("batch");
        tell_by_file(&file, 16).unwrap();
        tell_by_file(&file, 4).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"4\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
