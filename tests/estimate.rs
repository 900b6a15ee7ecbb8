//! The estimate against what was measured: every row's command line is parsed and estimated as a user's would
//! be, with what probing its input would have said, on the two CPUs that the rows were measured on.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the whole file is a test; what it prints is the table of docs/estimate.md"
)]

use std::ffi::OsString;
use std::path::Path;

use ffwarden::ffmpeg::command::Command;
use ffwarden::ffmpeg::estimate::{Basis, Estimate, MIB, estimate};
use ffwarden::ffmpeg::probe::{MediaInfo, Stream};

const CPUS: u32 = 2;

struct Row {
    id: String,
    group: String,
    peak: f64,
    command: String,
}

/// The rows of a table that ran to their end.
fn rows(table: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/ffmem")
        .join(table);
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(fields);
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|field| field == name).unwrap();
    let (id, group, exit) = (column("id"), column("group"), column("exit"));
    let (peak, command) = (column("peak_rss_mib"), column("command"));
    lines
        .filter(|row| row[exit] == "0")
        .map(|row| Row {
            id: row[id].clone(),
            group: row[group].clone(),
            peak: row[peak].parse::<f64>().unwrap() * MIB,
            command: row[command].clone(),
        })
        .collect()
}

/// The fields of one CSV line; a quote in a quoted field is doubled.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

/// The words of a command as the rows write it: blanks split, double quotes hold together.
fn words(command: &str) -> Vec<OsString> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in command.chars().chain([' ']) {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(OsString::from(std::mem::take(&mut word)));
                }
            }
            c => word.push(c),
        }
    }
    words
}

/// What ffprobe says of the rows' inputs, which are named by codec and height: `s1080.mp4` is H.264.
fn probed(name: &str) -> Option<MediaInfo> {
    let (stem, _) = name.split_once('.')?;
    let (stem, seconds) = match stem {
        "tiny" => ("s360", 10.0),
        "d1h" => ("s360", 3600.0),
        "d4h" => ("s360", 4.0 * 3600.0),
        long if long.starts_with('l') => (long, 65.0),
        other => (other, 15.0),
    };
    let height: u32 = stem
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .ok()?;
    let width = height.checked_mul(16)? / 9;
    let (codec, format) = match stem.chars().next()? {
        's' | 'l' => ("h264", "yuv420p"),
        'h' => ("hevc", "yuv420p10le"),
        'v' => ("vp9", "yuv420p"),
        'a' => ("av1", "yuv420p"),
        _ => return None,
    };
    let mut video = Stream::video(codec, width, height);
    video.pix_fmt = Some(format.to_owned());
    video.frame_rate = Some(30.0);
    let audio = Stream {
        kind: Some("audio".to_owned()),
        codec_name: Some("aac".to_owned()),
        channels: Some(2),
        sample_rate: Some(48_000),
        ..Stream::default()
    };
    Some(MediaInfo {
        format_name: Some(
            if name.ends_with("webm") || name.ends_with("mkv") {
                "matroska,webm"
            } else {
                "mov,mp4,m4a,3gp,3g2,mj2"
            }
            .to_owned(),
        ),
        duration_seconds: Some(seconds),
        streams: vec![video, audio],
        ..MediaInfo::default()
    })
}

fn estimated(command: &str) -> Estimate {
    let command = Command::parse(&words(command)).unwrap();
    let inputs: Vec<_> = command
        .inputs()
        .map(|input| probed(&input.url.to_string_lossy()))
        .collect();
    estimate(&command, &inputs, CPUS)
}

/// How far the estimates of some rows are from their peaks, as parts of the peak.
struct Errors {
    what: &'static str,
    sorted: Vec<(f64, String)>,
}

impl Errors {
    fn of(what: &'static str, rows: &[&Row]) -> Self {
        let error = |row: &&Row| {
            (
                estimated(&row.command).bytes as f64 / row.peak - 1.0,
                row.id.clone(),
            )
        };
        let mut sorted: Vec<_> = rows.iter().map(error).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let errors = Self { what, sorted };
        errors.print();
        errors
    }

    fn at(&self, part: f64) -> f64 {
        self.sorted[((self.sorted.len() - 1) as f64 * part).round() as usize].0
    }

