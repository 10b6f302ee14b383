//! The ledger that the fixture workers keep: one line for every job that they had.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The job's id.
    pub id: String,
    /// What the worker did: `ack`, `fail`, `error`, `nack`, `requeue` or `crash`.
    pub what: String,
    /// 1 for a job that comes the first time, more after a requeue.
    pub attempt: u32,
    /// The worker's process id.
    pub worker: i32,
    /// The pipeline that the job came by.
    pub pipeline: String,
    /// SHA-256 of the payload, in hexadecimal.
    pub payload: String,
}

/// A ledger file. Workers append to it (the path is their environment's `LEDGER`), the test reads.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    /// An empty ledger in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("ledger") }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All lines so far, in order. A line that is not finished yet is left out.
    ///
    /// # Panics
    /// When a line is not a ledger's.
    pub fn entries(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(entry).collect()
    }

    /// How often each job was acknowledged.
    pub fn acknowledged(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.entries().into_iter().filter(|entry| entry.what == "ack") {
            *counts.entry(entry.id).or_default() += 1;
        }
        counts
    }

    /// What happened to one job, in order.
    pub fn of(&self, id: &str) -> Vec<Entry> {
        self.entries().into_iter().filter(|entry| entry.id == id).collect()
    }

    /// `Ok` once `jobs` different jobs were acknowledged, else a text with the count; for [`eventually`](crate::eventually).
    pub fn has_acknowledged(&self, jobs: usize) -> Result<BTreeMap<String, usize>, String> {
        let counts = self.acknowledged();
        if counts.len() >= jobs {
            Ok(counts)
        } else {
            Err(format!("{} of {jobs} jobs acknowledged", counts.len()))
        }
    }
}

fn entry(line: &str) -> Entry {
    let fields: Vec<&str> = line.split('\t').collect();
    let [id, what, attempt, worker, pipeline, payload] = fields[..] else {
        panic!("not a ledger's line: {line:?}")
    };
    Entry {
        id: id.into(),
        what: what.into(),
        attempt: attempt.parse().expect("the attempt is a number"),
        worker: worker.parse().expect("the worker is a process id"),
        pipeline: pipeline.into(),
        payload: payload.into(),
    }
}
