//! When a level is entered, and when it is left.

use super::*;
use crate::config::policy::Level;
use crate::core::fixtures::{MIB, secs, stage};

fn measures() -> Measures {
    Measures {
        total_bytes: 1000 * MIB,
        available_bytes: 800 * MIB,
        budget_bytes: 500 * MIB,
        ..Measures::default()
    }
}

fn with(enter: Thresholds) -> Vec<Stage> {
    vec![
        stage(Level::Normal, 0.0),
        Stage {
            enter,
            ..stage(Level::High, 0.0)
        },
    ]
}

/// Whether measures enter a stage, and whether they would keep it with a margin of 5.
fn enters_and_keeps(enter: &Thresholds, measures: &Measures) -> (bool, bool) {
    let holds = |margin| met(enter, measures, margin).is_some();
    (holds(None), holds(Some(5.0)))
}

#[test]
fn every_measure_has_its_threshold_and_its_margin() {
    let used = |size| Thresholds {
        used: Some(size),
        ..Thresholds::default()
    };
    let children = |size| Thresholds {
        children: Some(size),
        ..Thresholds::default()
    };
    let available = |size| Thresholds {
        available: Some(size),
        ..Thresholds::default()
    };
    let at = |available: u64| Measures {
        available_bytes: available * MIB,
        ..measures()
    };
    let needing = |children: u64| Measures {
        children_bytes: children * MIB,
        ..measures()
    };
    for (enter, measures, expected) in [
        (used(Size::Percent(70.0)), at(300), (true, true)),
        (used(Size::Percent(70.0)), at(310), (false, true)),
        (used(Size::Percent(70.0)), at(351), (false, false)),
        (used(Size::Bytes(700 * MIB)), at(300), (true, true)),
        (used(Size::Bytes(700 * MIB)), at(330), (false, true)),
        (used(Size::Bytes(700 * MIB)), at(340), (false, false)),
        (children(Size::Percent(50.0)), needing(250), (true, true)),
        (children(Size::Percent(50.0)), needing(230), (false, true)),
        (children(Size::Bytes(100 * MIB)), needing(96), (false, true)),
        (
            children(Size::Bytes(100 * MIB)),
            needing(94),
            (false, false),
        ),
        (available(Size::Bytes(100 * MIB)), at(100), (true, true)),
        (available(Size::Bytes(100 * MIB)), at(104), (false, true)),
        (available(Size::Percent(10.0)), at(140), (false, true)),
        (available(Size::Percent(10.0)), at(160), (false, false)),
    ] {
        assert_eq!(
            enters_and_keeps(&enter, &measures),
            expected,
            "{enter:?} {measures:?}"
        );
    }
}

#[test]
fn lost_time_counts_only_where_it_is_known_and_a_low_threshold_can_be_left() {
    let enter = Thresholds {
        full_avg10: Some(4.0),
        ..Thresholds::default()
    };
    let lost = |full_percent| Measures {
        full_percent,
        ..measures()
    };
    assert_eq!(enters_and_keeps(&enter, &lost(None)), (false, false));
    assert_eq!(enters_and_keeps(&enter, &lost(Some(4.0))), (true, true));
    assert_eq!(enters_and_keeps(&enter, &lost(Some(3.0))), (false, true));
    assert_eq!(enters_and_keeps(&enter, &lost(Some(1.0))), (false, false));
    let slice = Thresholds {
        slice: Some(90.0),
        ..Thresholds::default()
    };
    let needs = |slice_percent| Measures {
        slice_percent,
        ..measures()
    };
    assert_eq!(enters_and_keeps(&slice, &needs(90.0)), (true, true));
    assert_eq!(enters_and_keeps(&slice, &needs(84.0)), (false, false));
}

#[test]
fn a_trigger_puts_its_stage_in_force_for_the_hold_time() {
    let trigger = Trigger {
        full: true,
        stall: secs(1),
        window: secs(2),
    };
    let stages = with(Thresholds {
        trigger: Some(trigger),
        ..Thresholds::default()
    });
    let mut levels = Levels::new(2, secs(10), 5.0);
    assert_eq!(
        levels.trigger(&stages, false, secs(0)),
        None,
        "some is not all"
    );
    assert!(levels.trigger(&stages, true, secs(0)).is_some());
    levels.measure(&stages, &measures(), secs(5));
    assert_eq!(
        levels.trigger(&stages, true, secs(6)),
        None,
        "it is in force already"
    );
    levels.measure(&stages, &measures(), secs(15));
    assert_eq!(levels.stage(), 1, "ten seconds after the last");
    levels.measure(&stages, &measures(), secs(16));
    assert_eq!(levels.stage(), 0);
}

#[test]
fn lost_time_does_not_lead_past_a_stage_that_memory_has_not_reached() {
    let trigger = Trigger {
        full: true,
        stall: secs(1),
        window: secs(2),
    };
    let lost = Thresholds {
        full_avg10: Some(10.0),
        trigger: Some(trigger),
        ..Thresholds::default()
    };
    let stages = vec![
        stage(Level::Normal, 0.0),
        stage(Level::Moderate, 70.0),
        Stage {
            enter: lost,
            ..stage(Level::High, 0.0)
        },
    ];
    let mut levels = Levels::new(3, secs(10), 5.0);
    let busy = Measures {
        full_percent: Some(90.0),
        ..measures()
    };
    levels.measure(&stages, &busy, secs(0));
    assert_eq!(levels.trigger(&stages, true, secs(0)), None);
    assert_eq!(levels.stage(), 0, "a busy disk, and 20 % in use");
    let full = Measures {
        available_bytes: 250 * MIB,
        ..busy
    };
    levels.measure(&stages, &full, secs(1));
    assert_eq!(levels.stage(), 2);
}

#[test]
fn headroom_is_to_the_next_stage_that_is_not_in_force() {
    let stages = vec![
        stage(Level::Normal, 0.0),
        stage(Level::High, 80.0),
        stage(Level::Critical, 90.0),
    ];
    let mut levels = Levels::new(3, secs(10), 5.0);
    assert_eq!(levels.headroom(&stages, &measures()), Some(600 * MIB));
    let high = Measures {
        available_bytes: 150 * MIB,
        ..measures()
    };
    levels.measure(&stages, &high, secs(0));
    assert_eq!(levels.headroom(&stages, &high), Some(50 * MIB));
    let full = Measures {
        available_bytes: 10 * MIB,
        ..measures()
    };
    levels.measure(&stages, &full, secs(0));
    assert_eq!(levels.headroom(&stages, &full), None);
}

#[test]
fn the_reason_names_the_measure_and_its_threshold() {
    let stages = with(Thresholds {
        used: Some(Size::Percent(80.0)),
        ..Thresholds::default()
    });
    let mut levels = Levels::new(2, secs(10), 5.0);
    let high = Measures {
        available_bytes: 100 * MIB,
        ..measures()
    };
    let why = levels.measure(&stages, &high, secs(0)).unwrap();
    assert_eq!(why, "in use 900 MiB (90.0 %), threshold 80%");
    levels.measure(&stages, &measures(), secs(1));
    let why = levels.measure(&stages, &measures(), secs(11)).unwrap();
    assert_eq!(why, "below its threshold for 10 s, 20.0 % in use");
}
