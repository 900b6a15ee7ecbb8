//! Tests of the journal as a whole: two batches after one another, and what may have happened between them.

use super::*;

struct Place {
    _root: tempfile::TempDir,
    home: PathBuf,
    dir: PathBuf,
}

fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("work");
    fs::create_dir(&dir).unwrap();
    Place {
        home: root.path().join("state/ffwarden/batch"),
        dir,
        _root: root,
    }
}

impl Place {
    fn open(&self) -> (Journal, Done) {
        Journal::open(&self.home, &self.dir, &["cmd".into(), "{}".into()]).unwrap()
    }

    fn key(&self, input: &str) -> u128 {
        key(&self.dir, &["cmd".into(), input.into()], &[input.into()])
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.dir.join(name), text).unwrap();
        PathBuf::from(name)
    }

    /// The file of the journal.
    fn file(&self) -> PathBuf {
        self.files(".journal").remove(0)
    }

    fn files(&self, part: &str) -> Vec<PathBuf> {
        fs::read_dir(&self.home)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains(part))
            .collect()
    }

    /// A journal that knows `a`, `b` and `c`.
    fn three_done(&self) {
        let (mut journal, _) = self.open();
        for input in ["a", "b", "c"] {
            journal.finished(self.key(input), &[]).unwrap();
        }
    }
}

#[test]
fn what_is_finished_is_known_next_time_and_nothing_else() {
    let place = place();
    place.three_done();
    let (_journal, mut done) = place.open();
    assert_eq!(done.len(), 3);
    assert!(done.has(place.key("b")).unwrap());
    assert!(!done.has(place.key("d")).unwrap());
    done.forget();
    assert!(!done.has(place.key("a")).unwrap());
}

#[test]
fn the_same_job_twice_in_a_batch_is_done_twice() {
    let place = place();
    place.three_done();
    let (mut journal, mut done) = place.open();
    assert!(done.has(place.key("a")).unwrap());
    assert!(!done.has(place.key("a")).unwrap(), "one line, one job");
    journal.finished(place.key("a"), &[]).unwrap();
    assert!(!done.has(place.key("a")).unwrap(), "of this batch itself");
    drop((journal, done));
    let (_journal, mut done) = place.open();
    assert!(done.has(place.key("a")).unwrap() && done.has(place.key("a")).unwrap());
}

#[test]
fn a_changed_input_makes_another_job() {
    let place = place();
    place.write("in", "one");
    let before = place.key("in");
    assert_eq!(before, place.key("in"));
    place.write("in", "three");
    assert_ne!(before, place.key("in"), "another size");
    place.write("in", "one");
    assert_ne!(before, place.key("in"), "another time");
    let elsewhere = key(&place.home, &["cmd".into(), "x".into()], &[]);
    assert_ne!(elsewhere, key(&place.dir, &["cmd".into(), "x".into()], &[]));
    assert_ne!(
        place.key("x"),
        key(&place.dir, &["cmdx".into()], &["x".into()])
    );
}

