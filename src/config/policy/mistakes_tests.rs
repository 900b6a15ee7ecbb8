//! Every mistake that a policy may hold, with its message in full.

use super::tests::{NORMAL, parse};

/// The mistake in a policy that has these lines before its levels.
fn general(lines: &str) -> String {
    parse(&format!("name: mine\n{lines}\n{NORMAL}"))
        .unwrap_err()
        .to_string()
}

/// The mistake in a policy that has these levels after normal, which is in line 3.
fn levels(lines: &str) -> String {
    parse(&format!("name: mine\n{NORMAL}\n{lines}\n"))
        .unwrap_err()
        .to_string()
}

#[test]
fn mistakes_in_the_general_part() {
    for (lines, message) in [
        ("hodl: 10s", "2:1: hodl: unknown key; did you mean `hold`?"),
        (
            "hold: soon",
            "2:7: hold: `soon` is no time; write a time from 100ms to 1h, such as 10s",
        ),
        (
            "hold: 2h",
            "2:7: hold: `2h` is too long; write a time from 100ms to 1h, such as 10s",
        ),
        (
            "grace: 0",
            "2:8: grace: `0` is no time; write a time from 100ms to 10m, such as 2s",
        ),
        (
            "poll: 1ms",
            "2:7: poll: `1ms` is too short; write a time from 50ms to 1m, such as 2s",
        ),
        (
            "margin: 60",
            "2:9: margin: `60` is out of range; write a number from 0% to 50%",
        ),
        (
            "margin: wide",
            "2:9: margin: `wide` is no number; write a number from 0% to 50%",
        ),
        (
            "cpu: 0%",
            "2:6: cpu: `0%` is out of range; write a number from 1% to 1000%",
        ),
        (
            "cpu: 99.5%",
            "2:6: cpu: `99.5%` is no whole number; write a number from 1% to 1000%",
        ),
        (
            "report_every: 0",
            "2:15: report_every: `0` is out of range; write a number from 1 to 4294967295",
        ),
        (
            "workers: none",
            "2:10: workers: `none` is no number of workers; write 1 to 10000, or `auto` for as many as memory and processors let",
        ),
        (
            "workers: 0",
            "2:10: workers: `0` is no number of workers; write 1 to 10000, or `auto` for as many as memory and processors let",
        ),
        (
            "memory_per_job: 2X",
            "2:17: memory_per_job: `2X` is no size: write a number with a unit, such as 512M, 1.5G, 2GiB or 50%",
        ),
        (
            "reserves:\n  - {name: a, share: 120%}",
            "3:22: share: `120%` is more than there is: a percentage goes up to 100%",
        ),
        (
            "reserves:\n  - {name: a, share: 60%}\n  - {name: b, share: 40%}",
            "4:22: share: the reserves are 100% together and leave nothing to children; all shares together are below 100%",
        ),
        (
            "reserves:\n  - {name: a, share: 10%, at_most: 5%}",
            "3:36: at_most: `5%` is no number of bytes; write a size such as 500M or 20G",
        ),
        (
            "reserves:\n  - {name: a, share: 10%, for: other}",
            "3:32: for: unknown word `other`; did you mean `others`?",
        ),
        (
            "reserves:\n  - {share: 10%}",
            "3:6: name: missing; add a line `name: ...`",
        ),
        (
            "relief: {signal: USR3}",
            "2:18: signal: `USR3` is no signal; did you mean `USR1`?",
        ),
        (
            "relief: {signal: wakeup}",
            "2:18: signal: `wakeup` is no signal; write a name such as USR1 or SIGUSR1, or a number from 1 to 64",
        ),
        (
            "relief: {signal: 65}",
            "2:18: signal: `65` is no signal; write a name such as USR1 or SIGUSR1, or a number from 1 to 64",
        ),
        (
            "relief: {signal: SIGKILL}",
            "2:18: signal: no process can answer `SIGKILL`; write one that it can catch, such as USR1",
        ),
        (
            "relief: {signal: STOP}",
            "2:18: signal: no process can answer `STOP`; write one that it can catch, such as USR1",
        ),
        (
            "relief: {command: []}",
            "2:19: command: names no program; write the program and its arguments as a list: [curl, -fsS, http://localhost:8080/unload]",
        ),
        (
            "relief: {helped: 0}",
            "2:18: helped: `0` is out of range; write a number from 1% to 100%",
        ),
        (
            "relief: {timeout: 1h}",
            "2:19: timeout: `1h` is too long; write a time from 100ms to 10m, such as 5s",
        ),
        (
            "relief: {freeze_at_most: 0.5}",
            "2:26: freeze_at_most: `0.5` is too short; write a time from 1s to 1h, such as 1m",
        ),
        (
            "breaker: {ends: -1}",
            "2:17: ends: `-1` is out of range; write a number from 0 to 10000",
        ),
        (
            "breaker: {first: 10m, longest: 5m}",
            "2:18: first: `10m` is above longest `5m`; write 5m at most",
        ),
        (
            "breaker: {opens_at: normal}",
            "2:21: opens_at: the breaker would never close; name a level that the policy has, other than normal",
        ),
        (
            "breaker: {opens_at: critical}",
            "2:21: opens_at: this policy has no level `critical`; name a level that the policy has, other than normal",
        ),
        (
            "breaker: {within: 2 days}",
            "2:19: within: `2 days` is too long; write a time from 1s to 1day, such as 1m",
        ),
        (
            "backoff: {first: 2m, longest: 1m}",
            "2:18: first: `2m` is above longest `1m`; write 1m at most",
        ),
        (
            "batch: {maximum: 4, minimum: 5}",
            "2:30: minimum: 5 is above the maximum 4; write 4 at most",
        ),
        (
            "batch: {minimum: 0}",
            "2:18: minimum: `0` is out of range; write a number from 1 to 10000",
        ),
        (
            "segment: {length: 20s, minimum: 30s}",
            "2:33: minimum: `30s` is above length `20s`; write 20s at most",
        ),
        (
            "large_files:\n  - {above: 50%, profile: low}",
            "3:13: above: `50%` is no number of bytes; write a size such as 500M or 20G",
        ),
        (
            "large_files:\n  - {above: 1G, profile: tiny}",
            "3:26: profile: there is no profile `tiny`; known are minimal, low, balanced, high",
        ),
        (
            "large_files:\n  - {above: 2G, profile: low}\n  - {above: 1G, profile: low}",
            "4:13: above: 1G is not above the 2G of the rule before; begin with the smallest size",
        ),
        (
            "large_files:\n  - {above: 1G, profile: low}\n  - {above: 2G, profile: high}",
            "4:26: profile: larger files would be allowed `high`, smaller ones only `low`; give larger files a profile that is no heavier",
        ),
    ] {
        assert_eq!(general(lines), format!("my.yaml:{message}"));
    }
}

