//! Out of memory by its own limit: the next attempt takes a lower profile, until one fits.

use crate::support::{Place, Warden, kernel, packets};

/// More than the frames x264 looks ahead with its slower presets (50), so that it reaches its peak.
const FRAMES: u32 = 60;

/// x264 needs 550 MiB at 1080p with preset slow and 480 with medium, on two threads; 120 with ultrafast.
#[test]
fn an_encode_that_does_not_fit_comes_out_complete_with_a_lower_profile() {
    kernel::cache_ffmpeg();
    let events = kernel::memory_events();
    let done = Warden::at(Place::Undelegated)
        .options(&["-q", "-p", "high", "-m", "300M"])
        .run(&[
            "ffmpeg",
            "-hide_banner",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=1920x1080:rate=25",
            "-frames:v",
            &FRAMES.to_string(),
            "-c:v",
            "libx264",
            "out.mp4",
        ]);
    assert_eq!(done.code, 0, "{}", done.state());
    let outcomes = done.outcomes();
    let (last, before) = outcomes.split_last().unwrap();
    assert_eq!(last, "exited", "{outcomes:?}");
    assert!(
        !before.is_empty(),
        "the first attempt was to run out of memory\n{}",
        done.state()
    );
    assert!(before.iter().all(|o| o == "oom"), "{outcomes:?}");

    let attempts = done.attempts();
    let rank = |profile: &str| {
        ["minimal", "low", "balanced", "high"]
            .iter()
            .position(|p| *p == profile)
            .unwrap()
    };
    let ranks: Vec<_> = attempts
        .iter()
        .map(|a| rank(a["profile"].as_str().unwrap()))
        .collect();
    assert_eq!(ranks[0], 3, "{}", done.state());
    assert!(
        ranks.windows(2).all(|w| w[1] < w[0]),
        "each profile lower than the one before: {ranks:?}"
    );
    for attempt in &attempts {
        let peak = attempt["peak_bytes"].as_u64().unwrap();
        let limit = attempt["limit_bytes"].as_u64().unwrap();
        assert!(limit <= 300 << 20, "{attempt}");
        // A process that is being killed may get some pages beyond the limit.
        assert!(peak > 0 && peak <= limit + (1 << 20), "{attempt}");
    }
    // The kernel killed as many groups as there were attempts before the last.
    let killed = kernel::memory_events()["oom_group_kill"]
        - events.get("oom_group_kill").copied().unwrap_or(0);
    assert_eq!(killed, before.len() as u64);

    assert_eq!(packets(&done.dir().join("out.mp4")), FRAMES);
    // Of the failed attempts nothing is left beside the output.
    let mut files: Vec<_> = std::fs::read_dir(done.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["out.mp4", "report.json", "stderr", "stdout"]);
    done.assert_nothing_left();
}

/// Without rewriting there is nothing lighter, and 2160p with preset slow needs more than 1 GiB on one thread.
#[test]
fn an_encode_that_cannot_fit_ends_with_125_and_leaves_the_old_output() {
    kernel::cache_ffmpeg();
    let running = Warden::at(Place::Undelegated)
        .options(&["-q", "--no-rewrite", "-m", "256M", "--retries", "1"])
        .start_with(
            |dir| std::fs::write(dir.join("out.mp4"), "precious").unwrap(),
            &[
                "ffmpeg",
                "-y",
                "-hide_banner",
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=3840x2160:rate=25",
                "-frames:v",
                &FRAMES.to_string(),
                "-c:v",
                "libx264",
                "-preset",
                "slow",
                "-threads",
                "1",
                "out.mp4",
            ],
        );
    let done = running.wait();
    assert_eq!(done.code, 125, "{}", done.state());
    let outcomes = done.outcomes();
    assert!(
        !outcomes.is_empty() && outcomes.iter().all(|o| o == "oom"),
        "{outcomes:?}"
    );
    assert_eq!(
        std::fs::read(done.dir().join("out.mp4")).unwrap(),
        b"precious"
    );
    done.assert_nothing_left();
}
