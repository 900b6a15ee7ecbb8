//! The threads that clear what an attempt left: its cgroup, which may take a while to be empty, and its outputs,
//! which are verified by ffprobe and synced to the disk.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::Answer;
use crate::core::AttemptId;
use crate::job::JobError;
use crate::job::outputs::Outputs;
use crate::mailbox::{Answers, start_thread};

/// One may wait for a slow disk while the other goes on.
const THREADS: usize = 2;

/// What is to be cleared.
pub struct Leavings {
    /// After which attempt.
    pub attempt: AttemptId,
    /// Its cgroup, where it had one.
    pub cgroup: Option<PathBuf>,
    /// To be closed; it may take the kernel a while.
    pub close: Option<OwnedFd>,
    /// Its outputs.
    pub outputs: Outputs,
    /// They are to be put in place, and not thrown away.
    pub keep: bool,
}

/// It has been cleared.
pub struct Settled {
    /// After which attempt.
    pub attempt: AttemptId,
    /// The outputs of its job.
    pub outputs: Outputs,
    /// Whether they are in their places, if they were to be kept.
    pub result: Result<(), JobError>,
}

impl std::fmt::Debug for Settled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settled")
            .field("attempt", &self.attempt)
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}

/// The loop's end of the threads.
pub struct Settlers {
    send: Sender<Leavings>,
}

impl Settlers {
    /// Starts the threads.
    ///
    /// # Errors
    /// When there can be no more.
    pub fn start(answers: &Answers<Answer>) -> io::Result<Settlers> {
        let (send, receive) = channel::<Leavings>();
        let receive = Arc::new(Mutex::new(receive));
        for _ in 0..THREADS {
            let (receive, answers) = (Arc::clone(&receive), answers.clone());
            start_thread("settle", move || {
                while let Some(leavings) = next(&receive) {
                    let settled = settle(leavings);
                    answers.give(Answer::Settled(Box::new(settled)));
                }
            })?;
        }
        Ok(Settlers { send })
    }

    /// Has it cleared.
    pub fn clear(&self, leavings: Leavings) {
        // The threads end only after us.
        let _gone = self.send.send(leavings);
    }
}

fn next(receive: &Mutex<Receiver<Leavings>>) -> Option<Leavings> {
    let receive = receive.lock().unwrap_or_else(PoisonError::into_inner);
    receive.recv().ok()
}

fn settle(leavings: Leavings) -> Settled {
    let Leavings {
        attempt,
        cgroup,
        close,
        mut outputs,
        keep,
    } = leavings;
    drop(close);
    #[cfg(target_os = "linux")]
    if let Some(dir) = cgroup
        && let Err(error) = crate::slice::cgroup::remove(&dir)
    {
        // The attempt has ended, and its output matters more than its empty cgroup.
        log::warn!("{error}; the next start of ffwarden removes it");
    }
    #[cfg(not(target_os = "linux"))]
    drop(cgroup);
    let result = if keep {
        outputs.commit()
    } else {
        outputs.discard();
        Ok(())
    };
    Settled {
        attempt,
        outputs,
        result,
    }
}
