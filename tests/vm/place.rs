//! Where ffwarden is started decides what contains its child; the tree of cgroups says whether it does.

use std::path::{Path, PathBuf};

use crate::support::{Place, Warden, hog_text, kernel, user_id};

/// Runs a job from `place`; returns the cgroups of its attempt and of ffwarden while it ran, and the kind of
/// containment reported.
fn contain(place: Place) -> (PathBuf, PathBuf, String) {
    let running = Warden::at(place).options(&["-q", "-m", "300M"]).start(&[
        "run",
        "--",
        &hog_text(),
        "--touch",
        "20M",
        "--hold",
        "5s",
    ]);
    let attempt = running.attempt_after("hog: holding");
    let members = kernel::members(&attempt);
    let hogs: Vec<_> = running.named("hog").iter().map(|p| p.pid).collect();
    assert_eq!(members, hogs, "only the job is in its cgroup");
    assert_eq!(
        kernel::value(&attempt, "memory.max"),
        (300 << 20).to_string()
    );
    let own = kernel::cgroup_of(running.wardens()[0].pid).unwrap();

    let done = running.wait();
    assert_eq!(done.code, 0, "{}", done.state());
    assert_eq!(done.stderr(), "");
    assert_eq!(done.outcomes(), ["exited"]);
    done.assert_nothing_left();
    (attempt, own, done.containment())
}

fn unit_of(cgroup: &Path) -> &str {
    let name = cgroup.ancestors().find_map(|dir| {
        let name = dir.file_name()?.to_str()?;
        (name.ends_with(".scope") || name.ends_with(".service")).then_some(name)
    });
    name.unwrap_or_else(|| panic!("{} is in no unit", cgroup.display()))
}

#[test]
fn root_in_a_unit_that_is_not_delegated_gets_a_scope() {
    let (attempt, _, kind) = contain(Place::Undelegated);
    assert_eq!(kind, "scope");
    let unit = unit_of(&attempt);
    assert!(
        unit.starts_with("ffwarden-") && unit.ends_with(".scope"),
        "{unit}"
    );
}

#[test]
fn root_without_systemd_gets_a_directory_at_the_top() {
    let (attempt, _, kind) = contain(Place::NoSystemd);
    assert_eq!(kind, "cgroup");
    assert_eq!(attempt.parent(), Some(Path::new("/sys/fs/cgroup/ffwarden")));
}

#[test]
fn a_delegated_service_gets_a_directory_beside_ffwarden_itself() {
    let (attempt, own, kind) = contain(Place::Service(vec!["Delegate=yes"]));
    assert_eq!(kind, "cgroup");
    assert!(
        unit_of(&attempt).ends_with(".service"),
        "{}",
        attempt.display()
    );
    assert_eq!(own.file_name().unwrap(), "supervisor");
    assert_eq!(attempt.parent(), own.parent());
}

#[test]
fn a_service_without_delegation_gets_a_scope() {
    let (attempt, _, kind) = contain(Place::Service(vec!["Delegate=no"]));
    assert_eq!(kind, "scope");
    assert!(
        unit_of(&attempt).starts_with("ffwarden-"),
        "{}",
        attempt.display()
    );
}

#[test]
fn an_ordinary_user_gets_a_scope_of_their_own_service_manager() {
    let (attempt, _, kind) = contain(Place::User);
    assert_eq!(kind, "scope");
    assert!(attempt.starts_with(user_manager()), "{}", attempt.display());
    assert!(
        unit_of(&attempt).starts_with("ffwarden-"),
        "{}",
        attempt.display()
    );
}

/// systemd 252 does not mark what a user's manager delegates, so ffwarden may ask for a scope there.
#[test]
fn a_delegated_service_of_an_ordinary_user_stays_with_their_service_manager() {
    let (attempt, own, kind) = contain(Place::UserService);
    assert!(["cgroup", "scope"].contains(&kind.as_str()), "{kind}");
    assert!(attempt.starts_with(user_manager()), "{}", attempt.display());
    assert_eq!(own.file_name().unwrap(), "supervisor");
    assert_eq!(attempt.parent(), own.parent());
}

/// Each start takes part in a race with systemd, which moves processes one by one.
#[test]
fn an_ordinary_user_gets_a_scope_every_time() {
    for round in 0..25 {
        let done = Warden::at(Place::User)
            .options(&["-q", "-m", "300M"])
            .run(&["run", "--", "cat", "/proc/self/cgroup"]);
        assert_eq!(done.code, 0, "round {round}\n{}", done.state());
        assert_eq!(
            done.containment(),
            "scope",
            "round {round}\n{}",
            done.state()
        );
        assert!(
            done.stdout().contains("/attempt-"),
            "round {round}\n{}",
            done.state()
        );
    }
}

fn user_manager() -> PathBuf {
    let uid = user_id();
    format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service").into()
}
