//! What the guest said, and where two of these differ.
//!
//! What it keeps true: lines of the hypervisors' own are left out; everything else counts.

use std::fmt;

use crate::pv_guest::PvGuest;

/// What the hypervisors' own lines begin with.
const HYPERVISORS: &str = "(XEN) ";
/// Lines that are quoted before a difference.
const CONTEXT: usize = 4;

/// What the guest said on one hypervisor.
#[derive(Debug)]
pub struct Transcript {
    lines: Vec<String>,
}

/// Where transcripts differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the digest of a block.
    Block(u64),
    /// In a line that begins so: up to its first colon, or the whole.
    Line(String),
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// The lines before, which are the same.
    pub before: Vec<String>,
    /// What was said on Xen.
    pub xen: String,
    /// What was said on Xenocryst.
    pub ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.before {
            writeln!(f, "            {line}")?;
        }
        writeln!(f, "       Xen: {}", self.xen)?;
        writeln!(f, " Xenocryst: {}", self.ours)
    }
}

impl Transcript {
    /// Takes the guest's lines out of all that was `said`; `error` says why the machine did not come to the end.
    pub fn new(guest: PvGuest, said: &str, error: Option<anyhow::Error>) -> Self {
        let (begin, end) = (guest.first_line(), guest.last_line());
        let mut lines: Vec<String> = said
            .lines()
            .skip_while(|line| !line.starts_with(&begin))
            .filter(|line| !line.starts_with(HYPERVISORS))
            .take_while(|line| *line != end)
            .map(str::to_owned)
            .collect();
        if let Some(error) = error {
            let reason = format!("{error:#}");
            let reason = reason.lines().next().unwrap_or_default();
            lines.push(format!("(no end: {reason})"));
        }
        Self { lines }
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// Where they differ, line by line.
pub fn differences(xen: &Transcript, ours: &Transcript) -> Vec<Difference> {
    const NOTHING: &str = "(nothing)";
    let length = xen.lines.len().max(ours.lines.len());
    let line =
        |of: &Transcript, n: usize| of.lines.get(n).map_or(NOTHING, String::as_str).to_owned();
    let mut found = Vec::new();
    for n in 0..length {
        let (xen_line, our_line) = (line(xen, n), line(ours, n));
        if xen_line == our_line {
            continue;
        }
        let said = if xen_line == NOTHING {
            &our_line
        } else {
            &xen_line
        };
        found.push(Difference {
            place: place(said),
            before: xen.lines
                [n.saturating_sub(CONTEXT).min(xen.lines.len())..n.min(xen.lines.len())]
                .to_vec(),
            xen: xen_line.clone(),
            ours: our_line.clone(),
        });
        // What comes after the end of one is not worth a word for each line.
        if xen_line == NOTHING
            || our_line == NOTHING
            || xen_line.starts_with('(')
            || our_line.starts_with('(')
        {
            break;
        }
    }
    found
}

/// The lines of both: once where they are the same, one above the other where they are not.
pub fn beside(xen: &Transcript, ours: &Transcript) -> String {
    let mut text = String::new();
    for n in 0..xen.lines.len().max(ours.lines.len()) {
        match (xen.lines.get(n), ours.lines.get(n)) {
            (Some(xen), Some(ours)) if xen == ours => {
                text.push_str(&format!("            {xen}\n"))
            }
            (xen, ours) => {
                for (who, line) in [("       Xen", xen), (" Xenocryst", ours)] {
                    if let Some(line) = line {
                        text.push_str(&format!("{who}: {line}\n"));
                    }
                }
            }
        }
    }
    text
}

/// Where a line belongs.
fn place(line: &str) -> Place {
    let block = line
        .strip_prefix("block ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    match block {
        Some(block) => Place::Block(block),
        None => Place::Line(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &str = "(XEN) hello\nnoise\ndiff: begin, 1 frames\nscript a: 1\n";

    #[test]
    fn the_hypervisors_own_lines_do_not_count() {
        let xen = Transcript::new(
            PvGuest::Diff,
            &format!("{COMMON}(XEN) x\nblock 0 1\ndiff: end\n(XEN) y"),
            None,
        );
        let ours = Transcript::new(
            PvGuest::Diff,
            &format!("{COMMON}block 0 1\n(XEN) z\ndiff: end\n"),
            None,
        );
        assert_eq!(differences(&xen, &ours), []);
        assert_eq!(xen.lines().len(), 3);
    }

    #[test]
    fn a_block_whose_digest_differs_is_found_by_its_number() {
        let xen = Transcript::new(
            PvGuest::Diff,
            &format!("{COMMON}block 7 aa\nblock 8 bb\ndiff: end\n"),
            None,
        );
        let ours = Transcript::new(
            PvGuest::Diff,
            &format!("{COMMON}block 7 ab\nblock 8 bb\ndiff: end\n"),
            None,
        );
        let found = differences(&xen, &ours);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, Place::Block(7));
        assert_eq!(
            found[0].before.last().map(String::as_str),
            Some("script a: 1")
        );
    }

    #[test]
    fn a_machine_that_does_not_come_to_the_end_is_a_difference() {
        let xen = Transcript::new(
            PvGuest::Diff,
            &format!("{COMMON}block 7 aa\nblock 8 bb\ndiff: end\n"),
            None,
        );
        let ours = Transcript::new(
            PvGuest::Diff,
            COMMON,
            Some(anyhow::anyhow!("not within 1 s")),
        );
        let found = differences(&xen, &ours);
        assert_eq!(found.len(), 1);
        assert!(found[0].ours.contains("not within 1 s"));
    }
}
