//! A job's outputs: each file is written under a temporary name and takes its place only when FFmpeg has succeeded.
//!
//! What FFmpeg would refuse (`-n`, an output that is an input) is left to FFmpeg, which says so in its own words;
//! the question whether to overwrite is asked here in the same words, since FFmpeg would not ask about a temporary.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Job, JobError, Plan};
use crate::ffmpeg::command::{Command, Opt};
use crate::ffmpeg::output::{OutputKind, Overwrite};
use crate::ffmpeg::probe::Prober;
use crate::ffmpeg::target::{self, Target};
use crate::ffmpeg::verify;
use crate::report::Output;

/// What came of looking at the outputs.
pub enum Prepared {
    /// They can be written.
    Outputs(Outputs),
    /// The user does not want a file to be overwritten.
    NotOverwriting,
}

/// The outputs of a job over all its attempts.
pub struct Outputs {
    items: Vec<Item>,
    /// The user has agreed to overwrite.
    overwrite: bool,
    /// FFmpeg will refuse to write, and is left to say so.
    refused: bool,
    attempts: u32,
}

struct Item {
    url: OsString,
    kind: OutputKind,
    /// Its `-f`, where one was given.
    format: Option<String>,
    /// FFmpeg writes it under its own name.
    direct: bool,
    target: Option<Target>,
    complete: bool,
}

impl Outputs {
    /// Looks at what the command will write and asks the user where FFmpeg would, if there is one to be asked.
    /// Without, FFmpeg takes its empty stdin for a no.
    ///
    /// # Errors
    /// When FFmpeg would destroy an input without noticing.
    pub fn prepare(job: &Job, interactive: bool) -> Result<Prepared, JobError> {
        let mut outputs = Outputs {
            items: Vec::new(),
            overwrite: false,
            refused: false,
            attempts: 0,
        };
        let Some(command) = &job.ffmpeg else {
            return Ok(Prepared::Outputs(outputs));
        };
        for group in command.outputs() {
            let kind = target::examine(group);
            if let OutputKind::File(path) = &kind {
                match target::overwrite(command, group, path)? {
                    Overwrite::Absent | Overwrite::Replace => {}
                    Overwrite::Refuse | Overwrite::SameAsInput => outputs.refused = true,
                    Overwrite::Ask if !interactive => outputs.refused = true,
                    Overwrite::Ask if !outputs.refused => {
                        if !ask(&group.url)? {
                            return Ok(Prepared::NotOverwriting);
                        }
                        outputs.overwrite = true;
                    }
                    Overwrite::Ask => {}
                }
            }
            let url = group.url.clone();
            let format = group
                .value("f")
                .map(|format| format.to_string_lossy().into_owned());
            outputs.items.push(Item {
                url,
                kind,
                format,
                direct: false,
                target: None,
                complete: false,
            });
        }
        if outputs.refused {
            outputs.items.iter_mut().for_each(|item| item.direct = true);
        }
        Ok(Prepared::Outputs(outputs))
    }

    /// The words of the next attempt: the plan's, with temporary names for the files.
    pub fn begin(&mut self, plan: &Plan) -> Vec<OsString> {
        self.attempts += 1;
        let Some(command) = &plan.ffmpeg else {
            return plan.argv.clone();
        };
        let mut command = command.clone();
        let random = std::hash::RandomState::new().build_hasher().finish();
        for (index, (item, group)) in self.items.iter_mut().zip(command.outputs_mut()).enumerate() {
            item.target = None;
            let OutputKind::File(path) = &item.kind else {
                continue;
            };
            if item.direct {
                continue;
            }
            let token = format!("{}-{:08x}-{index}", std::process::id(), random >> 32);
            match Target::new(&item.url, path, &token) {
                Ok(target) => {
                    group.url = target.url().to_owned();
                    item.target = Some(target);
                }
                Err(why) => {
                    log::debug!("{why}");
                    item.direct = true;
                }
            }
        }
        let direct = self
            .items
            .iter()
            .any(|item| item.direct || item.kind == OutputKind::ManyFiles);
        // What an earlier attempt of ours left there is ours to overwrite; what it was refused is not.
        if direct && !self.refused && (self.overwrite || self.attempts > 1) {
            say_yes(&mut command);
        }
        command.to_argv()
    }

