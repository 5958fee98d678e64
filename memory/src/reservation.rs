//! stub
use crate::{AddressLimit, DomainMemory, Engine, MachineMemory, Refusal};
use xenocryst_abi::{Mfn, Pfn};

/// An exchange under way: frames taken from the domain, and frames to be given for them.
#[must_use]
#[derive(Debug)]
pub struct Exchange {}

impl<M: MachineMemory> Engine<'_, M> {
    /// One extent of `XENMEM_populate_physmap` (with `pfn`: the M2P is set) or `XENMEM_increase_reservation` (without).
    /// The frames are zeroed.
    pub fn populate_extent(
        &self,
        _domain: &DomainMemory,
        _order: u8,
        _limit: AddressLimit,
        _pfn: Option<Pfn>,
    ) -> Result<Mfn, Refusal> {
        todo!()
    }

    /// One extent of `XENMEM_decrease_reservation`. Frames still mapped stay allocated until the last reference goes.
    pub fn decrease_extent(
        &self,
        _domain: &DomainMemory,
        _first: Mfn,
        _order: u8,
    ) -> Result<(), Refusal> {
        todo!()
    }

    /// Starts one chunk of `XENMEM_exchange`: sets `blocks` blocks of 2^`order` frames aside for the domain.
    pub fn begin_exchange(
        &self,
        _domain: &DomainMemory,
        _blocks: u64,
        _order: u8,
        _limit: AddressLimit,
    ) -> Result<Exchange, Refusal> {
        todo!()
    }

    /// Takes one extent from the domain. On refusal the exchange must be given to [`Engine::abandon_exchange`].
    pub fn exchange_in(
        &self,
        _domain: &DomainMemory,
        _exchange: &mut Exchange,
        _first: Mfn,
        _order: u8,
    ) -> Result<(), Refusal> {
        todo!()
    }

    /// Gives the domain the next block, known to it as `pfn` and on. `None` when all were given.
    pub fn exchange_out(
        &self,
        _domain: &DomainMemory,
        _exchange: &mut Exchange,
        _pfn: Pfn,
    ) -> Option<Mfn> {
        todo!()
    }

    /// Ends an exchange after the last [`Engine::exchange_out`]: frees what was taken.
    pub fn finish_exchange(&self, _domain: &DomainMemory, _exchange: Exchange) {
        todo!()
    }

    /// Ends an exchange before the first [`Engine::exchange_out`]: gives everything back.
    pub fn abandon_exchange(&self, _domain: &DomainMemory, _exchange: Exchange) {
        todo!()
    }

    /// Domain building: gives `domain` a block of 2^`order` frames without zeroing (builder fills them). No M2P set.
    pub fn allocate_domain_block(
        &self,
        _domain: &DomainMemory,
        _order: u8,
        _limit: AddressLimit,
    ) -> Result<Mfn, Refusal> {
        todo!()
    }

    /// Domain building: gives frames that the hypervisor holds (claimed or allocated, e.g. an initrd) to `domain`.
    pub fn assign_frames(
        &self,
        _domain: &DomainMemory,
        _first: Mfn,
        _count: u64,
    ) -> Result<(), Refusal> {
        todo!()
    }

    /// Makes a frame of the hypervisor (allocated or claimed) one that it shares with `domain` (shared info, grant frames):
    /// the domain may map it, writable or only readable, and can do nothing else with it. Not counted as its memory.
    pub fn share_with(&self, _domain: &DomainMemory, _frame: Mfn, _writable: bool) {
        todo!()
    }

    /// Takes a shared frame back, if nothing but the sharing holds it: it is the hypervisor's again. `false` if still mapped.
    pub fn unshare(&self, _domain: &DomainMemory, _frame: Mfn) -> bool {
        todo!()
    }
}