    /// Errors of size, whatever their sign, at a part of the rows.
    fn size_at(&self, part: f64) -> f64 {
        let mut sizes: Vec<f64> = self.sorted.iter().map(|(error, _)| error.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        sizes[((sizes.len() - 1) as f64 * part).round() as usize]
    }

    fn print(&self) {
        let mean =
            self.sorted.iter().map(|(error, _)| error).sum::<f64>() / self.sorted.len() as f64;
        let percent = |error: f64| format!("{:+.1} %", error * 100.0);
        let (low, high) = (&self.sorted[0], self.sorted.last().unwrap());
        println!(
            "| {} | {} | {} | {} | {} | {} ({}) | {} ({}) |",
            self.what,
            self.sorted.len(),
            percent(mean),
            percent(self.at(0.5)),
            percent(self.size_at(0.95)),
            percent(low.0),
            low.1,
            percent(high.0),
            high.1,
        );
    }

    /// The design's two goals.
    fn hold_the_goals(&self) {
        let (low, high) = (&self.sorted[0], self.at(0.5));
        assert!(
            low.0 >= -0.05,
            "{}: {} is {:.1} % under its peak",
            self.what,
            low.1,
            -low.0 * 100.0
        );
        assert!(
            high <= 0.40,
            "{}: {:.1} % over at the median",
            self.what,
            high * 100.0
        );
        let far = self.sorted.last().unwrap();
        assert!(
            far.0 <= 0.30,
            "{}: {} is {:.1} % over",
            self.what,
            far.1,
            far.0 * 100.0
        );
    }
}

fn group<'a>(rows: &'a [Row], name: &str) -> Vec<&'a Row> {
    let found: Vec<&Row> = rows.iter().filter(|row| row.group == name).collect();
    assert!(found.len() >= 10, "{name}: {} rows", found.len());
    found
}

#[test]
fn libx264_holds_the_goals() {
    let rows = rows("x264.csv");
    let found = group(&rows, "x264");
    assert!(found.len() > 200);
    Errors::of("libx264", &found).hold_the_goals();
    for row in found {
        assert_eq!(estimated(&row.command).basis, Basis::Formula, "{}", row.id);
    }
}

#[test]
fn libx265_holds_the_goals() {
    let rows = rows("x265-svtav1-vp9-aom.csv");
    let found = group(&rows, "x265");
    Errors::of("libx265", &found).hold_the_goals();
    for row in found {
        assert_eq!(estimated(&row.command).basis, Basis::Formula, "{}", row.id);
    }
}

#[test]
fn decoders_hold_the_goals() {
    let rows = rows("decode.csv");
    let found = group(&rows, "decode");
    assert!(found.len() > 100);
    for codec in ["h264", "hevc10", "vp9", "av1"] {
        let of: Vec<&Row> = found
            .iter()
            .copied()
            .filter(|row| row.id.starts_with(&format!("dec_{codec}")))
            .collect();
        Errors::of(codec, &of).hold_the_goals();
    }
    for row in found {
        assert_eq!(estimated(&row.command).basis, Basis::Formula, "{}", row.id);
    }
}

#[test]
fn encoders_without_a_form_say_so_and_are_not_far_under() {
    let rows = rows("x265-svtav1-vp9-aom.csv");
    for name in ["svtav1", "vp9", "aom"] {
        let found = group(&rows, name);
        let errors = Errors::of(name, &found);
        assert!(errors.sorted[0].0 >= -0.05, "{:?}", errors.sorted[0]);
        for row in found {
            assert!(
                matches!(estimated(&row.command).basis, Basis::Unknown(_)),
                "{}",
                row.id
            );
        }
    }
}

#[test]
fn filters_are_not_far_under() {
    let mut rows = rows("filters.csv");
    rows.extend(self::rows("filters2.csv"));
    assert!(rows.len() > 300);
    let errors = Errors::of("filters", &rows.iter().collect::<Vec<_>>());
    assert!(errors.sorted[0].0 >= -0.05, "{:?}", errors.sorted[0]);
    assert!(errors.at(0.5) <= 0.40);
    // What holds all of its input says so.
    for name in ["reverse", "gif_palette_720", "split_concat", "areverse"] {
        for row in rows
            .iter()
            .filter(|row| row.id.contains(&format!("_{name}_")))
        {
            assert!(
                matches!(estimated(&row.command).basis, Basis::Unbounded(_)),
                "{}",
                row.id
            );
        }
    }
}

#[test]
fn copies_indexes_queues_and_many_outputs() {
    let rows = rows("mux.csv");
    // The table does not say what bit rate its inputs had, nor what late streams weighed: where that decides,
    // the estimate must not claim to know.
    let (sure, unsure): (Vec<&Row>, Vec<&Row>) = rows
        .iter()
        .partition(|row| estimated(&row.command).basis == Basis::Formula);
    assert!(sure.len() > 50 && unsure.len() > 20);
    let errors = Errors::of("copies, muxers, queues", &sure);
    assert!(errors.sorted[0].0 >= -0.05, "{:?}", errors.sorted[0]);
    assert!(errors.at(0.5) <= 0.40);
    Errors::of("the same, partly guessed", &unsure);
}

/// An estimate in MiB of `ffmpeg -i s1080.mp4 ...`, the input probed.
fn mib(rest: &str) -> f64 {
    estimated(&format!("ffmpeg -threads 1 -i s1080.mp4 {rest}")).bytes as f64 / MIB
}

