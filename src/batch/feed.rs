//! From inputs to tasks for the engine. A thread of its own reads the list, looks at the inputs and asks the journal,
//! a bounded number of jobs ahead, so that a slow list or disk holds up nothing that runs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::inputs::{InputError, Inputs};
use super::journal::{self, Done};
use super::placeholder::Template;
use super::results;
use crate::core::JobId;
use crate::engine::{BATCH, Pull, SEGMENT, Task, Tasks};
use crate::ffmpeg::command::{Command, is_ffmpeg};
use crate::ffmpeg::output::InputKind;
use crate::ffmpeg::target;

/// Jobs that are made ready ahead of what the engine has asked for.
const AHEAD: usize = 64;

/// Why the inputs came to an end too soon.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The list is wrong.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The journal cannot be read.
    #[error("cannot read what was done before: {0}")]
    Journal(io::Error),
    /// There is no place for a job's output.
    #[error("cannot make a place for the output of a job: {0}")]
    Results(io::Error),
    /// No thread can be made.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// How an input becomes a task.
#[derive(Debug)]
pub struct Recipe {
    /// The command.
    pub template: Template,
    /// The working directory.
    pub dir: PathBuf,
    /// What all tasks have in common; command and files are filled in.
    pub task: Task,
    /// Where outputs are kept, if they are.
    pub results: Option<PathBuf>,
    /// Where they go otherwise, until they have been written out.
    pub spool: PathBuf,
}

/// What is known of a job that the engine does not have to know.
#[derive(Debug, Clone)]
pub struct About {
    /// Its input.
    pub input: OsString,
    /// Its command, placeholders filled in, not rewritten.
    pub argv: Vec<OsString>,
    /// Its key in the journal.
    pub key: u128,
    /// Where its stdout goes.
    pub stdout: PathBuf,
    /// Where its stderr goes.
    pub stderr: PathBuf,
}

/// What is shared between who hands jobs out and who hears of their end.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// The jobs that are with the engine.
    pub pending: Rc<RefCell<HashMap<JobId, About>>>,
    /// How many were left out because they were done before.
    pub skipped: Arc<AtomicU64>,
    /// There is a list that has not ended: nobody knows how many jobs are to come.
    pub open: Rc<Cell<bool>>,
}

impl Recipe {
    /// The command for an input, and its key in the journal.
    pub fn command(&self, input: &OsStr, sequence: u64) -> (Vec<OsString>, u128) {
        let argv = self.template.argv(input, sequence);
        let key = journal::key(&self.dir, &argv, &files_read(&argv, input));
        (argv, key)
    }

    fn task(&self, about: &About) -> Task {
        Task {
            argv: about.argv.clone(),
            adaptive: self.template.holding(&[BATCH, SEGMENT]),
            stdout: Some(about.stdout.clone()),
            stderr: Some(about.stderr.clone()),
            ..self.task.clone()
        }
    }

    fn about(
        &self,
        input: OsString,
        sequence: u64,
        done: &mut Done,
    ) -> Result<Option<About>, FeedError> {
        let (argv, key) = self.command(&input, sequence);
        if done.has(key).map_err(FeedError::Journal)? {
            return Ok(None);
        }
        let (stdout, stderr) = match &self.results {
            Some(dir) => {
                let kept = results::prepare(dir, &input, sequence).map_err(FeedError::Results)?;
                (kept.stdout, kept.stderr)
            }
            None => (
                self.spool.join(format!("{sequence}.out")),
                self.spool.join(format!("{sequence}.err")),
            ),
        };
        Ok(Some(About {
            input,
            argv,
            key,
            stdout,
            stderr,
        }))
    }
}

/// The input, and what FFmpeg reads besides.
fn files_read(argv: &[OsString], input: &OsStr) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from(input)];
    let ffmpeg = argv
        .first()
        .filter(|program| is_ffmpeg(program))
        .and_then(|_| Command::parse(argv).ok());
    for group in ffmpeg.iter().flat_map(Command::inputs) {
        if let InputKind::File(path) = target::examine_input(group)
            && !files.contains(&path)
        {
            files.push(path);
        }
    }
    files
}

/// What the thread has to say.
enum Message {
    Job(u64, Box<About>),
    Broken(FeedError),
}

/// A pipe that says that there is something to be had.
#[derive(Debug)]
struct Wake {
    reader: PipeReader,
}

/// Its other end. When it is dropped, the reading end is readable for good.
#[derive(Debug)]
struct Waker {
    writer: PipeWriter,
}

