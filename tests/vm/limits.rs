//! The limits in the kernel's own files are those that the report names.

use crate::support::{Place, Warden, hog_text, kernel};

fn read_back(place: Place, asked: &str, bytes: u64) {
    let running = Warden::at(place).options(&["-q", "-m", asked]).start(&[
        "run",
        "--",
        &hog_text(),
        "--touch",
        "10M",
        "--hold",
        "5s",
    ]);
    let attempt = running.attempt_after("hog: holding");
    let value = |file| kernel::value(&attempt, file);
    assert_eq!(value("memory.max"), bytes.to_string());
    assert_eq!(value("memory.swap.max"), "0");
    assert_eq!(value("memory.oom.group"), "1");
    // It would stop an encoder for ever instead of slowing it.
    assert_eq!(value("memory.high"), "max");
    let processes: u64 = value("pids.max").parse().expect("pids.max has a number");
    assert!(
        processes >= 64,
        "room for an encoder's threads: {processes}"
    );

    let done = running.wait();
    assert_eq!(done.code, 0, "{}", done.state());
    assert_eq!(done.attempts()[0]["limit_bytes"], bytes, "{}", done.state());
}

#[test]
fn in_a_scope_are_as_reported() {
    read_back(Place::Undelegated, "512M", 512 << 20);
}

#[test]
fn without_systemd_are_as_reported() {
    read_back(Place::NoSystemd, "1G", 1 << 30);
}

#[test]
fn in_a_delegated_service_are_as_reported() {
    read_back(Place::Service(vec!["Delegate=yes"]), "300M", 300 << 20);
}

#[test]
fn of_an_ordinary_user_are_as_reported() {
    read_back(Place::User, "400M", 400 << 20);
}

/// Below 256 MiB current kernels kill those who write files.
#[test]
fn below_256_mebibytes_are_raised_to_it() {
    read_back(Place::Undelegated, "100M", 256 << 20);
}