    /// The temporary files of the attempt.
    pub fn temporaries(&self) -> impl Iterator<Item = &Path> {
        self.items
            .iter()
            .filter_map(|item| item.target.as_ref())
            .map(Target::temporary)
    }

    /// FFmpeg has succeeded: every file is looked at, then each takes its place.
    ///
    /// # Errors
    /// A file that is not whole: then all go, and every target is as it was. Or a file that could not take its
    /// place: it is kept under its temporary name.
    pub fn commit(&mut self) -> Result<(), JobError> {
        if let Err(error) = self.verify() {
            self.discard();
            return Err(error);
        }
        for item in &mut self.items {
            let Some(target) = &item.target else {
                item.complete = true;
                continue;
            };
            // Some muxers write no file at all.
            if target.temporary().exists() {
                target.commit().map_err(|error| JobError::Output {
                    path: target.path().to_owned(),
                    why: format!(
                        "{error}; the finished output is in {}",
                        target.temporary().display()
                    ),
                })?;
                item.complete = true;
            }
        }
        Ok(())
    }

    fn verify(&self) -> Result<(), JobError> {
        let prober = Prober::default();
        for item in &self.items {
            let Some(target) = &item.target else { continue };
            if let Some(why) = verify::broken(target.temporary(), item.format.as_deref(), &prober) {
                return Err(JobError::Output {
                    path: target.path().to_owned(),
                    why: format!(
                        "FFmpeg ended with 0, but what it wrote is not whole ({why}); is the disk full?"
                    ),
                });
            }
        }
        Ok(())
    }

    /// FFmpeg has failed: what it wrote goes, what was there stays.
    pub fn discard(&mut self) {
        for target in self.items.iter_mut().filter_map(|item| item.target.take()) {
            if let Err(error) = target.discard() {
                log::warn!("cannot remove {}: {error}", target.temporary().display());
            }
        }
    }

    /// For the report.
    pub fn report(&self) -> Vec<Output> {
        self.items.iter().map(Item::report).collect()
    }
}

impl Item {
    fn report(&self) -> Output {
        let file: Option<&PathBuf> = match &self.kind {
            OutputKind::File(path) => Some(path),
            _ => None,
        };
        let size = file
            .filter(|_| self.complete)
            .and_then(|path| path.metadata().ok());
        Output {
            url: self.url.clone(),
            kind: kind_name(&self.kind),
            complete: file.map(|_| self.complete),
            size_bytes: size.map(|metadata| metadata.len()),
        }
    }
}

/// What an output is, for people.
pub fn kind_name(kind: &OutputKind) -> &'static str {
    match kind {
        OutputKind::File(_) => "file",
        OutputKind::Pipe => "pipe",
        OutputKind::Null => "null",
        OutputKind::Device => "device",
        OutputKind::Url => "url",
        OutputKind::ManyFiles => "many files",
    }
}

fn say_yes(command: &mut Command) {
    if command.global_boolean("y").is_none()
        && let Some(first) = command.groups.first_mut()
    {
        first.options.insert(0, Opt::flag("y"));
    }
}

/// FFmpeg's question and its way of reading the answer: the first character counts, the line is eaten, and not a
/// byte more, for the rest of stdin is FFmpeg's.
fn ask(url: &OsString) -> Result<bool, JobError> {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(b"File '")?;
    stderr.write_all(url.as_bytes())?;
    stderr.write_all(b"' already exists. Overwrite? [y/N] ")?;
    stderr.flush()?;
    // Unbuffered: std's own stdin would read ahead.
    let mut stdin = std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut first = None;
    let mut byte = [0u8];
    while stdin.read(&mut byte)? == 1 {
        first.get_or_insert(byte[0]);
        if byte[0] == b'\n' {
            break;
        }
    }
    let yes = matches!(first, Some(b'y' | b'Y'));
    if !yes {
        stderr.write_all(b"Not overwriting - exiting\n")?;
    }
    Ok(yes)
}