#[test]
fn mistakes_in_levels() {
    for (lines, message) in [
        (
            "  - level: hihg\n    enter: {used: 80%}",
            "4:12: level: unknown word `hihg`; did you mean `high`?",
        ),
        (
            "  - level: high\n    enetr: {used: 80%}",
            "5:5: enetr: unknown key; did you mean `enter`?",
        ),
        (
            "  - level: high\n    enter: {usde: 80%}",
            "5:13: usde: unknown key; did you mean `used`?",
        ),
        (
            "  - level: high",
            "4:12: enter: nothing tells when this `high` is entered; add a line such as `enter: {used: 80%}`",
        ),
        (
            "  - level: high\n    enter: {}",
            "5:12: enter: there is no threshold; write one such as `enter: {used: 80%}`",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n  - level: moderate\n    enter: {used: 90%}",
            "6:12: level: `moderate` stands after `high`; the order is normal, moderate, high, critical; a level may stand there more than once",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n  - level: high\n    enter: {used: 80.0%}",
            "7:19: used: `80.0%` is not above the `80%` of a lighter level; the lightest level comes first, and each heavier one is entered later",
        ),
        (
            "  - level: high\n    enter: {children: 2G}\n  - level: critical\n    enter: {children: 1G}",
            "7:23: children: `1G` is not above the `2G` of a lighter level; the lightest level comes first, and each heavier one is entered later",
        ),
        (
            "  - level: high\n    enter: {some_avg10: 20}\n  - level: critical\n    enter: {some_avg10: 10}",
            "7:25: some_avg10: `10` is not above the `20` of a lighter level; the lightest level comes first, and each heavier one is entered later",
        ),
        (
            "  - level: high\n    enter: {full_avg10: 20}\n  - level: critical\n    enter: {full_avg10: 10}",
            "7:25: full_avg10: `10` is not above the `20` of a lighter level; the lightest level comes first, and each heavier one is entered later",
        ),
        (
            "  - level: high\n    enter: {slice: 95}\n  - level: critical\n    enter: {slice: 90%}",
            "7:20: slice: `90%` is not above the `95` of a lighter level; the lightest level comes first, and each heavier one is entered later",
        ),
        (
            "  - level: high\n    enter: {available: 1G}\n  - level: critical\n    enter: {available: 2G}",
            "7:24: available: `2G` is not below the `1G` of a lighter level; the lightest level comes first, and each heavier one is entered later",
        ),
        (
            "  - level: high\n    enter: {used: 5%}",
            "5:19: used: `5%` would never be left again: less the margin of 5 points nothing is left of it; write more than 5, or a smaller `margin`",
        ),
        (
            "  - level: high\n    enter: {available: 95%}",
            "5:24: available: `95%` would never be left again: with the margin of 5 points it is all there is; write less than 95%, or a smaller `margin`",
        ),
        (
            "  - level: high\n    enter: {used: 101%}",
            "5:19: used: `101%` is more than there is: a percentage goes up to 100%",
        ),
        (
            "  - level: high\n    enter: {slice: 0}",
            "5:20: slice: `0` is out of range; write a number from 0.1% to 100%",
        ),
        (
            "  - level: high\n    enter: {some_avg10: NaN}",
            "5:25: some_avg10: `NaN` is out of range; write a number from 0.1% to 100%",
        ),
        (
            "  - level: high\n    enter: {trigger: 150ms 2s}",
            "5:22: trigger: `150ms 2s` is no trigger; write some or full, the time stalled and the window: full 150ms 2s",
        ),
        (
            "  - level: high\n    enter: {trigger: all 150ms 2s}",
            "5:22: trigger: `all` is neither some nor full; some: any task waits for memory; full: all do",
        ),
        (
            "  - level: high\n    enter: {trigger: full many 2s}",
            "5:22: trigger: `many` is no time; write the time stalled and the window with units: full 150ms 2s",
        ),
        (
            "  - level: high\n    enter: {trigger: full 2s 2s}",
            "5:22: trigger: `2s` of stall never fits into a window of `2s`; write a shorter stall: full 150ms 2s",
        ),
        (
            "  - level: high\n    enter: {trigger: full 1s 12s}",
            "5:22: trigger: the window `12s` is out of range; write 500ms to 10s; without CAP_SYS_RESOURCE the kernel takes multiples of 2s only",
        ),
        (
            "  - level: high\n    enter: {trigger: full 10ms 400ms}",
            "5:22: trigger: the window `400ms` is out of range; write 500ms to 10s; without CAP_SYS_RESOURCE the kernel takes multiples of 2s only",
        ),
        (
            "    workers: 0",
            "4:14: workers: nothing would ever be started; write 1 or more at level normal, or leave it out",
        ),
        (
            "    workers: 0%",
            "4:14: workers: nothing would ever be started; write 1 or more at level normal, or leave it out",
        ),
        (
            "    workers: 150%",
            "4:14: workers: `150%` is no part of all; write a whole percentage from 0% to 100%, or a count",
        ),
        (
            "    workers: few",
            "4:14: workers: `few` is neither a percentage nor a count; write a part such as 50%, a count such as 2, or leave it out to keep what the level before has",
        ),
        (
            "    batch: 9",
            "4:12: batch: 9 is more than the 8 at level normal; write 0 to 8, or raise the number at level normal",
        ),
        (
            "    batch: 0",
            "4:12: batch: nothing is in a batch of 0, and yet work is started; write 1 or more, or `workers: 0` too",
        ),
        (
            "    segment: 0%",
            "4:14: segment: `0%` is out of range; write a number from 1% to 100%",
        ),
        (
            "    profile: lwo",
            "4:14: profile: there is no profile `lwo`; did you mean `low`?",
        ),
        (
            "    profile: {lower: 0}",
            "4:14: lower: `0` is no number of profiles; write 1 for the next lighter one, or leave `profile` out",
        ),
        (
            "    profile: {lwoer: 1}",
            "4:15: lwoer: unknown key; did you mean `lower`?",
        ),
        (
            "    enter: {used: 10%}",
            "4:12: enter: the first level is in force where no other is; leave it out",
        ),
        (
            "    relief: [reclaim]",
            "4:14: relief: the first level is never entered and leaves running work alone; move it to a level that has an `enter`",
        ),
        (
            "    stop: true",
            "4:11: stop: the first level is never entered and leaves running work alone; move it to a level that has an `enter`",
        ),
        (
            "    after_relief: {workers: 1}",
            "4:19: after_relief: the first level is never entered and leaves running work alone; move it to a level that has an `enter`",
        ),
        (
            "    say: loud",
            "4:10: say: unknown word `loud`; known here: info, warning, error",
        ),
        (
            "    workers: 50%\n  - level: high\n    enter: {used: 80%}\n    workers: 60%",
            "7:14: workers: `60%` is more than the 50% of the level before; write 50% at most, or leave it out to keep that",
        ),
        (
            "    workers: 2\n  - level: high\n    enter: {used: 80%}\n    workers: 3",
            "7:14: workers: `3` is more than the 2 of the level before; write 2 at most, or leave it out to keep that",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n    workers: 0\n  - level: critical\n    enter: {used: 90%}\n    workers: 10%",
            "9:14: workers: `10%` is more than the 0 of the level before; write 0 at most, or leave it out to keep that",
        ),
        (
            "    batch: 25%\n  - level: high\n    enter: {used: 80%}\n    batch: 3",
            "7:12: batch: `3` is more than the 25% of the level before; write 25% at most, or leave it out to keep that",
        ),
        (
            "    segment: 50%\n  - level: high\n    enter: {used: 80%}\n    segment: 60%",
            "7:14: segment: `60%` is more than the 50% of the level before; write 50% at most, or leave it out to keep that",
        ),
        (
            "    profile: low\n  - level: high\n    enter: {used: 80%}\n    profile: balanced",
            "7:14: profile: `balanced` is heavier than what the level before allows, `low`; write one that is no heavier, or leave it out to keep that",
        ),
        (
            "    profile: {lower: 2}\n  - level: high\n    enter: {used: 80%}\n    profile: {lower: 1}",
            "7:14: profile: a profile 1 lower is heavier than what the level before allows, a profile 2 lower; write one that is no heavier, or leave it out to keep that",
        ),
        (
            "    profile: low\n  - level: high\n    enter: {used: 80%}\n    profile: any",
            "7:14: profile: any profile is heavier than what the level before allows, `low`; write one that is no heavier, or leave it out to keep that",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n    relief: [reclaim, signal]",
            "6:23: relief: the policy does not say which signal; add `relief: {signal: USR1}` beside `levels`",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n    relief: [command]",
            "6:14: relief: the policy does not say which command; add `relief: {command: [curl, -fsS, http://...]}` beside `levels`",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n    relief: [reclaim, freeze, reclaim]",
            "6:31: relief: `reclaim` stands there twice; keep one of them",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n    relief: [reclam]",
            "6:14: relief: unknown word `reclam`; did you mean `reclaim`?",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n    verify: true",
            "6:13: verify: there is no relief here to look at; add a line such as `relief: [reclaim]`, or leave it out",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n    after_relief: {workers: 1}",
            "6:19: after_relief: there is no relief here; add a line such as `relief: [reclaim]`, or leave it out",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n    relief: [reclaim]\n    after_relief: {workers: 0}",
            "7:29: workers: `0` is out of range; write a number from 1 to 10000",
        ),
        (
            "  - level: high\n    enter: {used: 80%}\n    relief: [reclaim]\n    after_relief: {workers: 1, even_above: 88%}",
            "7:44: even_above: work is started at this level in any case; leave it out; it is for levels with `workers: 0`",
        ),
    ] {
        assert_eq!(levels(lines), format!("my.yaml:{message}"));
    }
}

