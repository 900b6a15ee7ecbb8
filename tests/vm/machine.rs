//! What the other tests take for granted: were it missing, they would fail for no fault of ffwarden.

use std::fs;
use std::process::Command;

use crate::support::{Place, hog, kernel, user_id, warden_path};

#[test]
fn cgroup_v2_has_the_memory_and_the_pids_controller() {
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    let controllers: Vec<_> = controllers.split_whitespace().collect();
    assert!(controllers.contains(&"memory"), "{controllers:?}");
    assert!(controllers.contains(&"pids"), "{controllers:?}");
}

#[test]
fn systemd_is_the_service_manager() {
    assert!(fs::metadata("/run/systemd/system").unwrap().is_dir());
    let out = Command::new("systemctl")
        .args(["show", "--property=Version"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    assert!(out.stdout.starts_with(b"Version="), "{out:?}");
}

#[test]
fn the_ordinary_user_has_a_service_manager_with_the_memory_controller() {
    let out = Place::as_user(&["systemctl", "--user", "show", "--property=Version"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let uid = user_id();
    let delegated =
        format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
    let controllers = fs::read_to_string(&delegated).unwrap();
    assert!(
        controllers.split_whitespace().any(|c| c == "memory"),
        "{controllers:?}"
    );
}

#[test]
fn pressure_is_measured() {
    let pressure = fs::read_to_string("/proc/pressure/memory").unwrap();
    assert!(pressure.starts_with("some avg10="), "{pressure:?}");
}

#[test]
fn the_tests_themselves_run_in_a_unit_that_is_not_delegated() {
    let own = kernel::cgroup_of(std::process::id()).unwrap();
    assert!(
        own.starts_with("/sys/fs/cgroup/system.slice"),
        "{}",
        own.display()
    );
    assert!(
        xattr(&own, "trusted.delegate").is_none(),
        "{} is delegated: start the tests with scripts/vm",
        own.display()
    );
}

#[test]
fn the_programs_under_test_start() {
    let out = Command::new(warden_path())
        .arg("--version")
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let out = Command::new(hog())
        .args(["--touch", "1M", "--then", "exit:7"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(7), "{out:?}");
    assert_eq!(out.stdout, b"hog: holding\n");
}

/// The value of an extended attribute, `None` if the file has none such.
fn xattr(path: &std::path::Path, name: &str) -> Option<Vec<u8>> {
    xattr::get(path, name).unwrap()
}
