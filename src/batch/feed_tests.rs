//! Tests of the feed: what it leaves out, and that it never waits.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use crate::batch::journal::Journal;

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn command() -> Vec<OsString> {
        ["cmd", "{}", "-n{batch}"].map(OsString::from).into()
    }

    fn open(&self) -> (Journal, Done) {
        let home = self.root.path().join("state");
        Journal::open(&home, self.root.path(), &Place::command()).unwrap()
    }

    fn recipe(&self) -> Recipe {
        Recipe {
            template: Template::new(&Place::command()),
            dir: self.root.path().to_owned(),
            task: Task {
                priority: 3,
                ..Task::default()
            },
            results: None,
            spool: PathBuf::from("/spool"),
        }
    }

    fn feed<R: BufRead + Send + 'static>(&self, words: &[&str], stdin: R) -> Feed {
        let words = words.iter().map(OsString::from).collect();
        let inputs = Inputs::new(words, stdin, false).unwrap();
        Feed::start(self.recipe(), inputs, self.open().1).unwrap()
    }
}

fn place() -> Place {
    Place {
        root: tempfile::tempdir().unwrap(),
    }
}

/// The next job, waited for as the engine does.
fn pull(feed: &mut Feed) -> Option<(u64, Task)> {
    loop {
        match feed.next() {
            Pull::Job(job, task) => return Some((job.0, *task)),
            Pull::End => return None,
            Pull::Later => {
                let fd = feed.ready().unwrap();
                let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
                let ready = poll(&mut fds, PollTimeout::from(10_000_u16)).unwrap();
                assert_eq!(ready, 1, "nothing came");
            }
        }
    }
}

#[test]
fn what_is_done_is_left_out_and_keeps_its_number() {
    let place = place();
    let recipe = place.recipe();
    let (mut journal, _) = place.open();
    journal
        .finished(recipe.command(OsStr::new("b"), 2).1, &[])
        .unwrap();
    drop(journal);
    let mut feed = place.feed(&["a", "b", "c{batch}"], io::empty());
    let (first, task) = pull(&mut feed).unwrap();
    assert_eq!((first, task.priority), (1, 3));
    let (third, task) = pull(&mut feed).unwrap();
    assert_eq!(third, 3);
    assert_eq!(task.argv, ["cmd", "c{batch}", "-n{batch}"]);
    assert_eq!(task.adaptive, [2], "a name is left alone");
    assert_eq!(task.stdout, Some(PathBuf::from("/spool/3.out")));
    assert!(pull(&mut feed).is_none());
    assert_eq!(feed.remaining(), Some(0));
    assert_eq!(feed.shared().skipped.load(Ordering::Relaxed), 1);
    let input = feed.shared().pending.borrow()[&JobId(3)].input.clone();
    assert_eq!(input, "c{batch}");
}

#[test]
fn a_slow_list_is_not_waited_for() {
    let place = place();
    let (reader, mut writer) = io::pipe().unwrap();
    let mut feed = place.feed(&["-"], io::BufReader::new(reader));
    assert!(matches!(feed.next(), Pull::Later));
    assert_eq!(feed.remaining(), None);
    writer.write_all(b"a\n").unwrap();
    assert_eq!(pull(&mut feed).unwrap().0, 1);
    assert!(matches!(feed.next(), Pull::Later));
    drop(writer);
    assert!(pull(&mut feed).is_none());
}

#[test]
fn a_list_that_breaks_off_is_an_error_behind_what_was_before_it() {
    let place = place();
    let mut feed = place.feed(&["-", "z"], &b"a\nb\0\n"[..]);
    assert_eq!(pull(&mut feed).unwrap().0, 1);
    assert!(pull(&mut feed).is_none());
    assert!(matches!(feed.broken, Some(FeedError::Input(_))));
}

#[test]
fn an_endless_list_is_read_no_further_than_it_is_asked_for() {
    let place = place();
    let endless = io::BufReader::new(io::repeat(b'x').chain(io::empty()));
    let lines = std::iter::repeat_n(b"x\n", 100_000).flatten().copied();
    let mut feed = place.feed(&["-"], io::Cursor::new(lines.collect::<Vec<u8>>()));
    for sequence in 1..=500 {
        assert_eq!(pull(&mut feed).unwrap().0, sequence);
    }
    drop(feed);
    // An entry that has no end is an error, not memory.
    let mut feed = place.feed(&["-"], endless);
    assert!(pull(&mut feed).is_none());
    assert!(matches!(
        feed.broken,
        Some(FeedError::Input(InputError::TooLong { .. }))
    ));
}
