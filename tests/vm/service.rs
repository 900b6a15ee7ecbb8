//! A delegated service whose main process is a shell script that runs two ffwardens at once: neither owns the
//! service's cgroup alone, and the shell itself sits where no process may be once controllers are enabled.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{hog, kernel, warden_path};

const SCRIPT: &str = r#"
"$BIN" -q -m 300M --report one.json run -- "$HOG" --touch 20M --hold 6s & first=$!
"$BIN" -q -m 400M --report two.json run -- "$HOG" --touch 20M --hold 6s --then exit:3 & second=$!
wait "$first"; one=$?
wait "$second"; two=$?
echo "$one $two" >codes
"#;

#[test]
fn two_at_once_in_one_delegated_service_each_have_their_own_limit() {
    let dir = tempfile::tempdir().unwrap();
    let tag = format!("two-{}.", std::process::id());
    let mut service = Command::new("systemd-run")
        .args([
            "--quiet",
            "--wait",
            "--pipe",
            "--collect",
            "-p",
            "Delegate=yes",
        ])
        .arg(format!("--working-directory={}", dir.path().display()))
        .arg(format!("--setenv=BIN={}", warden_path().display()))
        .arg(format!("--setenv=HOG={}", hog().display()))
        .arg(format!("--setenv=FFWARDEN_TEST_TAG={tag}"))
        .args(["bash", "-c", SCRIPT])
        .spawn()
        .unwrap();

    // Both limits must be seen in the tree at the same moment.
    let wanted = [(300_u64 << 20).to_string(), (400_u64 << 20).to_string()];
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut limits = Vec::new();
    while Instant::now() < deadline && limits != wanted && service.try_wait().unwrap().is_none() {
        limits = limits_of_the_hogs(&tag);
        thread::sleep(Duration::from_millis(50));
    }
    assert!(service.wait().unwrap().success());
    assert_eq!(limits, wanted);

    assert_eq!(
        fs::read_to_string(dir.path().join("codes")).unwrap(),
        "0 3\n"
    );
    for (report, code) in [("one.json", 0), ("two.json", 3)] {
        let attempt = only_attempt(&dir.path().join(report));
        assert_eq!(attempt["outcome"], "exited", "{attempt}");
        assert_eq!(attempt["exit_code"], code, "{attempt}");
    }
}

/// The memory limits of the cgroups that the hogs are in, sorted.
fn limits_of_the_hogs(tag: &str) -> Vec<String> {
    let mut limits: Vec<_> = kernel::tagged(tag)
        .into_iter()
        .filter(|p| p.comm == "hog")
        .filter_map(|p| fs::read_to_string(kernel::cgroup_of(p.pid)?.join("memory.max")).ok())
        .map(|limit| limit.trim_end().to_owned())
        .collect();
    limits.sort();
    limits
}

fn only_attempt(report: &Path) -> Value {
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    let attempts = report["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{report}");
    attempts[0].clone()
}
