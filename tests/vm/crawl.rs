//! A child that hardly gets on at its own limit, where the kernel never kills it, is ended and run again lighter.

use crate::support::{Finished, Place, Warden, packets};

/// More than the frames x264 looks ahead with its slower presets (50), so that it reaches its peak.
const FRAMES: u32 = 60;

fn encode(memory: &str, retries: &str) -> Finished {
    Warden::at(Place::Undelegated)
        .options(&["-p", "high", "-m", memory, "--retries", retries])
        .run(&[
            "ffmpeg",
            "-hide_banner",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=1600x900:rate=25",
            "-frames:v",
            &FRAMES.to_string(),
            "-c:v",
            "libx264",
            "out.mp4",
        ])
}

#[test]
fn an_encode_without_room_for_its_code_comes_out_complete_with_a_lower_profile() {
    let needs = encode("1G", "0").attempts()[0]["peak_needs_bytes"]
        .as_u64()
        .unwrap();
    assert!(needs > 256 << 20, "the limit could not be so low: {needs}");
    // Whoever reads a file first is charged for it: now the encode is, for its own code.
    std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    // A sample can miss the highest moment by a little, and the code has to find no room.
    let limit = format!("{}K", (needs >> 10) + 1024);
    let done = encode(&limit, "3");
    assert_eq!(done.code, 0, "{}", done.state());
    let attempts = done.attempts();
    let first = &attempts[0];
    assert_eq!(first["outcome"], "oom", "{}", done.state());
    assert!(
        first["reason"].as_str().unwrap().contains("hardly got on"),
        "{}",
        done.state()
    );
    assert!(attempts.len() > 1, "{}", done.state());
    assert_ne!(attempts[1]["profile"], "high", "{}", done.state());
    assert_eq!(packets(&done.dir().join("out.mp4")), FRAMES);
    done.assert_nothing_left();
}
