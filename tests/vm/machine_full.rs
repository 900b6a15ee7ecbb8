//! Killed because of someone else's limit: that of a cgroup further up, or the machine itself. The child's
//! `memory.events` then count a kill, but no `oom` of its own; a lighter profile would be the wrong answer.

use crate::support::{Place, Warden, hog_text, kernel};

#[test]
fn a_job_killed_by_the_limit_of_its_service_was_not_too_big_for_its_own() {
    let kills = kernel::vmstat("oom_kill");
    let place = Place::Service(vec!["Delegate=yes", "MemoryMax=300M"]);
    let done = Warden::at(place)
        .options(&["-q", "-m", "1G", "--retries", "0"])
        .run(&["run", "--", &hog_text(), "--touch", "500M"]);
    assert!(kernel::vmstat("oom_kill") > kills, "{}", done.state());
    assert_eq!(done.outcomes(), ["pressure"], "{}", done.state());
    assert_eq!(done.code, 125, "{}", done.state());
    done.assert_nothing_left();
}

/// The same again, later: a lighter one would not help against somebody else's limit.
#[test]
fn a_job_killed_by_the_limit_of_its_service_is_tried_again_after_a_wait() {
    let place = Place::Service(vec!["Delegate=yes", "MemoryMax=300M"]);
    let started = std::time::Instant::now();
    let done = Warden::at(place)
        .options(&["-m", "1G", "--retries", "1"])
        .run(&["run", "--", &hog_text(), "--touch", "500M"]);
    assert_eq!(
        done.outcomes(),
        ["pressure", "pressure"],
        "{}",
        done.state()
    );
    assert!(started.elapsed().as_secs() >= 2, "it waited");
    assert!(
        done.stderr().contains("trying again in 2 s"),
        "{}",
        done.state()
    );
    assert_eq!(done.code, 125, "{}", done.state());
    done.assert_nothing_left();
}

/// Its own limit would let it have more than the machine has.
#[test]
#[ignore = "fills the machine's memory: for the emulated machine only"]
fn a_job_killed_because_the_machine_is_full_was_not_too_big_for_its_own() {
    let done = Warden::at(Place::Undelegated)
        .options(&["-q", "-m", "8G", "--retries", "0"])
        // The most likely victim by far, so that nothing else of the machine is chosen.
        .run(&[
            "run",
            "--",
            "choom",
            "-n",
            "1000",
            "--",
            &hog_text(),
            "--touch",
            "6G",
        ]);
    assert_eq!(done.outcomes(), ["pressure"], "{}", done.state());
    assert_eq!(done.code, 125, "{}", done.state());
    done.assert_nothing_left();
}
