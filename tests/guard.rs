//! Nothing outlives the prefix: not the child, not its grandchildren, not a file half written.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{eventually, ffwarden, processes, unique};

/// A child with a grandchild in the background and a daemon that has left the session.
fn family(tag: &str) -> String {
    format!(
        "sh -c ': {tag}; sleep 300' & setsid sh -c ': {tag}; sleep 300' & : {tag}; while :; do sleep 1; done"
    )
}

/// The guard, the supervisor, and the three of the family.
fn started(tag: &str) -> support::Started {
    let run = ffwarden(["-q", "run", "--", "sh", "-c", &family(tag)]).start();
    eventually("the family is there", || processes(&[tag]).len() == 5);
    run
}

fn supervisor(run: &support::Started) -> i32 {
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.pid())).unwrap();
    children.trim().parse().unwrap()
}

#[test]
fn sigkill_to_the_prefix_leaves_nobody() {
    let tag = unique("guard");
    let run = started(&tag);
    run.signal(Signal::SIGKILL);
    eventually("the whole family is gone", || processes(&[&tag]).is_empty());
}

#[test]
fn sigkill_to_the_supervisor_leaves_nobody_and_is_told() {
    let tag = unique("supervisor");
    let run = ffwarden(["run", "--", "sh", "-c", &family(&tag)]).start();
    eventually("the family is there", || processes(&[&tag]).len() == 5);
    kill(Pid::from_raw(supervisor(&run)), Signal::SIGKILL).unwrap();
    let (status, stderr) = run.end();
    assert_eq!(status.code(), Some(125));
    assert_eq!(
        stderr,
        "ffwarden: the supervisor was killed by signal 9; its child was ended with it\n"
    );
    assert_eq!(processes(&[&tag]), [0i32; 0]);
}

#[test]
fn sigkill_to_both_takes_the_child_along() {
    let tag = unique("both");
    let run = ffwarden([
        "-q",
        "run",
        "--",
        "sh",
        "-c",
        &format!(": {tag}; while :; do sleep 1; done"),
    ])
    .start();
    eventually("the child runs", || processes(&[&tag]).len() == 3);
    let supervisor = supervisor(&run);
    // The guard first and stopped, so that neither can act for the other: what is left is the parent-death signal.
    kill(Pid::from_raw(run.pid()), Signal::SIGSTOP).unwrap();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    kill(Pid::from_raw(run.pid()), Signal::SIGKILL).unwrap();
    eventually("the child is gone", || processes(&[&tag]).is_empty());
}

#[test]
fn grandchildren_end_with_the_child() {
    let tag = unique("grand");
    let script = format!(
        "sh -c ': {tag}; sleep 300' & setsid sh -c ': {tag}; trap \"\" TERM; sleep 300' & exit 5"
    );
    let ran = ffwarden(["-q", "run", "--", "sh", "-c", &script]).run();
    assert_eq!(ran.code(), Some(5));
    assert_eq!(processes(&[&tag]), [0i32; 0]);
}
