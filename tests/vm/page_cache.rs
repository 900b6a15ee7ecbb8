//! Page cache alone kills nobody: a child may write files far larger than its limit.

use crate::support::{Place, Warden, kernel};

const MEBIBYTES: u64 = 700;

fn write(place: Place) {
    let kills = kernel::vmstat("oom_kill");
    let size = format!("count={MEBIBYTES}");
    let done = Warden::at(place)
        .options(&["-q", "-m", "256M", "--retries", "0"])
        .run(&[
            "run",
            "--",
            "dd",
            "if=/dev/zero",
            "of=big",
            "bs=1M",
            &size,
            "status=none",
        ]);
    assert_eq!(done.code, 0, "{}", done.state());
    assert_eq!(done.outcomes(), ["exited"]);
    assert_eq!(kernel::vmstat("oom_kill"), kills);
    assert_eq!(
        std::fs::metadata(done.dir().join("big")).unwrap().len(),
        MEBIBYTES << 20
    );
    // The cache did fill the slice: else this would show nothing.
    let attempt = &done.attempts()[0];
    assert_eq!(attempt["limit_bytes"], 256 << 20, "{attempt}");
    done.assert_nothing_left();
}

#[test]
fn of_a_file_larger_than_the_limit_kills_nobody_in_a_scope() {
    write(Place::Undelegated);
}

#[test]
fn of_a_file_larger_than_the_limit_kills_nobody_without_systemd() {
    write(Place::NoSystemd);
}

/// Reading it back is the other way to fill a slice with cache.
#[test]
fn of_a_file_that_is_read_kills_nobody() {
    let kills = kernel::vmstat("oom_kill");
    let done = Warden::at(Place::Undelegated).options(&["-q", "-m", "256M", "--retries", "0"]).run(&[
        "run",
        "--",
        "sh",
        "-c",
        "dd if=/dev/zero of=big bs=1M count=600 status=none && sync && dd if=big of=/dev/null bs=1M status=none",
    ]);
    assert_eq!(done.code, 0, "{}", done.state());
    assert_eq!(done.outcomes(), ["exited"]);
    assert_eq!(kernel::vmstat("oom_kill"), kills);
}
