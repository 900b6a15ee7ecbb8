//! The policies that are shipped carry the numbers of their documents.

use std::path::Path;

use super::tests::large_files;
use super::*;
use crate::config::policies::Policies;

const GIB: u64 = 1 << 30;

fn shipped(name: &str) -> Policy {
    let profiles = Profiles::load::<&Path>(&[]).unwrap();
    let policies = Policies::load::<&Path>(&[], &profiles).unwrap();
    policies.resolve(name, &profiles).unwrap()
}

fn used(percent: f64) -> Thresholds {
    Thresholds {
        used: Some(Size::Percent(percent)),
        ..Thresholds::default()
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn levels(policy: &Policy) -> Vec<(Level, Option<Size>)> {
    let stages = policy.stages.iter();
    stages
        .map(|stage| (stage.level, stage.enter.used))
        .collect()
}

fn percents(pairs: &[(Level, f64)]) -> Vec<(Level, Option<Size>)> {
    let first = [(Level::Normal, None)];
    let later = pairs
        .iter()
        .map(|(level, percent)| (*level, Some(Size::Percent(*percent))));
    first.into_iter().chain(later).collect()
}

#[test]
fn they_are_listed_in_the_order_of_their_documents() {
    let profiles = Profiles::load::<&Path>(&[]).unwrap();
    let policies = Policies::load::<&Path>(&[], &profiles).unwrap();
    let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "default",
            "concurrent-video",
            "chunked-audio",
            "workers",
            "circuit-breaker"
        ]
    );
    for policy in policies.iter() {
        assert!(policy.source.starts_with("# "), "{}", policy.name);
        assert!(!policy.summary.is_empty(), "{}", policy.name);
    }
}

#[test]
fn default_is_the_table_of_the_design() {
    let policy = shipped("default");
    assert_eq!(
        levels(&policy),
        percents(&[
            (Level::Moderate, 70.0),
            (Level::High, 80.0),
            (Level::Critical, 90.0)
        ])
    );
    let [normal, moderate, high, critical] = policy.stages.as_slice() else {
        panic!("{} levels", policy.stages.len())
    };
    let low = |profile: &str, rank| Ceiling::AtMost {
        profile: profile.into(),
        rank,
    };
    assert_eq!(
        *normal,
        Stage {
            level: Level::Normal,
            enter: Thresholds::default(),
            workers: Share::ALL,
            profile: Ceiling::Any,
            batch: Share::ALL,
            segment_percent: 100,
            relief: vec![],
            verify: false,
            stop: false,
            after_relief: None,
            say: Say::Info,
        }
    );
    assert_eq!(
        *moderate,
        Stage {
            level: Level::Moderate,
            enter: used(70.0),
            profile: Ceiling::Lower(1),
            relief: vec![ReliefKind::Reclaim],
            verify: true,
            ..normal.clone()
        }
    );
    assert_eq!(
        *high,
        Stage {
            level: Level::High,
            enter: Thresholds {
                full_avg10: Some(10.0),
                trigger: Some(Trigger {
                    full: true,
                    stall: Duration::from_millis(150),
                    window: secs(2),
                }),
                ..used(80.0)
            },
            workers: Share::Percent(50),
            profile: low("low", 20),
            batch: Share::Percent(50),
            segment_percent: 50,
            relief: vec![ReliefKind::Reclaim, ReliefKind::Signal],
            verify: true,
            stop: false,
            after_relief: None,
            say: Say::Warning,
        }
    );
    assert_eq!(
        *critical,
        Stage {
            level: Level::Critical,
            enter: used(90.0),
            workers: Share::Count(0),
            profile: low("minimal", 10),
            segment_percent: 40,
            relief: vec![ReliefKind::Reclaim, ReliefKind::Signal, ReliefKind::Freeze],
            stop: true,
            say: Say::Error,
            ..high.clone()
        }
    );
    // 300 s, halved at high, the 120 s of the document at critical.
    let length = |stage: &Stage| policy.segment.length * stage.segment_percent / 100;
    assert_eq!(
        (length(normal), length(high), length(critical)),
        (secs(300), secs(150), secs(120))
    );
    assert_eq!(policy.segment.minimum, secs(30));
    assert_eq!(policy.large_files, large_files());
    assert_eq!(
        (policy.margin, policy.hold, policy.grace, policy.poll),
        (5.0, secs(10), secs(2), secs(2))
    );
    assert_eq!(policy.reserves[0].share, Size::Percent(10.0));
    assert_eq!(
        (policy.workers, policy.memory_per_job),
        (BaseWorkers::Auto, None)
    );
}