impl Wake {
    fn new() -> io::Result<(Wake, Waker)> {
        let (reader, writer) = io::pipe()?;
        for fd in [reader.as_fd(), writer.as_fd()] {
            fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok((Wake { reader }, Waker { writer }))
    }

    /// What is said from now on is news.
    fn drain(&mut self) {
        let mut bytes = [0; 256];
        while self
            .reader
            .read(&mut bytes)
            .is_ok_and(|read| read == bytes.len())
        {}
    }
}

impl Waker {
    fn wake(&mut self) {
        // Full is readable.
        let _full = self.writer.write(&[0]);
    }
}

/// The tasks of a batch.
#[derive(Debug)]
pub struct Feed {
    wake: Wake,
    recipe: Arc<Recipe>,
    receiver: Receiver<Message>,
    total: Option<u64>,
    given: u64,
    ended: bool,
    shared: Shared,
    /// Why there are fewer tasks than inputs.
    pub broken: Option<FeedError>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Message::Job(sequence, _) => write!(f, "Job({sequence})"),
            Message::Broken(error) => write!(f, "Broken({error})"),
        }
    }
}

impl Feed {
    /// Starts to read. What the journal knows to be done is left out.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start<R: BufRead + Send + 'static>(
        recipe: Recipe,
        inputs: Inputs<R>,
        mut done: Done,
    ) -> Result<Feed, FeedError> {
        let recipe = Arc::new(recipe);
        let shared = Shared::default();
        let (sender, receiver) = sync_channel(AHEAD);
        let (wake, mut waker) = Wake::new().map_err(FeedError::Thread)?;
        let total = inputs.known();
        shared.open.set(total.is_none());
        let (thread_recipe, thread_skipped) = (Arc::clone(&recipe), Arc::clone(&shared.skipped));
        std::thread::Builder::new()
            .name("inputs".to_owned())
            .spawn(move || {
                let mut give = |message| {
                    let given = sender.send(message).is_ok();
                    waker.wake();
                    given
                };
                let ended = read(
                    &thread_recipe,
                    inputs,
                    &mut done,
                    &thread_skipped,
                    &mut give,
                );
                if let Err(error) = ended {
                    let _nobody_asks_any_more = give(Message::Broken(error));
                }
                // In this order: who is woken by the waker's end must see that nothing more comes.
                drop(sender);
                drop(waker);
            })
            .map_err(FeedError::Thread)?;
        Ok(Feed {
            wake,
            recipe,
            receiver,
            total,
            given: 0,
            ended: false,
            shared,
            broken: None,
        })
    }

    /// What the reporter has to know.
    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    fn end(&mut self) -> Pull {
        self.ended = true;
        self.shared.open.set(false);
        Pull::End
    }
}

/// Ends when all is read, or nobody asks any more.
fn read<R: BufRead>(
    recipe: &Recipe,
    inputs: Inputs<R>,
    done: &mut Done,
    skipped: &AtomicU64,
    give: &mut dyn FnMut(Message) -> bool,
) -> Result<(), FeedError> {
    for (input, sequence) in inputs.zip(1..) {
        match recipe.about(input?, sequence, done)? {
            Some(about) => {
                if !give(Message::Job(sequence, Box::new(about))) {
                    return Ok(());
                }
            }
            None => drop(skipped.fetch_add(1, Ordering::Relaxed)),
        }
    }
    Ok(())
}

impl Tasks for Feed {
    fn next(&mut self) -> Pull {
        self.wake.drain();
        match self.receiver.try_recv() {
            Ok(Message::Job(sequence, about)) => {
                let (job, task) = (JobId(sequence), Box::new(self.recipe.task(&about)));
                self.shared.pending.borrow_mut().insert(job, *about);
                self.given += 1;
                Pull::Job(job, task)
            }
            Ok(Message::Broken(error)) => {
                log::error!("{error}");
                self.broken = Some(error);
                self.end()
            }
            Err(TryRecvError::Empty) => Pull::Later,
            Err(TryRecvError::Disconnected) => self.end(),
        }
    }

    fn ready(&self) -> Option<BorrowedFd<'_>> {
        Some(self.wake.reader.as_fd())
    }

    fn remaining(&self) -> Option<u64> {
        if self.ended {
            return Some(0);
        }
        let behind = self.given + self.shared.skipped.load(Ordering::Relaxed);
        Some(self.total?.saturating_sub(behind))
    }
}

/// The commands that a batch would run, and how many it would leave out.
///
/// # Errors
/// As for the batch itself.
pub fn rehearse<R: BufRead>(
    recipe: &Recipe,
    inputs: Inputs<R>,
    done: &mut Done,
    mut show: impl FnMut(&[OsString]) -> io::Result<()>,
) -> Result<u64, FeedError> {
    let mut left_out = 0;
    for (input, sequence) in inputs.zip(1..) {
        let (argv, key) = recipe.command(&input?, sequence);
        if done.has(key).map_err(FeedError::Journal)? {
            left_out += 1;
        } else {
            show(&argv).map_err(InputError::Stdin)?;
        }
    }
    Ok(left_out)
}

/// Makes an empty directory for the outputs of the jobs that run; what a batch that was killed has left there is
/// removed.
///
/// # Errors
/// What the file system said.
pub fn empty_spool(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    journal::make_dir(dir)
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
