//! Requests about grants: what the hypervisor's `grant_table_op` does with each element.

use xenocryst_abi::{DomId, Mfn};
use xenocryst_memory::Refusal;
use xenocryst_memory::grant::inspect::{self, GrantFrames, GrantInUse, MappedGrant};
use xenocryst_memory::grant::{CopyEnd, GrantCopy, GrantMap, GrantUnmap, Granter, Mapper};

use super::{RootRef, Subject, answer, no};
use crate::answer::Answer;
use crate::layout::DOMAINS;
use crate::request::Request;

impl Subject<'_> {
    fn granter(&self, dom: usize) -> Granter<'_> {
        let d = &self.domains[dom];
        Granter {
            domain: &d.memory,
            table: &d.table,
        }
    }

    fn granter_by_id(&self, id: DomId) -> Granter<'_> {
        self.granter(usize::from(id.0))
    }

    fn mapper(&self, dom: u64, vcpu: u64) -> Mapper<'_> {
        let d = &self.domains[dom as usize];
        let root = d.roots[vcpu as usize][0].as_ref();
        Mapper {
            domain: &d.memory,
            track: &d.track,
            // No table of anybody's: a vCPU that runs has a root.
            root: root.map_or(Mfn::new(0), RootRef::mfn),
        }
    }

    pub(super) fn perform_on_grants(&mut self, request: &Request) -> Answer {
        match *request {
            Request::GrantSetup { dom, frames } => answer(
                self.engine
                    .grow_grant_table(&self.granter(dom as usize), frames as u32),
            ),
            Request::GrantVersion { dom, version } => answer(
                self.engine
                    .set_grant_version(&self.granter(dom as usize), version as u32),
            ),
            Request::GrantSwap {
                dom,
                reference,
                other,
            } => {
                let table = &self.domains[dom as usize].table;
                answer(
                    self.engine
                        .swap_grants(table, reference as u32, other as u32),
                )
            }
            Request::GrantMap {
                dom,
                vcpu,
                granter,
                reference,
                flags,
                host,
            } => {
                let wanted = GrantMap {
                    host_addr: host,
                    flags: flags as u32,
                    reference: reference as u32,
                };
                let granter = self.granter(granter as usize);
                match self
                    .engine
                    .map_grant(&self.mapper(dom, vcpu), &granter, &wanted)
                {
                    Ok(mapping) => Answer::Mapped {
                        handle: u64::from(mapping.handle),
                        frame: mapping.bus_address >> 12,
                    },
                    Err(refusal) => no(&refusal),
                }
            }
            Request::GrantUnmap { .. } => answer(self.unmap(request)),
            Request::GrantRelease { dom } => self.release_unmapped(dom as usize),
            _ => self.perform_moving(request),
        }
    }

    fn unmap(&mut self, request: &Request) -> Result<(), Refusal> {
        let Request::GrantUnmap {
            dom,
            vcpu,
            handle,
            host,
            bus,
            new,
        } = *request
        else {
            return Ok(());
        };
        let wanted = GrantUnmap {
            handle: handle as u32,
            host_addr: host,
            bus_address: bus,
            new_addr: (new != 0).then_some(new),
        };
        let mut batch = std::mem::take(&mut self.domains[dom as usize].batch);
        let mapper = self.mapper(dom, vcpu);
        let result = self
            .engine
            .granter_of(mapper.track, wanted.handle)
            .and_then(|id| {
                let granter = self.granter_by_id(id);
                self.engine
                    .unmap_grant(&mapper, &granter, &wanted, &mut batch)
            });
        self.domains[dom as usize].batch = batch;
        result
    }

    /// Ends the batch of unmappings that a domain has under way.
    pub(super) fn release_unmapped(&mut self, dom: usize) -> Answer {
        let batch = std::mem::take(&mut self.domains[dom].batch);
        for flushed in self.engine.flush_unmapped(&self.domains[dom].memory, batch) {
            let granter = self.granter_by_id(flushed.granter());
            self.engine.release_unmapped(&granter, flushed);
        }
        Answer::Done
    }

    fn copy_end(&self, granter: u64, which: u64) -> CopyEnd<'_> {
        if granter as usize == DOMAINS {
            CopyEnd::Own(Mfn::new(which))
        } else {
            CopyEnd::Grant(self.granter(granter as usize), which as u32)
        }
    }

    fn perform_moving(&mut self, request: &Request) -> Answer {
        match *request {
            Request::GrantCopy {
                dom,
                source,
                from,
                from_offset,
                target,
                to,
                to_offset,
                length,
            } => {
                let wanted = GrantCopy {
                    from: self.copy_end(source, from),
                    from_offset: from_offset as u16,
                    to: self.copy_end(target, to),
                    to_offset: to_offset as u16,
                    length: length as u16,
                };
                answer(
                    self.engine
                        .copy_grant(&self.domains[dom as usize].memory, &wanted),
                )
            }
            Request::GrantTransfer {
                dom,
                frame,
                granter,
                reference,
            } => answer(self.engine.transfer_grant(
                &self.domains[dom as usize].memory,
                Mfn::new(frame),
                &self.granter(granter as usize),
                reference as u32,
            )),
            Request::GrantLetGo { dom, mappings } => {
                let mapper = self.mapper(dom, 0);
                for _ in 0..mappings {
                    let next = self.engine.next_grant_mapping(mapper.track, 0..u32::MAX);
                    let Some((handle, id)) = next else { break };
                    let granter = self.granter_by_id(id);
                    self.engine.release_grant_mapping(&mapper, &granter, handle);
                }
                Answer::Done
            }
            Request::GrantDestroy { dom } => {
                let (dom, engine) = (dom as usize, &self.engine);
                let gone = engine.destroy_grant_table(&self.granter(dom))
                    && engine.destroy_maptrack(&self.domains[dom].track);
                if gone { Answer::Done } else { Answer::False }
            }
            _ => Answer::Done,
        }
    }

    /// The frames of a domain's table and track.
    #[must_use]
    pub fn grant_frames(&self, dom: usize) -> GrantFrames {
        let d = &self.domains[dom];
        inspect::frames(&self.engine, &d.table, &d.track)
    }

    /// The layout of a domain's table, its grants in use among the first `most`, and how many there are in all.
    #[must_use]
    pub fn grants_in_use(&self, dom: usize, most: u32) -> (u32, Vec<GrantInUse>, u32) {
        let table = &self.domains[dom].table;
        (
            self.engine.grant_version(table),
            inspect::in_use(&self.engine, table, most),
            self.engine.grants_in_use(table),
        )
    }

    /// What a domain maps.
    #[must_use]
    pub fn mapped_grants(&self, dom: usize) -> Vec<MappedGrant> {
        inspect::mappings(&self.engine, &self.domains[dom].track)
    }
}