#[test]
fn concurrent_video_is_the_table_and_the_budget_of_its_document() {
    let policy = shipped("concurrent-video");
    assert_eq!(
        levels(&policy),
        percents(&[
            (Level::Moderate, 65.0),
            (Level::High, 75.0),
            (Level::High, 85.0),
            (Level::Critical, 90.0)
        ])
    );
    let BaseWorkers::Count(base) = policy.workers else {
        panic!("{:?}", policy.workers)
    };
    let workers: Vec<u32> = policy
        .stages
        .iter()
        .map(|stage| stage.workers.of(base))
        .collect();
    assert_eq!(workers, [4, 3, 2, 1, 0]);

    // The printed figures: 19.2 and 10.2 GB, 15 as the code caps it, 83.6 GB usable, 11 videos.
    let total = 128 * GIB;
    let printed = |bytes: u64| format!("{:.1}", bytes as f64 / GIB as f64);
    let kept: Vec<(bool, String)> = policy
        .reserves
        .iter()
        .map(|reserve| {
            let share = reserve.share.resolve(total);
            let kept = share.min(reserve.at_most.unwrap_or(share));
            (reserve.for_others, printed(kept))
        })
        .collect();
    let expected = [(true, "19.2"), (true, "15.0"), (false, "10.2")];
    assert_eq!(
        kept,
        expected.map(|(others, text)| (others, text.to_owned()))
    );
    let usable = |total| crate::core::budget::for_all(&policy.reserves, total, 0);
    assert_eq!(printed(usable(total)), "83.6");
    let video = policy.memory_per_job.unwrap().resolve(total);
    assert_eq!((video, usable(total) / video), (7 * GIB, 11));
    // 65 % where nothing is capped, all but 8 % and 35 GB where both are.
    assert_eq!(printed(usable(100 * GIB)), "65.0");
    assert_eq!(printed(usable(1000 * GIB)), "885.0");
    // With 80 % used by others there is room for two.
    let others = total / 10 * 8;
    let heavy = crate::core::budget::for_all(&policy.reserves, total, others);
    assert_eq!(heavy / video, 2);

    let critical = &policy.stages[4];
    assert_eq!(critical.relief, [ReliefKind::Reclaim, ReliefKind::Signal]);
    assert!(critical.verify && !critical.stop);
    let even_above = Size::Percent(88.0);
    assert_eq!(
        critical.after_relief,
        Some(AfterRelief {
            workers: 1,
            even_above: Some(even_above)
        })
    );
    // No gap between where the emergency ends and where work goes on one by one in spite of it.
    assert_eq!(even_above, Size::Percent(90.0 - policy.margin));
}

