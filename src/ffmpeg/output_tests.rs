use super::*;

fn command(line: &str) -> Command {
    Command::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).unwrap()
}

fn output(line: &str) -> OutputKind {
    classify(command(&format!("ffmpeg {line}")).outputs().next().unwrap())
}

fn input(line: &str) -> InputKind {
    classify_input(command(&format!("ffmpeg {line}")).inputs().next().unwrap())
}

fn file(path: &str) -> OutputKind {
    OutputKind::File(path.into())
}

// Each of these was given to FFmpeg 5.1, which wrote that one file.
#[test]
fn names_that_ffmpeg_takes_for_files() {
    assert_eq!(output("out.mp4"), file("out.mp4"));
    assert_eq!(output("./a:b.mp4"), file("./a:b.mp4"));
    assert_eq!(output("a,b:c.mp4"), file("a,b:c.mp4"));
    assert_eq!(output("file:x:y.mp4"), file("x:y.mp4"));
    assert_eq!(output("-- -odd.mp4"), file("-odd.mp4"));
    assert_eq!(output("a%b.mp4"), file("a%b.mp4"));
    assert_eq!(output("a%02d.mp4"), file("a%02d.mp4"));
    assert_eq!(output("/dev/shm/out.mkv"), file("/dev/shm/out.mkv"));
}

#[test]
fn a_colon_behind_scheme_characters_is_a_protocol() {
    for url in [
        "rtmp://host/app",
        "tcp:host:1",
        "a:b.mp4",
        "File:x.mp4",
        ":x.mp4",
        "concat:a|b",
        "tee:a|b",
        "srt://h",
    ] {
        assert_eq!(output(url), OutputKind::Url, "{url}");
    }
    assert_eq!(input("-i subfile,,start,0,end,9,,:a.ts"), InputKind::Url);
}

#[test]
fn descriptors_are_pipes() {
    for url in [
        "-",
        "pipe:",
        "pipe:1",
        "fd:",
        "/dev/stdout",
        "/dev/fd/3",
        "/proc/self/fd/1",
        "file:/dev/stdout",
    ] {
        assert_eq!(
            output(&format!("-f mpegts {url}")),
            OutputKind::Pipe,
            "{url}"
        );
        assert_eq!(input(&format!("-i {url}")), InputKind::Pipe, "{url}");
    }
    assert_eq!(input("-i cache:pipe:0"), InputKind::Pipe);
    assert_eq!(input("-i /dev/stdin"), InputKind::Pipe);
}

#[test]
fn nothing_and_devices() {
    assert_eq!(output("-f null -"), OutputKind::Null);
    assert_eq!(output("-f null out.mp4"), OutputKind::Null);
    assert_eq!(output("-f mp4 /dev/null"), OutputKind::Null);
    assert_eq!(output("-f alsa default"), OutputKind::Device);
    assert_eq!(output("-f rawvideo /dev/fb0"), OutputKind::Device);
    assert_eq!(input("-f v4l2 -i /dev/video0"), InputKind::Device);
    assert_eq!(input("-f x11grab -i :0.0"), InputKind::Device);
    assert_eq!(input("-f lavfi -i testsrc2=d=1"), InputKind::Lavfi);
    assert_eq!(input("-i in.mov"), InputKind::File("in.mov".into()));
}

#[test]
fn muxers_and_patterns_that_write_many_files() {
    for line in [
        "-f hls out",
        "live.m3u8",
        "live.mpd",
        "-f segment out%03d.mkv",
        "-f tee a.mkv|b.mkv",
        "frame%d.png",
        "frame%04d.JPG",
        "-f image2 frame%d.bin",
        "-strftime 1 %Y.png",
        "100%%-%d.png",
    ] {
        assert_eq!(output(line), OutputKind::ManyFiles, "{line}");
    }
}

#[test]
fn a_single_image_is_a_file() {
    for line in [
        "-frames:v 1 out.png",
        "-update 1 out%d.png",
        "out.png",
        "-f mpegts live.m3u8",
    ] {
        assert!(matches!(output(line), OutputKind::File(_)), "{line}");
    }
    // No number is put into these.
    for name in ["50%.png", "a%x%d.png", "100%%.png"] {
        assert_eq!(output(name), file(name), "{name}");
    }
}

#[test]
fn the_overwrite_question_follows_ffmpeg() {
    let decide = |line: &str, exists| {
        let command = command(&format!("ffmpeg {line}"));
        overwrite(&command, command.outputs().next().unwrap(), exists)
    };
    assert_eq!(decide("-i a out.mp4", false), Overwrite::Absent);
    assert_eq!(decide("-i a out.mp4", true), Overwrite::Ask);
    assert_eq!(decide("-i a out.mp4 -y", true), Overwrite::Replace);
    assert_eq!(decide("-n -i a out.mp4", true), Overwrite::Refuse);
    assert_eq!(decide("-n -i a out.mp4", false), Overwrite::Absent);
    assert_eq!(decide("-nostdin -i a out.mp4", true), Overwrite::Refuse);
    assert_eq!(decide("-i pipe:0 out.mp4", true), Overwrite::Refuse);
    assert_eq!(decide("-i - out.mp4", true), Overwrite::Refuse);
    assert_eq!(decide("-y -n -i a out.mp4", false), Overwrite::Refuse);
    assert_eq!(decide("-y -i a.mp4 a.mp4", true), Overwrite::SameAsInput);
    assert_eq!(decide("-i a.mp4 a.mp4", true), Overwrite::SameAsInput);
    assert_eq!(decide("-y -i a.mp4 ./a.mp4", true), Overwrite::Replace);
}

#[test]
fn temporary_names_keep_the_extension_and_fit() {
    let name = |stem: &[u8], extension: Option<&str>, max| {
        temporary_name(
            OsStr::from_bytes(stem),
            extension.map(OsStr::new),
            "t0",
            max,
        )
    };
    assert_eq!(
        name(b"out", Some("mp4"), 255).unwrap(),
        ".out.ffwarden-t0.mp4"
    );
    assert_eq!(name(b"out", None, 255).unwrap(), ".out.ffwarden-t0");
    assert_eq!(
        name(b"\xff", Some("ts"), 255).unwrap().as_bytes(),
        b".\xff.ffwarden-t0.ts"
    );
    let long = name(&[b'x'; 251], Some("mp4"), 255).unwrap();
    assert_eq!(
        (long.len(), long.as_bytes().ends_with(b".ffwarden-t0.mp4")),
        (255, true)
    );
    // Two bytes each: an odd room leaves the last character out.
    let accents = name("é".repeat(127).as_bytes(), Some("mp4"), 254).unwrap();
    assert_eq!(accents.to_str().map(str::len), Some(253));
    assert_eq!(name(b"x", Some(&"e".repeat(250)), 255), None);
}

#[test]
fn the_extension_is_what_stands_behind_the_last_dot() {
    let split = |name| split_extension(OsStr::new(name));
    assert_eq!(
        split("a.b.mp4"),
        (OsStr::new("a.b"), Some(OsStr::new("mp4")))
    );
    assert_eq!(split(".mp4"), (OsStr::new(""), Some(OsStr::new("mp4"))));
    assert_eq!(split("plain"), (OsStr::new("plain"), None));
}
