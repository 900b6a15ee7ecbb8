//! A real encode that fits: done, measured, and nothing left of its slice.

use crate::support::{Place, Warden, kernel, packets};

const FRAMES: u32 = 12;

fn encode(place: Place) {
    let kills = kernel::vmstat("oom_kill");
    let done = Warden::at(place).options(&["-q", "-m", "512M"]).run(&[
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
        "-preset",
        "ultrafast",
        "out.mp4",
    ]);
    assert_eq!(done.code, 0, "{}", done.state());
    assert_eq!(done.outcomes(), ["exited"]);
    let attempt = &done.attempts()[0];
    let peak = attempt["peak_bytes"].as_u64().unwrap();
    let limit = attempt["limit_bytes"].as_u64().unwrap();
    // Twelve frames of 1080p alone are 36 MiB.
    assert!(peak > 36 << 20, "{attempt}");
    assert!(peak <= limit, "{attempt}");
    assert!(limit <= 512 << 20, "{attempt}");
    assert!(attempt["cpu_seconds"].as_f64().unwrap() > 0.0, "{attempt}");
    assert!(attempt["estimate_bytes"].as_u64().unwrap() > 0, "{attempt}");
    assert_eq!(packets(&done.dir().join("out.mp4")), FRAMES);
    assert_eq!(kernel::vmstat("oom_kill"), kills);
    done.assert_nothing_left();
}

#[test]
fn an_encode_in_a_scope_finishes_below_its_limit() {
    encode(Place::Undelegated);
}

#[test]
fn an_encode_in_a_delegated_service_finishes_below_its_limit() {
    encode(Place::Service(vec!["Delegate=yes"]));
}

#[test]
fn an_encode_of_an_ordinary_user_finishes_below_its_limit() {
    encode(Place::User);
}
