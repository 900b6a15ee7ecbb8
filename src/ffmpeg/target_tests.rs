use std::os::unix::fs::symlink;
use std::process;

use super::*;

fn target(path: &Path) -> Target {
    Target::new(path.as_os_str(), path, "t0").unwrap()
}

fn group(line: &[&OsStr]) -> Command {
    Command::parse(&line.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()).unwrap()
}

fn names(dir: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    names
}

#[test]
fn an_existing_target_is_replaced_only_by_commit_and_keeps_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.mp4");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();

    let target = target(&path);
    assert_eq!(names(dir.path()), ["out.mp4"]);
    fs::write(target.temporary(), "half").unwrap();
    target.discard().unwrap();
    target.discard().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");

    fs::write(target.temporary(), "new").unwrap();
    target.commit().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(names(dir.path()), ["out.mp4"]);
}

#[test]
fn a_link_survives_and_the_muxer_is_guessed_from_its_own_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("store")).unwrap();
    let link = dir.path().join("out.mkv");
    symlink("store/data.bin", &link).unwrap();

    let target = target(&link);
    assert_eq!(target.path(), dir.path().join("store/data.bin"));
    assert_eq!(
        target.temporary().file_name().unwrap(),
        ".data.ffwarden-t0.mkv"
    );
    fs::write(target.temporary(), "new").unwrap();
    target.commit().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&link).unwrap(), "new");
}

#[test]
fn a_missing_temporary_is_an_error_and_leaves_the_target() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.mp4");
    fs::write(&path, "old").unwrap();
    let error = target(&path).commit().unwrap_err();
    assert!(
        error.to_string().contains(".out.ffwarden-t0.mp4"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[test]
fn what_cannot_have_a_temporary_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let new = |path: &Path| Target::new(path.as_os_str(), path, "t0").unwrap_err();
    assert!(matches!(new(dir.path()), Unsuitable::NotRegular { .. }));
    assert!(matches!(
        new(&dir.path().join("no/out.mp4")),
        Unsuitable::Directory { .. }
    ));
    let circle = dir.path().join("loop.mp4");
    symlink("loop.mp4", &circle).unwrap();
    assert!(matches!(new(&circle), Unsuitable::Name { .. }));
    assert!(matches!(
        new(&dir.path().join("x".repeat(260))),
        Unsuitable::Directory { .. } | Unsuitable::Name { .. }
    ));
    assert!(matches!(new(Path::new("..")), Unsuitable::Name { .. }));
}

#[test]
fn ffmpeg_writes_the_temporary_whatever_the_name_holds() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("{}.mkv", "x".repeat(251));
    let names: &[&[u8]] = &[
        b"a:b.mkv",
        b"-y.mkv",
        b"100%d.mkv",
        b"it's \"x\"\n.mkv",
        b"non\xffutf8.mkv",
        b".mkv",
        long.as_bytes(),
    ];
    for name in names {
        let name = OsStr::from_bytes(name);
        let mut url = OsString::from("file:");
        url.push(name);
        for (url, path) in [(name.to_owned(), Path::new(name)), (url, Path::new(name))] {
            // Relative, as a user types them; FFmpeg runs in that directory.
            let prepared = Target::new(
                dir.path().join(path).as_os_str(),
                &dir.path().join(path),
                "t1",
            )
            .unwrap();
            let relative = prepared.temporary().strip_prefix(dir.path()).unwrap();
            let mut temporary = OsString::from(output::file_prefix(&url));
            temporary.push(directory(relative).join(relative));
            let status = process::Command::new("ffmpeg")
                .current_dir(dir.path())
                .args([
                    "-nostdin",
                    "-v",
                    "error",
                    "-f",
                    "lavfi",
                    "-i",
                    "testsrc2=d=0.1:s=64x64",
                    "-c:v",
                    "mpeg4",
                ])
                .arg(&temporary)
                .status()
                .unwrap();
            assert!(status.success(), "{url:?}");
            prepared.commit().unwrap();
            assert!(
                fs::metadata(dir.path().join(path)).unwrap().len() > 500,
                "{url:?}"
            );
        }
    }
}

#[test]
fn a_relative_target_is_given_to_ffmpeg_with_its_directory() {
    // The crate's directory is writable while its tests run.
    let path = Path::new("a:b.ffwarden-test.mkv");
    let target = Target::new(OsStr::new("file:a:b.ffwarden-test.mkv"), path, "t2").unwrap();
    assert_eq!(target.url(), "file:./.a:b.ffwarden-test.ffwarden-t2.mkv");
    assert_eq!(directory(Path::new("sub/x.mkv")), Path::new("./sub"));
    assert_eq!(directory(Path::new("../x.mkv")), Path::new(".."));
}

#[test]
fn a_fifo_is_a_pipe_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("out.ts");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let command = group(&[
        "ffmpeg".as_ref(),
        "-i".as_ref(),
        fifo.as_os_str(),
        fifo.as_os_str(),
    ]);
    assert_eq!(examine(command.outputs().next().unwrap()), OutputKind::Pipe);
    assert!(input_is_pipe(command.inputs().next().unwrap()));
}

#[test]
fn an_input_under_another_name_is_protected() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.mov");
    fs::write(&input, "x").unwrap();
    let link = dir.path().join("link.mov");
    fs::hard_link(&input, &link).unwrap();
    let decide = |flag: &str, output: &Path| {
        let command = group(&[
            "ffmpeg".as_ref(),
            flag.as_ref(),
            "-i".as_ref(),
            input.as_os_str(),
            output.as_os_str(),
        ]);
        overwrite(&command, command.outputs().next().unwrap(), output)
    };
    assert_eq!(
        decide("-y", &link),
        Err(OverwritesInput {
            output: link.clone(),
            input: input.clone()
        })
    );
    assert_eq!(decide("-n", &link), Ok(Overwrite::Refuse));
    assert_eq!(decide("-y", &input), Ok(Overwrite::SameAsInput));
    assert_eq!(
        decide("-y", &dir.path().join("new.mov")),
        Ok(Overwrite::Absent)
    );
}
