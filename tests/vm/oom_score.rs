//! A supervisor protected from the out-of-memory killer must not hand that protection to its child: at an
//! inherited -1000 the kernel finds nobody to kill, and `memory.max` holds nothing.

use crate::support::{Place, Warden, hog_text};

const ADJUSTMENT: [&str; 4] = ["choom", "-n", "-900", "--"];

#[test]
fn adjustment_of_the_child_is_not_negative_when_ffwardens_own_is() {
    let running = Warden::at(Place::Undelegated)
        .under(&ADJUSTMENT)
        .options(&["-q", "-m", "256M"])
        .start(&[
            "run",
            "--",
            "sh",
            "-c",
            "cat /proc/self/oom_score_adj; exec sleep 5",
        ]);
    running.until_running("the job to say its score", || !running.stdout().is_empty());
    let child: i32 = running.stdout().trim().parse().unwrap();
    assert!(child >= 0, "{child}");
    let own = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", running.wardens()[0].pid))
        .unwrap();
    assert_eq!(own.trim(), "-900", "ffwarden keeps its own");
    assert_eq!(running.wait().code, 0);
}

#[test]
fn adjustment_of_a_service_does_not_keep_its_job_from_being_killed() {
    let place = Place::Service(vec!["Delegate=yes", "OOMScoreAdjust=-1000"]);
    let done = Warden::at(place)
        .options(&["-q", "-m", "256M", "--retries", "0"])
        .run(&["run", "--", &hog_text(), "--touch", "400M"]);
    assert_eq!(done.code, 125, "{}", done.state());
    assert_eq!(done.outcomes(), ["oom"]);
    done.assert_nothing_left();
}
