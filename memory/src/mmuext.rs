//! stub
use crate::{
    Budget, DomainMemory, Engine, Level, MachineMemory, PageRef, Progress, Refusal, RootRef,
    WritableRef,
};
use xenocryst_abi::Mfn;

impl<M: MachineMemory> Engine<'_, M> {
    /// `MMUEXT_PIN_Ln_TABLE` on a frame of `domain`.
    pub fn pin_table(
        &self,
        _domain: &DomainMemory,
        _frame: Mfn,
        _level: Level,
        _budget: &mut Budget,
    ) -> Result<Progress<()>, Refusal> {
        todo!()
    }

    /// `MMUEXT_UNPIN_TABLE`. What is left to unwind when the budget runs out is done before the domain's next operation.
    pub fn unpin_table(
        &self,
        _domain: &DomainMemory,
        _frame: Mfn,
        _budget: &mut Budget,
    ) -> Result<Progress<()>, Refusal> {
        todo!()
    }

    /// Takes `frame` as a root for a vCPU of `domain` (`MMUEXT_NEW_BASEPTR`, `MMUEXT_NEW_USER_BASEPTR`, start of day).
    /// Load it, then give the old one back with [`Engine::put_root`].
    pub fn get_root(
        &self,
        _domain: &DomainMemory,
        _frame: Mfn,
        _budget: &mut Budget,
    ) -> Result<Progress<RootRef>, Refusal> {
        todo!()
    }

    /// Gives a root back that no CPU has loaded any more. Never fails; leftover work is done before the domain's next operation.
    pub fn put_root(&self, _domain: &DomainMemory, _root: RootRef, _budget: &mut Budget) {
        todo!()
    }

    /// Carries on an interrupted unwinding, if there is one. Every operation does this by itself when it must.
    pub fn finish_unwinding(&self, _domain: &DomainMemory, _budget: &mut Budget) -> Progress<()> {
        todo!()
    }

    /// `MMUEXT_CLEAR_PAGE` on a frame of `pages`.
    pub fn clear_page(&self, _pages: &DomainMemory, _frame: Mfn) -> Result<(), Refusal> {
        todo!()
    }

    /// `MMUEXT_COPY_PAGE` between frames of `pages`.
    pub fn copy_page(&self, _pages: &DomainMemory, _to: Mfn, _from: Mfn) -> Result<(), Refusal> {
        todo!()
    }

    /// Takes a general reference on a frame of `owner`.
    pub fn get_page(&self, _owner: &DomainMemory, _frame: Mfn) -> Result<PageRef, Refusal> {
        todo!()
    }

    /// Gives it back.
    pub fn put_page(&self, _held: PageRef) {
        todo!()
    }

    /// Takes a frame of `owner` for writing: it can be no table while this is held.
    pub fn get_writable_page(
        &self,
        _owner: &DomainMemory,
        _frame: Mfn,
    ) -> Result<WritableRef, Refusal> {
        todo!()
    }

    /// Gives it back.
    pub fn put_writable_page(&self, _held: WritableRef) {
        todo!()
    }
}