#[test]
fn the_output_frame_decides_what_the_encoder_needs() {
    let plain = mib("-an -c:v libx264 -threads 4 o.mp4");
    for smaller in [
        "-s 640x360",
        "-vf scale=640:-2",
        "-vf crop=iw/3:ih/3",
        "-filter:v scale=w=640:h=360",
    ] {
        let small = mib(&format!("-an {smaller} -c:v libx264 -threads 4 o.mp4"));
        assert!(small < plain / 2.0, "{smaller}: {small} of {plain}");
    }
    let graph =
        mib("-filter_complex \"[0:v]scale=640:360[v]\" -map [v] -c:v libx264 -threads 4 o.mp4");
    assert!(graph < plain / 2.0);
    assert!(mib("-an -c:v libx264 -threads 4 -pix_fmt yuv420p10le o.mp4") > plain * 1.5);
    assert!(mib("-an -c:v libx264 -threads 4 -frames:v 2 o.mp4") < plain / 2.0);
    // libx264 is what FFmpeg takes for mp4 by itself.
    assert_eq!(mib("-an -threads 4 o.mp4"), plain);
    assert!(mib("-c copy o.mkv") < 80.0);
    assert!(mib("-vn o.m4a") < 80.0);
}

#[test]
fn outputs_add_up_and_the_base_counts_once() {
    let one = mib("-an -c:v libx264 -threads 2 a.mkv");
    let two = mib("-an -c:v libx264 -threads 2 a.mkv -an -c:v libx264 -threads 2 b.mkv");
    let encoder = two - one;
    let rest = one - encoder;
    assert!(
        (70.0..110.0).contains(&rest),
        "one decoder and FFmpeg itself are {rest} MiB"
    );
    let estimate = estimated("ffmpeg -i s1080.mp4 -i s720.mp4 -map 0 -map 1 -c:v libx265 o.mkv");
    let sum: u64 = estimate.parts.iter().map(|part| part.bytes).sum();
    assert_eq!(sum, estimate.bytes);
    assert_eq!(
        estimate
            .parts
            .iter()
            .filter(|part| part.what == "ffmpeg itself")
            .count(),
        1
    );
    assert_eq!(
        estimate
            .parts
            .iter()
            .filter(|part| part.what.contains("decoder"))
            .count(),
        2
    );
    assert_eq!(
        estimate
            .parts
            .iter()
            .filter(|part| part.what.contains("libx265"))
            .count(),
        2
    );
}

#[test]
fn what_is_not_known_is_said() {
    let why = |command: &str| match estimated(command).basis {
        Basis::Partial(why) | Basis::Unknown(why) | Basis::Unbounded(why) => why.join("; "),
        Basis::Formula => "formula".to_owned(),
    };
    assert!(why("ffmpeg -i pipe:0 -c:v libx264 o.mp4").contains("input 0 was not probed"));
    assert!(why("ffmpeg -i s720.mp4 -c:v h264_nvenc o.mp4").contains("h264_nvenc"));
    assert!(why("ffmpeg -i s720.mp4 -c:v libx264 -preset hasty o.mp4").contains("hasty"));
    assert!(why("ffmpeg -i s720.mp4 -filter_complex_script f.txt o.mp4").contains("script"));
    assert!(why("ffmpeg -i s720.mp4 -vf reverse -c:v libx264 o.mp4").contains("reverse"));
    // What is not decoded need not be known.
    assert_eq!(why("ffmpeg -i pipe:0 -c copy o.mkv"), "formula");
    // Raw video names its size itself.
    assert_eq!(
        why("ffmpeg -f rawvideo -s 640x360 -i pipe:0 -c:v libx264 o.mkv"),
        "formula"
    );
}

proptest::proptest! {
    /// Whatever is typed, there is a number, and it is one of bytes.
    #[test]
    fn any_line_has_an_estimate(
        words in proptest::collection::vec(
            proptest::prop_oneof![
                "(-i|-map|-c:v|-vf|-s|-t|-ss|-threads|-preset|-x264-params|-x265-params|-filter_complex|-f|-g|-bf|-r)",
                "(s1080.mp4|l720.mp4|libx264|libx265|libsvtav1|copy|out.mp4|hls|lavfi|99999999999|-1|0:v|0:a|\\[x\\])",
                "[a-z0-9=:,;\\[\\]()'/*+.-]{0,24}",
            ],
            0..16,
        ),
        cpus in proptest::prelude::any::<u32>(),
    ) {
        let mut argv = vec![OsString::from("ffmpeg")];
        argv.extend(words.iter().map(OsString::from));
        if let Ok(command) = Command::parse(&argv) {
            let inputs: Vec<_> = command.inputs().map(|input| probed(&input.url.to_string_lossy())).collect();
            let estimate = estimate(&command, &inputs, cpus);
            proptest::prop_assert!(estimate.bytes >= 53 << 20);
            proptest::prop_assert!(estimate.bytes < u64::MAX / 2);
        }
    }
}
