//! The PV kernels of `guest/`: where they are once built.
//!
//! Neighbours: `cargo xtask` builds them; [`crate::differences`] and the boot tests start them.

use std::path::PathBuf;

use crate::workspace::Workspace;

/// A PV kernel of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PvGuest {
    /// Asks for everything about memory and prints the answers.
    Diff,
    /// Tries to break out.
    Hostile,
}

impl PvGuest {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Diff, Self::Hostile];

    /// What its program is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Diff => "pv-diff",
            Self::Hostile => "pv-hostile",
        }
    }

    /// Where it is left when it was built.
    #[must_use]
    pub fn file(self, workspace: &Workspace) -> PathBuf {
        workspace.guests().join(self.name())
    }
}
