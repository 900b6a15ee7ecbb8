//! A fork bomb meets `pids.max`; around it all goes on.

use std::process::Command;

use crate::support::{Place, Warden, kernel};

/// Forks until it may not, then stays. Forks without exec, and bounded: were there no limit, the machine would
/// have to survive this.
const BOMB: &str = r#"
mkfifo never
exec 3<>never
i=0
(while [ $i -lt 20000 ]; do (read x <&3) & i=$((i+1)); done)
echo blocked
read x <&3
"#;

fn explode(place: Place) {
    let running = Warden::at(place)
        .options(&["-q", "-m", "1500M", "--retries", "0"])
        .start(&["run", "--", "sh", "-c", BOMB]);
    let attempt = running.attempt_after("blocked");

    let limit: u64 = kernel::value(&attempt, "pids.max").parse().unwrap();
    let events = kernel::keyed(&attempt.join("pids.events"));
    assert!(events["max"] >= 1, "{events:?}");
    let inside = kernel::members(&attempt).len() as u64;
    // The bomb's own shell has gone since, others may have.
    assert!(
        inside <= limit && inside + 8 >= limit,
        "{inside} of {limit}"
    );
    // The machine goes on: outside, processes start as ever.
    for _ in 0..20 {
        assert!(Command::new("true").status().unwrap().success());
    }
    assert_eq!(
        kernel::keyed(&attempt.join("memory.events"))["oom_kill"],
        0,
        "it was to meet pids.max, not memory.max"
    );

    running.terminate();
    let done = running.wait();
    assert_ne!(done.code, 0);
    assert_eq!(done.outcomes(), ["signaled"], "{}", done.state());
    done.assert_nothing_left();
}

#[test]
fn a_fork_bomb_in_a_scope_stays_in_it() {
    explode(Place::Undelegated);
}

#[test]
fn a_fork_bomb_of_an_ordinary_user_stays_in_its_slice() {
    explode(Place::User);
}

#[test]
fn what_a_fork_bomb_leaves_when_its_first_process_ends_goes_too() {
    let job = BOMB.replace("\nread x <&3\n", "\nexit 5\n");
    let done = Warden::at(Place::NoSystemd)
        .options(&["-q", "-m", "1500M", "--retries", "0"])
        .run(&["run", "--", "sh", "-c", &job]);
    assert_eq!(done.code, 5, "{}", done.state());
    assert_eq!(done.outcomes(), ["exited"]);
    done.assert_nothing_left();
}
