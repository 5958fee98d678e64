//! Outcomes that are no errors: work left over, and TLB flushes left to the caller.

/// How much work an operation may still do before it must offer to be preempted.
///
/// One unit is one page-table entry or one frame. Tests set it to 1 and so visit every preemption point.
#[derive(Debug)]
pub struct Budget {
    left: u32,
}

impl Budget {
    /// A budget of `units` (at least 1, so that every slice makes progress).
    pub const fn new(units: u32) -> Self {
        Self {
            left: if units == 0 { 1 } else { units },
        }
    }

    /// As much as a hypercall should do before it looks for pending work: about 16 L1 tables.
    pub const fn hypercall() -> Self {
        Self::new(8192)
    }

    /// No limit: for the domain builder at boot.
    pub const fn unlimited() -> Self {
        Self::new(u32::MAX)
    }

    /// Takes `units` of work that was just done (saturating: work is never refused after the fact).
    pub(crate) fn spend(&mut self, units: u32) {
        if self.left != u32::MAX {
            self.left = self.left.saturating_sub(units);
        }
    }

    /// Whether nothing is left.
    pub fn is_exhausted(&self) -> bool {
        self.left == 0
    }
}

/// The result of an operation that may stop half-way.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress<T> {
    /// The operation is complete.
    Done(T),
    /// The budget ran out. Nothing the caller can see has changed; making the same call again carries on.
    Preempted,
}

/// A TLB flush which the caller owes before it next relies on the current address space or returns to the guest.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flush {
    /// Nothing to do beyond what the guest asked for.
    #[default]
    None,
    /// Flush the local CPU's non-global entries: an entry above L1 changed (invariant I35).
    Local,
}

impl Flush {
    /// The stronger of two.
    pub fn and(self, other: Self) -> Self {
        if self == Self::Local || other == Self::Local {
            Self::Local
        } else {
            Self::None
        }
    }
}
