//! Refusals: why the engine did not do what was asked, as one value.
//!
//! Keeps true: a refusal leaves everything as it was. Built on cold paths only.
//! Neighbours: `rule.rs` holds the closed list of rules, `display.rs` the readable line.

mod display;
mod rule;
#[cfg(test)]
mod tests;

use crate::frame::{FrameInfo, Level};
pub use rule::{Consequence, Errno, Rule};
use xenocryst_abi::{DomId, Mfn};

/// What a refusal was about. Fields are `None` where the rule has nothing to say about them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The level of the table in question.
    pub level: Option<Level>,
    /// The table.
    pub table: Option<Mfn>,
    /// The entry's index in the table.
    pub slot: Option<u16>,
    /// The entry (or descriptor, or address) that was refused.
    pub value: Option<u64>,
    /// The frame that it names, or that the operation was about.
    pub frame: Option<Mfn>,
    /// That frame's state when it was refused.
    pub found: Option<FrameInfo>,
    /// The domain that should have owned the frame.
    pub wanted_owner: Option<DomId>,
    /// The type the frame should have had, or been free to take.
    pub wanted_type: Option<crate::frame::FrameType>,
}

/// A request that was refused: the rule, and what it was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The rule.
    pub rule: Rule,
    /// What it was about.
    pub context: Context,
}

impl Refusal {
    /// What Xen's ABI tells the guest.
    pub const fn errno(&self) -> Errno {
        self.rule.errno()
    }

    /// What must happen to the domain.
    pub const fn consequence(&self) -> Consequence {
        self.rule.consequence()
    }
}

impl Rule {
    /// A refusal by this rule, with nothing said about what it was.
    #[cold]
    pub(crate) fn refuse(self) -> Refusal {
        Refusal {
            rule: self,
            context: Context::default(),
        }
    }
}

impl Refusal {
    pub(crate) fn entry(mut self, level: Level, table: Mfn, slot: usize, value: u64) -> Self {
        if self.context.level.is_none() {
            self.context.level = Some(level);
            self.context.table = Some(table);
            self.context.slot = Some(slot as u16);
            self.context.value = Some(value);
        }
        self
    }
    pub(crate) fn value(mut self, value: u64) -> Self {
        self.context.value = Some(value);
        self
    }
    pub(crate) fn frame(mut self, frame: Mfn, found: Option<FrameInfo>) -> Self {
        self.context.frame = Some(frame);
        self.context.found = found;
        self
    }
    pub(crate) fn wanted_owner(mut self, owner: DomId) -> Self {
        self.context.wanted_owner = Some(owner);
        self
    }
    pub(crate) fn wanted_type(mut self, t: crate::frame::FrameType) -> Self {
        self.context.wanted_type = Some(t);
        self
    }
}
