//! `--report FILE`: what a batch did, as JSON. It is written as the jobs end, so that it takes no memory, and gets its
//! name when all has ended.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::core::Final;
use crate::report::{Attempt, ContainmentReport, Output};

/// Attempts that are told of one job; of more the last ones.
pub const MOST_ATTEMPTS: usize = 64;

/// A job that has ended.
#[derive(Debug, Serialize)]
pub struct JobEntry<'a> {
    /// Its place among the inputs, from 1.
    pub sequence: u64,
    /// Its input.
    pub input: String,
    /// `done`, `failed`, or the core's word.
    pub end: Option<Final>,
    /// Its exit code, as the prefix would have had it.
    pub exit_code: i32,
    /// Why, when it is not done.
    pub reason: Option<&'a str>,
    /// Of all its attempts the most memory that could not have been reclaimed, bytes.
    pub peak_bytes: u64,
    /// Its attempts.
    pub attempts: &'a [Attempt],
    /// What it wrote.
    pub outputs: &'a [Output],
}

/// What stands at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// `success`, `failed`, or `interrupted`.
    pub status: &'static str,
    /// The command, with its placeholders.
    pub command: Vec<String>,
    /// The policy's name.
    pub policy: String,
    /// How children were contained.
    pub containment: ContainmentReport,
    /// Jobs done now.
    pub done: u64,
    /// Jobs that an earlier run of this batch had done.
    pub done_before: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// From start to end, seconds.
    pub wall_seconds: f64,
    /// Memory of the machine in use at the end, 2^30 bytes.
    pub memory_usage_gb: f64,
    /// The most that was in use, 2^30 bytes.
    pub peak_memory_gb: f64,
    /// Warnings and alerts on memory.
    pub memory_warnings: u64,
    /// Memory of the machine, 2^30 bytes.
    pub total_memory_gb: f64,
    /// The exit code of ffwarden, or 128 plus the signal it ended by.
    pub exit_code: i32,
}

/// A report that is being written.
#[derive(Debug)]
pub struct BatchReport {
    file: BufWriter<File>,
    partial: PathBuf,
    path: PathBuf,
    first: bool,
}

impl BatchReport {
    /// Begins it beside its final name; a device or pipe is written directly.
    ///
    /// # Errors
    /// What the file system said.
    pub fn begin(path: &Path) -> io::Result<BatchReport> {
        let special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        let partial = if special {
            path.to_owned()
        } else {
            let mut name = OsString::from(".");
            name.push(path.file_name().unwrap_or_default());
            name.push(format!(".ffwarden-{}", std::process::id()));
            path.with_file_name(name)
        };
        let mut file = BufWriter::new(File::create(&partial)?);
        file.write_all(b"{\n\"jobs\": [")?;
        Ok(BatchReport {
            file,
            partial,
            path: path.to_owned(),
            first: true,
        })
    }

    /// Adds a job.
    ///
    /// # Errors
    /// What the file system said.
    pub fn job(&mut self, entry: &JobEntry<'_>) -> io::Result<()> {
        let separator: &[u8] = if std::mem::take(&mut self.first) {
            b"\n"
        } else {
            b",\n"
        };
        self.file.write_all(separator)?;
        Ok(serde_json::to_writer(&mut self.file, entry)?)
    }

    /// Ends it and gives it its name.
    ///
    /// # Errors
    /// What the file system said.
    pub fn end(mut self, summary: &Summary) -> io::Result<()> {
        self.file.write_all(b"\n],\n")?;
        let text = serde_json::to_string_pretty(summary)?;
        // The summary's fields are the report's own.
        let fields = text.strip_prefix("{\n").unwrap_or(&text);
        self.file.write_all(fields.as_bytes())?;
        self.file.write_all(b"\n")?;
        self.file.flush()?;
        if self.partial != self.path {
            fs::rename(&self.partial, &self.path)?;
        }
        Ok(())
    }
}

impl Drop for BatchReport {
    /// What was not ended does not stay.
    fn drop(&mut self) {
        if self.partial != self.path {
            let _renamed = fs::remove_file(&self.partial);
        }
    }
}

/// JSON has no bytes: what is not UTF-8 is shown with replacement characters.
pub fn lossy(word: &OsString) -> String {
    String::from_utf8_lossy(word.as_bytes()).into_owned()
}

/// Bytes in the unit of the memory figures.
pub fn gigabytes(bytes: u64) -> f64 {
    let hundredths = bytes as f64 / (1_u64 << 30) as f64 * 100.0;
    hundredths.round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slice::Containment;

    #[test]
    fn it_is_one_json_object_however_many_jobs() {
        for jobs in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("report.json");
            let mut report = BatchReport::begin(&path).unwrap();
            for sequence in 1..=jobs {
                let entry = JobEntry {
                    sequence,
                    input: "a \"b\"".to_owned(),
                    end: Some(Final::Done),
                    exit_code: 0,
                    reason: None,
                    peak_bytes: 7,
                    attempts: &[],
                    outputs: &[],
                };
                report.job(&entry).unwrap();
            }
            assert!(!path.exists(), "not before it is whole");
            let containment = ContainmentReport {
                kind: Containment::Rlimit,
                why: "asked for".to_owned(),
            };
            let summary = Summary {
                status: "success",
                command: vec!["cmd".to_owned()],
                policy: "default".to_owned(),
                containment,
                done: jobs,
                done_before: 0,
                failed: 0,
                wall_seconds: 1.5,
                memory_usage_gb: gigabytes(1_288_490_189),
                peak_memory_gb: gigabytes(1_503_238_553),
                memory_warnings: 2,
                total_memory_gb: gigabytes(8 << 30),
                exit_code: 0,
            };
            report.end(&summary).unwrap();
            let text = fs::read(&path).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value["jobs"].as_array().unwrap().len() as u64, jobs);
            // As the circuit-breaker document has them.
            assert_eq!(value["status"], "success");
            assert_eq!(value["memory_usage_gb"], 1.2);
            assert_eq!(value["peak_memory_gb"], 1.4);
            assert_eq!(value["memory_warnings"], 2);
        }
    }
}
