//! What is seen of a job's command before it runs, besides its memory: whether it can be run again, how much it reads,
//! how many processors it keeps busy.

use super::plan::Standard;
use crate::config::profile::Profile;
use crate::ffmpeg::command::{Command, Group};
use crate::ffmpeg::options::StreamKind;
use crate::ffmpeg::output::{InputKind, OutputKind};
use crate::ffmpeg::probe::{MediaInfo, Stream};
use crate::ffmpeg::rewrite::{encoded_streams, needs_decoder};
use crate::ffmpeg::target;

/// One processor, in the thousandths that are counted in.
pub const ONE_CPU: u32 = 1000;
/// What a stream copy keeps busy.
const COPY_CPU: u32 = 250;

/// Whether an FFmpeg command can be run again: what went through a pipe, to a device or over the network cannot
/// be had back.
pub fn repeatable(command: &Command, standard: Standard) -> bool {
    let is_file = |group: &Group| standard == Standard::Files && is_standard(group);
    let input = |group| {
        !matches!(
            target::examine_input(group),
            InputKind::Pipe | InputKind::Device
        ) || is_file(group)
    };
    let output = |group| {
        !matches!(
            target::examine(group),
            OutputKind::Pipe | OutputKind::Device | OutputKind::Url
        ) || is_file(group)
    };
    command.inputs().all(input) && command.outputs().all(output)
}

/// Whether a URL means stdin, stdout or stderr.
fn is_standard(group: &Group) -> bool {
    let names = ["-", "pipe:", "pipe:0", "pipe:1", "pipe:2", "fd:"];
    names.iter().any(|name| group.url == *name)
}

/// Bytes of the largest file that a command reads.
pub fn largest_input(command: &Command) -> Option<u64> {
    let size = |group| match target::examine_input(group) {
        InputKind::File(path) => Some(path.metadata().ok()?.len()),
        _ => None,
    };
    command.inputs().filter_map(size).max()
}

/// Threads that an FFmpeg command keeps busy, in thousandths of a processor: those of its video encoders, which
/// outweigh the rest; about one for sound; a copy waits for the disk most of the time.
pub fn cpu_milli(
    command: &Command,
    inputs: &[Option<MediaInfo>],
    profile: Option<&Profile>,
    cpus: u32,
) -> u32 {
    let by_profile = profile.and_then(|profile| profile.threads.encoder);
    let open = by_profile.map_or(cpus, |threads| threads.resolve(cpus));
    let threads = |group: &Group| {
        let written = group.option_for("threads", StreamKind::Video);
        let written = written.and_then(|count| count.to_str()?.parse().ok());
        written.filter(|count| *count > 0).unwrap_or(open)
    };
    let is_film = |stream: &Stream| stream.is("video") && !stream.attached_picture;
    let has_pictures = |input: &Option<MediaInfo>| {
        input
            .as_ref()
            .is_none_or(|info| info.streams.iter().any(is_film))
    };
    let pictures = inputs.is_empty() || inputs.iter().any(has_pictures);
    let encodes = |group: &&Group| pictures && !encoded_streams(group).is_empty();
    let encoders: u32 = command
        .outputs()
        .filter(encodes)
        .fold(0, |sum, group| sum.saturating_add(threads(group)));
    if encoders > 0 {
        encoders.min(cpus.max(1)).saturating_mul(ONE_CPU)
    } else if command.outputs().any(needs_decoder) {
        ONE_CPU
    } else {
        COPY_CPU
    }
}

/// The same for any other command, of which only its streams are known.
pub fn streams_repeatable() -> bool {
    !super::run::is_pipe(std::io::stdin()) && !super::run::is_pipe(std::io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn command(line: &str) -> Command {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Command::parse(&words).unwrap()
    }

    fn film(kind: &str) -> MediaInfo {
        let stream = Stream {
            kind: Some(kind.to_owned()),
            ..Stream::default()
        };
        MediaInfo {
            streams: vec![stream],
            ..MediaInfo::default()
        }
    }

    #[test]
    fn encoders_count_with_their_threads_and_a_copy_with_little() {
        let film = || Some(film("video"));
        let milli = |line: &str| cpu_milli(&command(line), &[film()], None, 4);
        assert_eq!(milli("ffmpeg -i a.mov -c:v libx264 b.mp4"), 4000);
        assert_eq!(milli("ffmpeg -i a.mov -c:v libx264 -threads 2 b.mp4"), 2000);
        assert_eq!(milli("ffmpeg -i a.mov -c:v libx264 -threads 0 b.mp4"), 4000);
        let two = "ffmpeg -i a.mov -c:v libx264 -threads 1 b.mp4 -c:v libx264 -threads 1 c.mp4";
        assert_eq!(milli(two), 2000);
        let sound = command("ffmpeg -i a.wav -c:a aac b.m4a");
        assert_eq!(
            cpu_milli(&sound, &[Some(self::film("audio"))], None, 4),
            1000
        );
        assert_eq!(
            cpu_milli(&sound, &[None], None, 4),
            4000,
            "nothing is known"
        );
        assert_eq!(milli("ffmpeg -i a.mov -c copy b.mp4"), 250);
    }

    #[test]
    fn a_pipe_that_is_a_file_of_its_own_can_be_had_again() {
        for (line, ours, files) in [
            ("ffmpeg -i a.mov b.mp4", true, true),
            ("ffmpeg -i a.mov -f mpegts -", false, true),
            ("ffmpeg -f s16le -i pipe:0 b.mp4", false, true),
            ("ffmpeg -i a.mov -f mpegts pipe:5", false, false),
            ("ffmpeg -i a.mov -f flv rtmp://host/live", false, false),
        ] {
            assert_eq!(repeatable(&command(line), Standard::Ours), ours, "{line}");
            assert_eq!(repeatable(&command(line), Standard::Files), files, "{line}");
        }
    }
}
