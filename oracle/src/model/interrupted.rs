//! Operations that stopped half-way. Where one stops depends on its budget, which the rules do not speak of: that it may
//! stop anywhere, and that whatever is left is a legal state, they do. So the places are taken from the engine, and what
//! must follow from them is worked out here.

use super::bits::target;
use super::state::{Model, Owner, Role};

/// Where an interrupted operation left a table: the frame, its level, and the slot below which entries hold references.
pub type Place = (usize, u8, u16);

/// Tables of one domain that stand half-way, and which of them is to be unwound before anything else.
#[derive(Clone, Debug, Default)]
pub struct Interrupted {
    /// The tables.
    pub places: Vec<Place>,
    /// The outermost of those to be unwound.
    pub doomed: Option<usize>,
}

impl Interrupted {
    fn has(&self, frame: usize) -> bool {
        self.places.iter().any(|&(other, ..)| other == frame)
    }
}

impl Model {
    /// After an operation that was done or refused, with a budget that ran out afterwards: this is left to unwind.
    /// Returns why it cannot be.
    pub fn leave(&mut self, dom: usize, left: &Interrupted) -> Result<(), String> {
        self.unwind_all_but(dom, left);
        for &place in &left.places {
            if !self.stands(place) {
                self.put(dom, place, true)?;
            }
        }
        self.doom(dom, left)
    }

    /// After an operation that was preempted: tables stand half-way, and only those that were being unwound may have
    /// gone.
    pub fn preempt(&mut self, dom: usize, left: &Interrupted) -> Result<(), String> {
        // What was to be unwound comes first, whole; only then is anything new begun.
        if self.unwind_all_but(dom, left) {
            self.collect();
        }
        self.stop(dom, left)
    }

    /// After a slice of a teardown that came as far as frame `reached`, which may have lost its pin.
    pub fn preempt_teardown(
        &mut self,
        dom: usize,
        reached: u64,
        unpinned: bool,
        left: &Interrupted,
    ) -> Result<(), String> {
        self.unwind_all_but(dom, left);
        self.tear_down(dom, reached, unpinned);
        self.stop(dom, left)
    }

    fn stop(&mut self, dom: usize, left: &Interrupted) -> Result<(), String> {
        let unwound = self.doomed_chain(dom, left.doomed);
        for &place in &left.places {
            if !self.stands(place) {
                self.put(dom, place, false)?;
            }
        }
        for frame in 0..self.frames.len() {
            let partial = matches!(self.frames[frame].role, Role::Partial(..));
            if partial && self.frames[frame].owner == Owner::Domain(dom) && !left.has(frame) {
                if !unwound.contains(&frame) {
                    return Err(format!("frame {frame:#x} should be half a table still"));
                }
                self.frames[frame].role = Role::Idle;
            }
        }
        self.doom(dom, left)
    }

    /// What was to be unwound before this operation is, but for what is left of it. Whether that was anything.
    fn unwind_all_but(&mut self, dom: usize, left: &Interrupted) -> bool {
        let mut changed = false;
        let finished = left.doomed != self.domains[dom].doomed;
        for frame in self.doomed_chain(dom, self.domains[dom].doomed) {
            if finished || !left.has(frame) {
                self.frames[frame].role = Role::Idle;
                changed = true;
            }
        }
        changed
    }

    fn doom(&mut self, dom: usize, left: &Interrupted) -> Result<(), String> {
        self.domains[dom].doomed = left.doomed;
        self.collect();
        match left.doomed {
            Some(frame) if !left.has(frame) => Err(format!(
                "frame {frame:#x} is to be unwound, but is not half a table"
            )),
            _ => Ok(()),
        }
    }

    /// A table that is to be unwound, and those that go with it, each at the cursor of the one before.
    fn doomed_chain(&self, dom: usize, doomed: Option<usize>) -> Vec<usize> {
        let mut chain: Vec<usize> = doomed.into_iter().collect();
        while let Some(&last) = chain.last()
            && let Role::Partial(_, cursor) = self.frames[last].role
            && let Some(next) = self.owned(dom, target(self.frames[last].words.get(cursor)))
            && matches!(self.frames[next].role, Role::Partial(..))
            && !chain.contains(&next)
        {
            chain.push(next);
        }
        chain
    }

    fn stands(&self, (frame, level, cursor): Place) -> bool {
        self.frames[frame].role == Role::Partial(level, cursor)
    }

    fn put(
        &mut self,
        dom: usize,
        (frame, level, cursor): Place,
        unwinding: bool,
    ) -> Result<(), String> {
        if self.frames[frame].owner != Owner::Domain(dom) {
            return Err(format!(
                "frame {frame:#x} is half a table, but not domain {dom}'s"
            ));
        }
        let known = match self.frames[frame].role {
            Role::Idle => 0,
            Role::Partial(l, from) if l == level => from,
            Role::Table(l) if l == level => 512,
            role => {
                return Err(format!(
                    "frame {frame:#x} is half a table, and should be {role:?}"
                ));
            }
        };
        if cursor > 512 || (unwinding && cursor > known && known != 0) {
            return Err(format!(
                "the unwinding of frame {frame:#x} went forward to {cursor}"
            ));
        }
        if cursor > known {
            // Entries seen before the check for L1TF was switched on are not looked at again.
            let checked = std::mem::replace(&mut self.domains[dom].l1tf, false);
            let result = self.promote_entries(dom, frame, level, known, cursor);
            self.domains[dom].l1tf = checked;
            result.map_err(|no| {
                format!(
                    "table {frame:#x} stands at {cursor}, past an illegal entry: {}",
                    no.code
                )
            })?;
        }
        self.frames[frame].role = Role::Partial(level, cursor);
        Ok(())
    }
}
