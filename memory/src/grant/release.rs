//! The mapper's end: taking away the mappings of a domain that dies before it unmapped them.
//!
//! Keeps true: I48. The pins go, and the references of parts for devices; those of parts for the CPU stand in L1 entries
//! and go when these are demoted. So frames stay the granter's until the mapper's tables are gone.

use super::map::parts;
use super::{Granter, Mapper};
use crate::engine::Engine;
use crate::machine::MachineMemory;
use crate::seeded::Fault;
use xenocryst_abi::grant_table::map_flag as m;

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes one mapping of a dying domain away. `granter` is the one that [`Engine::next_grant_mapping`] named with the
    /// handle. The mapper's vCPUs have stopped for good. Nothing happens if there is no such mapping.
    pub fn release_grant_mapping(&self, mapper: &Mapper<'_>, granter: &Granter<'_>, handle: u32) {
        assert!(
            mapper.domain.is_dying(),
            "accounting error: the mappings of a living domain were released"
        );
        let mut state = self.lock_grants(&granter.table.state);
        let mut records = self.lock_grants(&mapper.track.state);
        let Some(record) = records
            .get(&self.machine, handle)
            .filter(|record| record.granter == granter.domain.id())
        else {
            return;
        };
        for part in parts(u32::from(record.flags)) {
            self.unpin_grant(&mut state, record.reference, &[part]);
        }
        if record.has(m::DEVICE_MAP) && !self.commits(Fault::GrantDeath) {
            self.let_go_of_frame(record.frame, record.is_writable());
        }
        records.put(&self.machine, handle);
    }
}