#[test]
fn a_missing_older_or_changed_output_is_made_again() {
    let place = place();
    let out = place.write("out", "result");
    let (mut journal, _) = place.open();
    journal.finished(1, std::slice::from_ref(&out)).unwrap();
    drop(journal);
    let known = || place.open().1.has(1).unwrap();
    assert!(known());

    place.write("out", "result");
    assert!(known(), "the same, only later");
    place.write("out", "resul");
    assert!(!known(), "another size");
    place.write("out", "result");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    File::options()
        .write(true)
        .open(place.dir.join("out"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    assert!(!known(), "older");
    fs::remove_file(place.dir.join("out")).unwrap();
    assert!(!known(), "missing");

    // The last word counts: once it was made again, it is known again.
    place.write("out", "another result");
    let (mut journal, _) = place.open();
    journal.finished(1, &[out]).unwrap();
    drop(journal);
    assert!(known());
}

#[test]
fn whatever_the_length_that_reached_the_disk_only_the_torn_line_is_lost() {
    let place = place();
    place.three_done();
    let path = place.file();
    let whole = fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for length in HEADER.len()..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (mut journal, done) = place.open();
        let lines = ends.iter().skip(1).filter(|end| **end < length).count();
        assert_eq!(done.len(), lines, "{length} bytes");
        // What is written next is not glued to the torn line.
        journal.finished(9, &[]).unwrap();
        drop((journal, done));
        let (_journal, mut done) = place.open();
        assert!(done.has(9).unwrap());
        assert_eq!(done.len(), lines + 1);
    }
    assert_eq!(place.files("damaged").len(), 0);
}

#[test]
fn a_damaged_journal_is_kept_aside_and_its_whole_lines_count() {
    let place = place();
    place.three_done();
    let path = place.file();
    let mut bytes = fs::read(&path).unwrap();
    let second = HEADER.len() + (bytes.len() - HEADER.len()) / 3 + 5;
    bytes[second] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let (mut journal, mut done) = place.open();
    assert_eq!(done.len(), 2);
    assert!(done.has(place.key("a")).unwrap() && done.has(place.key("c")).unwrap());
    assert!(!done.has(place.key("b")).unwrap());
    let aside = place.files("damaged");
    assert_eq!(fs::read(&aside[0]).unwrap(), bytes, "nothing of it is lost");
    journal.finished(place.key("b"), &[]).unwrap();
    drop((journal, done));
    assert_eq!(place.open().1.len(), 3);
    assert_eq!(place.files("damaged").len(), 1);
}

#[test]
fn zeros_or_another_file_in_its_place_are_damage_and_a_newer_version_is_left_alone() {
    let place = place();
    place.three_done();
    let path = place.file();
    fs::write(&path, [&[0; 4096][..], b"\n"].concat()).unwrap();
    assert_eq!(place.open().1.len(), 0);
    assert_eq!(place.files("damaged").len(), 1);

    fs::write(&path, "ffwarden batch journal 2\n\x01\x02").unwrap();
    let newer = Journal::open(&place.home, &place.dir, &["cmd".into(), "{}".into()]);
    assert!(matches!(newer, Err(JournalError::Newer(_))));
    assert_eq!(
        fs::read(&path).unwrap(),
        b"ffwarden batch journal 2\n\x01\x02"
    );
}

#[test]
fn two_batches_of_one_command_are_not_run_at_once() {
    let place = place();
    let open = |command: &str| Journal::open(&place.home, &place.dir, &[command.into()]);
    let first = open("cmd").unwrap();
    let error = open("cmd").unwrap_err();
    assert!(matches!(error, JournalError::Busy { .. }));
    let who = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&who), "{error}");
    assert!(open("other").is_ok());
    drop(first);
    assert!(open("cmd").is_ok());
}

#[test]
fn a_full_disk_is_told_and_leaves_no_half_line() {
    let place = place();
    let (mut journal, _) = place.open();
    journal.finished(1, &[]).unwrap();
    journal.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let error = journal.finished(2, &[]).unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    drop(journal);
    assert_eq!(place.open().1.len(), 1);
}

#[test]
fn the_files_are_their_owners_alone() {
    let place = place();
    place.three_done();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&place.home), 0o700);
    for path in place.files("") {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_start_removes_the_old_journals_of_others_and_never_its_own() {
    let place = place();
    place.three_done();
    let other = |command: &str| Journal::open(&place.home, &place.dir, &[command.into()]);
    drop(other("other").unwrap());
    let running = other("running").unwrap();
    let old = std::time::SystemTime::now() - 2 * journal_prune::KEPT_FOR;
    for path in place.files("") {
        let file = File::open(path).unwrap();
        file.set_modified(old).unwrap();
    }
    assert_eq!(place.files(".journal").len(), 3);
    let (_journal, done) = place.open();
    assert_eq!(done.len(), 3, "its own");
    assert_eq!(place.files(".journal").len(), 2);
    assert_eq!(place.files(".lock").len(), 2);
    drop(running);
}
