//! What was tried, and what of it succeeded.

use core::fmt;

/// Kinds of operation that are counted, and what each is called on the console.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    Map,
    MapEntry,
    Unmap,
    Replace,
    CopyFrom,
    CopyTo,
    CopyAcross,
    Transfer,
    Accept,
    Flush,
    Version,
    Size,
    Table,
    Decrease,
    Populate,
    Increase,
    Exchange,
    M2p,
    Pin,
    Unpin,
}

const NAMES: [&str; 20] = [
    "map",
    "map-entry",
    "unmap",
    "replace",
    "copy-from",
    "copy-to",
    "copy-across",
    "transfer",
    "accept",
    "flush",
    "version",
    "size",
    "table",
    "decrease",
    "populate",
    "increase",
    "exchange",
    "m2p",
    "pin",
    "unpin",
];

/// Counts of one guest.
pub struct Tally {
    tried: [u64; NAMES.len()],
    done: [u64; NAMES.len()],
}

impl Tally {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            tried: [0; NAMES.len()],
            done: [0; NAMES.len()],
        }
    }

    /// Counts `done` successes of `tried` attempts.
    pub fn add(&mut self, kind: Kind, tried: u64, done: u64) {
        self.tried[kind as usize] += tried;
        self.done[kind as usize] += done;
    }

    /// Counts one attempt.
    pub fn one(&mut self, kind: Kind, done: bool) {
        self.add(kind, 1, u64::from(done));
    }
}

impl fmt::Display for Tally {
    /// `NAME=SUCCEEDED/TRIED` for each kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, tried), done) in NAMES.iter().zip(self.tried).zip(self.done) {
            write!(f, " {name}={done}/{tried}")?;
        }
        Ok(())
    }
}
