//! The PV kernels of `guest/`: where they are once built.
//!
//! Neighbours: `cargo xtask` builds them; [`crate::differences`], the boot tests and the lab start them.

use std::path::PathBuf;

use crate::workspace::Workspace;

/// A PV kernel of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PvGuest {
    /// Asks for everything about memory and prints the answers.
    Diff,
    /// Tries to break out.
    Hostile,
    /// Has as much memory as it is asked to have.
    Balloon,
    /// Shares memory with others of its kind until it is killed.
    Churn,
}

impl PvGuest {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Diff, Self::Hostile, Self::Balloon, Self::Churn];

    /// What its program is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Diff => "pv-diff",
            Self::Hostile => "pv-hostile",
            Self::Balloon => "pv-balloon",
            Self::Churn => "pv-churn",
        }
    }

    /// What the first line that it prints begins with.
    #[must_use]
    pub fn first_line(self) -> String {
        self.line("begin")
    }

    /// The last line that it prints.
    #[must_use]
    pub fn last_line(self) -> String {
        self.line("end")
    }

    /// Those that end by themselves say so under their names.
    fn line(self, what: &str) -> String {
        format!("{}: {what}", self.name().trim_start_matches("pv-"))
    }

    /// Where it is left when it was built.
    #[must_use]
    pub fn file(self, workspace: &Workspace) -> PathBuf {
        workspace.guests().join(self.name())
    }
}