#[test]
fn parts_are_of_what_the_policy_says() {
    let workers = |lines: &str| {
        let text = format!(
            "name: mine\nworkers: 4\nbatch: {{maximum: 6, minimum: 2}}\n{NORMAL}\n{lines}\n"
        );
        parse(&text).unwrap_err().to_string()
    };
    assert_eq!(
        workers("    workers: 6"),
        "my.yaml:6:14: workers: 6 is more than the 4 at level normal; write 0 to 4, or raise the number at level normal"
    );
    assert_eq!(
        workers("    workers: 25%\n  - level: high\n    enter: {used: 80%}\n    workers: 2"),
        "my.yaml:9:14: workers: `2` is more than the 25% of the level before; write 25% at most, or leave it out to keep that"
    );
    assert_eq!(
        workers("    batch: 1"),
        "my.yaml:6:12: batch: 1 is below the minimum 2; write 2 or more, or lower the minimum"
    );
}

#[test]
fn a_name_and_levels_are_needed() {
    for (text, message) in [
        (
            "name: mine\n",
            "my.yaml:1:1: levels: missing; add a line `levels: ...`",
        ),
        (
            "levels:\n  - level: normal\n",
            "my.yaml:1:1: name: missing; add a line `name: ...`",
        ),
        (
            "name: mine\nlevels: []\n",
            "my.yaml:2:9: levels: there is none; begin with `- level: normal`",
        ),
        (
            "name: a b\nlevels: []\n",
            "my.yaml:1:7: name: `a b` cannot name a policy; use letters, digits, `-` and `_`, and not `auto`",
        ),
        (
            "name: mine\nlevels:\n  - level: high\n    enter: {used: 80%}\n",
            "my.yaml:3:12: level: the first level is `high`; begin with `- level: normal`, which has no `enter`",
        ),
        (
            "name: mine\nlevels:\n  - level: normal\nname: mine\n",
            "my.yaml:4:1: name: written twice; keep one of them",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), message);
    }
    assert!(parse("").is_err());
    assert!(parse("- a\n").is_err());
}
