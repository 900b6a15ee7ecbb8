//! SIGKILL to ffwarden: no process and no cgroup stays behind.

use nix::sys::signal::Signal;

use crate::support::{Place, Running, Warden, hog_text, signal};

/// A job with a child, a grandchild, and a daemon in a session of its own; it would run for ten minutes.
fn start(place: Place) -> Running {
    let job = format!(
        "sh -c 'sleep 600 & wait' & {hog} --daemonize --touch 20M --hold 600s; \
         exec {hog} --ignore TERM --touch 20M --hold 600s",
        hog = hog_text()
    );
    let running = Warden::at(place)
        .options(&["-q", "-m", "300M"])
        .start(&["run", "--", "sh", "-c", &job]);
    running.until_running("the job to be there", || {
        running.named("hog").len() == 2
            && running.named("sleep").len() == 1
            && running.stdout().lines().count() == 2
    });
    assert_eq!(running.attempts().len(), 1);
    running
}

fn kill_the_one_that_was_started(place: Place) {
    let running = start(place);
    signal(running.wardens()[0].pid, Signal::SIGKILL);
    running.assert_nothing_left();
}

/// Nobody is left that could clean up, so the next one does.
fn kill_every_one(place: Place) {
    let running = start(place.clone());
    let wardens = running.wardens();
    // Stopped first, so that none of them sees another one die.
    for each in [Signal::SIGSTOP, Signal::SIGKILL] {
        for warden in &wardens {
            signal(warden.pid, each);
        }
    }
    running.until("all of them to die", || running.wardens().is_empty());

    let next = Warden::at(place)
        .options(&["-q"])
        .run(&["run", "--", "true"]);
    assert_eq!(next.code, 0, "{}", next.state());
    running.assert_nothing_left();
}

#[test]
fn of_ffwarden_in_a_scope_leaves_nothing() {
    kill_the_one_that_was_started(Place::Undelegated);
}

#[test]
fn of_ffwarden_without_systemd_leaves_nothing() {
    kill_the_one_that_was_started(Place::NoSystemd);
}

#[test]
fn of_ffwarden_in_a_delegated_service_leaves_nothing() {
    kill_the_one_that_was_started(Place::Service(vec!["Delegate=yes"]));
}

#[test]
fn of_ffwarden_of_an_ordinary_user_leaves_nothing() {
    kill_the_one_that_was_started(Place::User);
}

#[test]
fn of_every_ffwarden_in_a_scope_is_cleaned_up_after_by_the_next() {
    kill_every_one(Place::Undelegated);
}

#[test]
fn of_every_ffwarden_without_systemd_is_cleaned_up_after_by_the_next() {
    kill_every_one(Place::NoSystemd);
}

#[test]
fn of_every_ffwarden_of_an_ordinary_user_is_cleaned_up_after_by_the_next() {
    kill_every_one(Place::User);
}

/// Cleaning up after the dead must spare the living.
#[test]
fn the_next_start_leaves_the_jobs_of_a_running_ffwarden_alone() {
    for place in [Place::Undelegated, Place::NoSystemd, Place::User] {
        let running = start(place.clone());
        let before: Vec<_> = running.processes().iter().map(|p| p.pid).collect();
        let next = Warden::at(place)
            .options(&["-q"])
            .run(&["run", "--", "true"]);
        assert_eq!(next.code, 0, "{}", next.state());
        let after: Vec<_> = running.processes().iter().map(|p| p.pid).collect();
        assert_eq!(before, after);
    }
}
