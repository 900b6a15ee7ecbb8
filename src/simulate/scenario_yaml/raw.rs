//! A scenario as it is written, key by key. `docs/simulate.md` says what each means.

use serde::Deserialize;
use serde_yaml::Spanned;

use super::super::scenario::{FaultKind, ReliefResult};
use crate::config::policy::Level;

/// A text with its place.
pub(super) type Word = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScenario {
    pub name: String,
    #[serde(default)]
    pub summary: String,
    #[serde(default)]
    pub seed: u64,
    pub machine: RawMachine,
    pub policy: Word,
    pub workers: Option<Spanned<u32>>,
    pub memory: Option<Word>,
    #[serde(default)]
    pub background: Vec<RawBackground>,
    #[serde(default)]
    pub stalls: Vec<RawStall>,
    #[serde(default)]
    pub lost_samples: Vec<RawLost>,
    #[serde(default)]
    pub relief: RawReliefs,
    pub jobs: Spanned<Vec<RawGroup>>,
    pub until: Option<Word>,
    #[serde(default)]
    pub expect: RawExpect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMachine {
    pub memory: Word,
    pub cpus: Spanned<u32>,
    pub swap: Option<Word>,
    pub floor: Option<Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackground {
    pub at: Word,
    pub used: Word,
    #[serde(default)]
    pub ramp: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStall {
    pub at: Word,
    #[serde(default)]
    pub some: Option<Spanned<f64>>,
    #[serde(default)]
    pub full: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLost {
    pub from: Word,
    pub until: Word,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReliefs {
    #[serde(default)]
    pub reclaim: RawRelief,
    #[serde(default)]
    pub signal: RawRelief,
    #[serde(default)]
    pub command: RawRelief,
    #[serde(default)]
    pub freeze: RawRelief,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRelief {
    pub takes: Option<Word>,
    #[serde(default)]
    pub result: ReliefResult,
    pub gives: Option<Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGroup {
    pub name: Option<String>,
    pub count: Option<Spanned<u64>>,
    pub at: Option<Word>,
    pub every: Option<Word>,
    #[serde(default)]
    pub priority: i32,
    pub rungs: Spanned<Vec<RawRung>>,
    pub retries: Option<u32>,
    pub repeatable: Option<bool>,
    pub input: Option<Word>,
    pub expected: Option<Word>,
    pub limit: Option<Word>,
    pub spread: Option<Word>,
    pub liars: Option<RawLiars>,
    pub ramp: Option<Word>,
    pub spike: Option<RawSpike>,
    pub leak: Option<Word>,
    pub cache: Option<Word>,
    pub gives: Option<Word>,
    pub batch: Option<RawBatch>,
    pub per_segment_second: Option<Word>,
    pub stops_in: Option<Word>,
    pub fault: Option<RawFault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRung {
    #[serde(default)]
    pub rank: u32,
    pub estimate: Option<Word>,
    pub peak: Word,
    pub duration: Word,
    pub cpus: Option<Spanned<f64>>,
    pub ceiling: Option<Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLiars {
    pub share: Option<Word>,
    pub factor: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSpike {
    pub at: Word,
    pub lasts: Word,
    pub base: Word,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBatch {
    pub maximum: Spanned<u32>,
    pub minimum: Option<u32>,
    pub per_item: Option<Word>,
    #[serde(default)]
    pub items: u64,
    #[serde(default)]
    pub told: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFault {
    pub kind: FaultKind,
    pub at: Option<Word>,
    pub every: Option<Spanned<u64>>,
    pub attempts: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    #[serde(default)]
    pub rows: Vec<RawRow>,
    pub end: Option<Spanned<RawEnd>>,
    #[serde(default)]
    pub decisions: Vec<RawSaid>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRow {
    pub at: Word,
    pub used: Option<Word>,
    pub level: Option<Level>,
    pub stage: Option<Word>,
    pub running: Option<Word>,
    pub frozen: Option<Word>,
    pub queued: Option<Word>,
    pub starts: Option<Word>,
    pub batch: Option<Word>,
    pub segment: Option<Word>,
    pub rank: Option<Word>,
    pub budget: Option<Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEnd {
    pub done: Option<Word>,
    pub failed: Option<Word>,
    pub out_of_memory: Option<Word>,
    pub unfinished: Option<Word>,
    pub attempts: Option<Word>,
    pub ooms: Option<Word>,
    pub stops: Option<Word>,
    pub most_running: Option<Word>,
    pub longest_wait: Option<Word>,
    pub makespan: Option<Word>,
    pub peak_used: Option<Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSaid {
    pub has: Word,
    pub from: Option<Word>,
    pub until: Option<Word>,
    pub times: Option<Word>,
}
