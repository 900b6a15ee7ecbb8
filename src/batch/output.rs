//! All that a batch writes to stdout and stderr besides its log, by one thread: the output of a job whole when it has
//! ended, and the progress lines. A slow reader makes this thread wait and nothing else.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Jobs whose output waits to be written.
const WAITING: usize = 1 << 10;
/// Lines of a failed job's stderr that are shown.
const TAIL_LINES: usize = 20;
/// Bytes of it that are looked at for these lines.
const TAIL_BYTES: u64 = 16 * 1024;

/// How long a reader is waited for when we are to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// To the beginning of the line, and nothing below it.
pub const CLEAR: &str = "\r\x1b[J";

/// What is to be written.
#[derive(Debug)]
enum Message {
    Draw(Vec<String>),
    Job(Written),
}

/// What a job has written into files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its stdout.
    pub stdout: PathBuf,
    /// Its stderr.
    pub stderr: PathBuf,
    /// How much of its stderr is shown.
    pub show: Show,
    /// The files stay, and its stdout is to be found there and not in ours, as with parallel.
    pub keep: bool,
}

/// How much of a job's stderr is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Nothing.
    Nothing,
    /// Its last lines.
    Tail,
    /// All of it.
    All,
}

/// The writing end.
#[derive(Debug)]
pub struct Output {
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
    terminal: bool,
}

impl Output {
    /// Starts the thread. `progress` says whether progress lines are wanted; they are drawn on a terminal only.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(progress: bool) -> io::Result<Output> {
        let terminal = progress && io::stderr().is_terminal();
        let (sender, receiver) = sync_channel(WAITING);
        let (end, ended) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                write_all(&receiver);
                drop(end);
            })?;
        Ok(Output {
            sender: Some(sender),
            thread: Some(thread),
            ended,
            terminal,
        })
    }

    /// Progress lines are drawn.
    pub fn has_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows these progress lines instead of the last ones, unless the terminal is behind.
    pub fn draw(&self, lines: Vec<String>) {
        if let (true, Some(sender)) = (self.terminal, &self.sender) {
            let _next_time = sender.try_send(Message::Draw(lines));
        }
    }

    /// Writes what a job has written. Never waits: when stdout's reader is very far behind the files stay where they
    /// are, and this is told.
    pub fn job(&self, written: Written) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(Message::Job(written))) =
            sender.try_send(Message::Job(written))
        {
            log::error!(
                "nobody reads our stdout; the output of a job is left in {} and {}",
                written.stdout.display(),
                written.stderr.display()
            );
        }
    }
}

impl Output {
    /// Ends it without waiting for a reader that does not read: somebody wants us to end.
    pub fn hurry(mut self) {
        drop(self.sender.take());
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            log::warn!("nobody reads our stdout; the output of some jobs is lost");
            self.thread = None;
        }
    }
}

impl Drop for Output {
    /// Waits until all is written, and removes the progress lines.
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn write_all(receiver: &Receiver<Message>) {
    let mut drawn = false;
    let mut stderr = io::stderr();
    let mut shown = Vec::new();
    for message in receiver {
        match message {
            Message::Draw(lines) => {
                let _gone = stderr.write_all(frame(&lines).as_bytes());
                shown = lines;
                drawn = true;
            }
            Message::Job(written) => {
                if drawn {
                    let _gone = stderr.write_all(CLEAR.as_bytes());
                }
                written.write();
                if drawn {
                    let _gone = stderr.write_all(frame(&shown).as_bytes());
                }
            }
        }
    }
    if drawn {
        let _gone = stderr.write_all(CLEAR.as_bytes());
    }
}

/// The lines in place of what is there, with the cursor left where they begin: whatever is written next replaces
/// them.
fn frame(lines: &[String]) -> String {
    let mut text = CLEAR.to_owned();
    text.push_str(&lines.join("\r\n"));
    text.push('\r');
    if lines.len() > 1 {
        text.push_str(&format!("\x1b[{}A", lines.len() - 1));
    }
    text
}

impl Written {
    fn write(&self) {
        // A reader of our stdout that has gone does not stop the batch.
        if !self.keep
            && let Err(error) = self.write_stdout()
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            log::error!(
                "cannot pass on the output {}: {error}",
                self.stdout.display()
            );
        }
        let _gone = match self.show {
            Show::Nothing => Ok(()),
            Show::Tail => tail(&self.stderr).and_then(|tail| io::stderr().write_all(&tail)),
            Show::All => File::open(&self.stderr)
                .and_then(|mut file| io::copy(&mut file, &mut io::stderr()))
                .map(drop),
        };
        if !self.keep {
            for path in [&self.stdout, &self.stderr] {
                let _removed_with_the_directory = fs::remove_file(path);
            }
        }
    }

    fn write_stdout(&self) -> io::Result<()> {
        let mut file = match File::open(&self.stdout) {
            // It was never started.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let mut stdout = io::stdout().lock();
        let copied = io::copy(&mut file, &mut stdout)?;
        if copied > 0 && stdout.is_terminal() {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            // Progress lines would be drawn over a line that has no end.
            if last != *b"\n" {
                stdout.write_all(b"\n")?;
            }
        }
        stdout.flush()
    }
}

/// The last lines of a file, each with its end. Of a line that overwrote itself, as FFmpeg's progress does, what is
/// left in the end.
///
/// # Errors
/// What the file system said.
pub fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let begin = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines: Vec<&[u8]> = bytes
        .rsplit(|byte| *byte == b'\n')
        .take(TAIL_LINES)
        .map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line)
        })
        .collect();
    lines.reverse();
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail_of(text: &[u8]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        tail(file.path()).unwrap()
    }

    #[test]
    fn the_last_lines_are_shown_without_what_they_overwrote() {
        assert_eq!(tail_of(b""), b"");
        assert_eq!(tail_of(b"one"), b"one\n");
        assert_eq!(
            tail_of(b"head\r\nframe=1\rframe=2\rframe=3\nend\n"),
            b"head\nframe=3\nend\n"
        );
        let many: String = (0..100).map(|number| format!("{number}\n")).collect();
        let last: String = (80..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(tail_of(many.as_bytes()), last.as_bytes());
        let long = vec![b'x'; 1 << 20];
        assert_eq!(tail_of(&long).len() as u64, TAIL_BYTES + 1);
    }

    #[test]
    fn the_cursor_is_left_where_the_lines_begin() {
        let lines = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(frame(&lines), "\r\x1b[Ja\r\nb\r\nc\r\x1b[2A");
        assert_eq!(frame(&lines[..1]), "\r\x1b[Ja\r");
    }
}