#[test]
fn chunked_audio_has_the_tiers_of_its_document() {
    let policy = shipped("chunked-audio");
    assert_eq!(
        levels(&policy),
        percents(&[
            (Level::High, 70.0),
            (Level::High, 75.0),
            (Level::Critical, 85.0)
        ])
    );
    let parts: Vec<u32> = policy
        .stages
        .iter()
        .map(|stage| stage.segment_percent)
        .collect();
    assert_eq!(parts, [100, 100, 50, 50]);
    let workers: Vec<Share> = policy.stages.iter().map(|stage| stage.workers).collect();
    assert_eq!(
        workers,
        [Share::ALL, Share::ALL, Share::ALL, Share::Count(0)]
    );
    let says: Vec<Say> = policy.stages.iter().map(|stage| stage.say).collect();
    assert_eq!(says, [Say::Info, Say::Warning, Say::Warning, Say::Error]);
    let relief = [ReliefKind::Reclaim, ReliefKind::Signal];
    for stage in &policy.stages[1..] {
        assert_eq!(stage.relief, relief, "{:?}", stage.enter);
        assert!(!stage.stop);
    }
    let critical = &policy.stages[3];
    assert!(critical.verify);
    assert_eq!(
        critical.after_relief,
        Some(AfterRelief {
            workers: 1,
            even_above: Some(Size::Percent(85.0 - policy.margin))
        })
    );
    assert_eq!((policy.grace, policy.poll), (secs(1), secs(1)));
    assert_eq!(policy.report_every, Some(5));
    assert_eq!(policy.segment.minimum, secs(30));
}

#[test]
fn workers_counts_by_memory_and_warns_where_its_document_does() {
    let policy = shipped("workers");
    assert_eq!(
        levels(&policy),
        percents(&[(Level::High, 85.0), (Level::Critical, 95.0)])
    );
    assert_eq!(policy.workers, BaseWorkers::Auto);
    let per_worker = policy.memory_per_job.unwrap().resolve(GIB);
    assert_eq!(per_worker, 2 * GIB);
    // The status block: 8.2 GB available, 2.0 GB each, 8 at most, 4 optimal.
    let available = 82 * GIB / 10;
    let budget = crate::core::budget::for_all(&policy.reserves, 16 * GIB, 16 * GIB - available);
    assert_eq!(budget, available);
    let workers = crate::core::budget::workers(budget, per_worker, 8);
    assert_eq!((workers.by_memory, workers.optimal), (4, 4));

    let [normal, warning, critical] = policy.stages.as_slice() else {
        panic!("{} levels", policy.stages.len())
    };
    assert_eq!(
        *warning,
        Stage {
            level: Level::High,
            enter: used(85.0),
            say: Say::Warning,
            ..normal.clone()
        }
    );
    assert_eq!(critical.say, Say::Error);
    assert_eq!(critical.workers, Share::Count(0));
    assert!(critical.stop && critical.verify);
}

#[test]
fn circuit_breaker_counts_bytes_as_its_document_does() {
    let policy = shipped("circuit-breaker");
    let children = |bytes| Thresholds {
        children: Some(Size::Bytes(bytes)),
        ..Thresholds::default()
    };
    let enters: Vec<&Thresholds> = policy.stages.iter().map(|stage| &stage.enter).collect();
    assert_eq!(
        enters,
        [
            &Thresholds::default(),
            &children(GIB),
            &children(GIB * 3 / 2)
        ]
    );
    let batches: Vec<u32> = policy
        .stages
        .iter()
        .map(|stage| stage.batch.of(policy.batch.maximum))
        .collect();
    assert_eq!(batches, [5, 1, 0]);
    assert_eq!((policy.batch.maximum, policy.batch.minimum), (5, 1));
    let says: Vec<Say> = policy.stages.iter().map(|stage| stage.say).collect();
    assert_eq!(says, [Say::Info, Say::Warning, Say::Error]);
    assert_eq!(policy.stages[2].workers, Share::Count(0));
    assert_eq!(
        policy.breaker,
        BreakerRules {
            ends: 3,
            within: secs(60),
            opens_at: Some(Level::Critical),
            first: secs(5),
            longest: secs(300),
        }
    );
    assert_eq!(
        policy.backoff,
        Backoff {
            first: secs(2),
            longest: secs(60)
        }
    );
    assert_eq!(policy.report_every, Some(1));
    // "Cleanup: now 0.94GB" ends the warning of 1.12GB.
    let leave = GIB as f64 * (1.0 - policy.margin / 100.0);
    assert!(0.94 * GIB as f64 <= leave);
}
