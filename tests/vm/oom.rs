//! The kernel kills in the slice, all that is in the slice, and nothing else.

use crate::support::{Bystander, Finished, Place, Warden, hog_text, kernel};

/// Runs a job that goes over its limit of 256 MiB, while another process holds memory.
fn overrun(place: Place, job: &[&str]) -> (Finished, u64) {
    let mut bystander = Bystander::holding("100M");
    let events = kernel::memory_events();
    let kills = kernel::vmstat("oom_kill");
    let mut argv = vec!["run", "--"];
    argv.extend(job);
    let done = Warden::at(place)
        .options(&["-q", "-m", "256M", "--retries", "0"])
        .run(&argv);
    bystander.assert_untouched();
    let killed = kernel::vmstat("oom_kill") - kills;

    assert_eq!(done.code, 125, "{}", done.state());
    assert_eq!(done.outcomes(), ["oom"], "{}", done.state());
    let attempt = &done.attempts()[0];
    assert_eq!(attempt["limit_bytes"], 256 << 20, "{attempt}");
    // It ran into its limit, so the peak is the limit, but for batches of pages and what a dying process gets.
    let peak = attempt["peak_bytes"].as_u64().unwrap();
    assert!((248 << 20..=257 << 20).contains(&peak), "{attempt}");
    // The kernel's view of the same: one cgroup was over its own limit, and went as a group.
    let after = kernel::memory_events();
    let rose = |key: &str| after[key] - events.get(key).copied().unwrap_or(0);
    assert!(rose("oom") >= 1, "{after:?}");
    assert_eq!(rose("oom_group_kill"), 1, "{after:?}");
    assert_eq!(rose("oom_kill"), killed, "{after:?}");
    done.assert_nothing_left();
    (done, killed)
}

#[test]
fn a_job_over_its_limit_dies_with_all_its_processes_and_nobody_else() {
    let job = format!("sleep 600 & {} --touch 400M & wait", hog_text());
    let (_, killed) = overrun(Place::Undelegated, &["sh", "-c", &job]);
    // sh, sleep and hog. (The kernel counts the one that it chose, and then once more as one of the group.)
    assert!((3..=4).contains(&killed), "{killed}");
}

#[test]
fn a_shell_that_exits_0_after_its_child_was_killed_is_no_success() {
    let job = format!("{} --touch 400M; exit 0", hog_text());
    let (_, killed) = overrun(Place::Undelegated, &["sh", "-c", &job]);
    assert!((2..=3).contains(&killed), "{killed}");
}

#[test]
fn a_delegated_service_outlives_the_job_that_ran_out_of_memory() {
    overrun(
        Place::Service(vec!["Delegate=yes"]),
        &[&hog_text(), "--touch", "400M"],
    );
}

#[test]
fn an_ordinary_users_job_over_its_limit_dies() {
    overrun(Place::User, &[&hog_text(), "--touch", "400M"]);
}

#[test]
fn shared_memory_counts() {
    overrun(Place::Undelegated, &[&hog_text(), "--shm", "400M"]);
}

#[test]
fn the_memory_of_all_children_together_counts() {
    // Each of them alone would fit.
    overrun(
        Place::Undelegated,
        &[
            &hog_text(),
            "--fork",
            "4",
            "--touch",
            "100M",
            "--hold",
            "60s",
        ],
    );
}

#[test]
fn a_daemon_that_left_its_parent_is_still_in_the_slice() {
    let job = format!(
        "{} --daemonize --touch 400M --hold 60s; sleep 600",
        hog_text()
    );
    overrun(Place::Undelegated, &["sh", "-c", &job]);
}
