//! Snapshots of machine memory, as a hypervisor's console log has them.
//!
//! What it keeps true: a snapshot is whole: one whose end is missing, or that has a gap, is an error.
//! Neighbours: [`xenocryst_memory::Run`] is a word of it; [`super::picture`] and [`super::page`] draw it.

use anyhow::{Context, Result, bail, ensure};
use xenocryst_memory::{Holder, Run};

/// What each line of a snapshot begins with, after the hypervisor's own prefix.
const LINE: &str = "frames: ";

/// All of machine memory at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What to call it.
    pub name: String,
    /// Every frame, in order, without gaps.
    pub runs: Vec<Run>,
}

impl Snapshot {
    /// How many frames it covers.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.runs
            .last()
            .map_or(0, |run| run.first.raw() + run.frames)
    }

    /// The domains in it, in order of their numbers, with how many frames each has.
    #[must_use]
    pub fn domains(&self) -> Vec<(u16, u64)> {
        let mut domains: Vec<(u16, u64)> = Vec::new();
        for run in &self.runs {
            if let Holder::Domain(id) = run.holder {
                match domains.iter_mut().find(|(known, _)| *known == id.0) {
                    Some((_, frames)) => *frames += run.frames,
                    None => domains.push((id.0, run.frames)),
                }
            }
        }
        domains.sort_unstable();
        domains
    }

    /// How many pieces of machine memory hold the domain's PFNs: within a piece both numbers go up together.
    #[must_use]
    pub fn pieces(&self, domain: u16) -> usize {
        let mut pieces = 0;
        let mut next = None;
        for run in self.of_domain(domain) {
            let pfn = run.pfn.map_or(0, |pfn| pfn.raw());
            let end = (run.first.raw() + run.frames, pfn.wrapping_add(run.frames));
            pieces += usize::from(next.replace(end) != Some((run.first.raw(), pfn)));
        }
        pieces
    }

    /// The runs of a domain's frames that have a PFN.
    pub fn of_domain(&self, domain: u16) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| {
            run.pfn.is_some() && matches!(run.holder, Holder::Domain(id) if id.0 == domain)
        })
    }
}

/// Every snapshot in a console log, in order.
///
/// # Errors
/// When one is damaged.
pub fn read(log: &str) -> Result<Vec<Snapshot>> {
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let mut open: Option<Vec<Run>> = None;
    for line in log.lines() {
        let Some((_, text)) = line
            .split_once(LINE)
            .filter(|(before, _)| before.starts_with("(XEN)"))
        else {
            continue;
        };
        match (text.trim(), &mut open) {
            ("begin", None) => open = Some(Vec::new()),
            ("begin", Some(_)) => bail!("a snapshot begins within another"),
            ("end", _) => {
                let runs = open.take().context("a snapshot ends that has not begun")?;
                ensure!(!runs.is_empty(), "a snapshot is empty");
                snapshots.push(Snapshot {
                    name: format!("snapshot {}", snapshots.len() + 1),
                    runs,
                });
            }
            (words, Some(runs)) => {
                for word in words.split(' ') {
                    let run = Run::parse(word)
                        .with_context(|| format!("{word:?} is no run of frames"))?;
                    let expected = runs.last().map_or(0, |last| last.first.raw() + last.frames);
                    ensure!(
                        run.first.raw() == expected,
                        "frames {expected:#x} to {:#x} are missing",
                        run.first.raw()
                    );
                    runs.push(run);
                }
            }
            (_, None) => bail!("a snapshot's beginning is missing"),
        }
    }
    ensure!(open.is_none(), "a snapshot's end is missing");
    Ok(snapshots)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small machine with two domains.
    pub const LOG: &str = "(XEN) Xenocryst\n(XEN) frames: begin\n(XEN) frames: 0+10:x:n0/1 10+8:.\ndom0 says something\n\
                           (XEN) frames: 18+8:d0:w1/2:0 20+10:d1:1!2/3:5 30+2:-\n(XEN) frames: end\n";

    #[test]
    fn runs_are_read_between_other_output() {
        let snapshots = read(LOG).expect("whole");
        let [snapshot] = snapshots.as_slice() else {
            panic!("one expected");
        };
        assert_eq!(snapshot.frames(), 0x32);
        assert_eq!(snapshot.domains(), [(0, 8), (1, 16)]);
        assert_eq!(snapshot.of_domain(1).count(), 1);
    }

    #[test]
    fn a_piece_goes_on_where_both_numbers_do() {
        let log = LOG.replace(
            "20+10:d1:1!2/3:5",
            "20+4:d1:w1/1:5 24+4:d1:n0/1:9 28+8:d1:n0/1:2",
        );
        let snapshots = read(&log).expect("whole");
        assert_eq!(snapshots[0].pieces(1), 2);
        assert_eq!(snapshots[0].of_domain(1).count(), 3);
    }

    #[test]
    fn a_damaged_snapshot_is_refused() {
        for (from, to) in [
            ("(XEN) frames: end\n", ""),
            ("10+8:. ", ""),
            ("10+8:.", "12+6:."),
            ("10+8:.", "10+8:?"),
            ("(XEN) frames: begin\n", ""),
        ] {
            let damaged = LOG.replace(from, to);
            let from_nothing = damaged == LOG;
            assert!(from_nothing || read(&damaged).is_err(), "{from:?}");
        }
    }
}
