//! The engine, driven by requests: what the hypervisor's hypercall layer is to it, in small.

use xenocryst_abi::{DomId, Maddr, Mfn, Vaddr};
use xenocryst_memory::audit::{self, Held};
use xenocryst_memory::grant::audit::{Party, recount_grants};
use xenocryst_memory::grant::{GrantTable, Maptrack, UnmapBatch};
use xenocryst_memory::{
    Actors, Budget, DescriptorRef, DomainMemory, Engine, Flush, FrameInfo, IoAccess, IoRange,
    Level, PageRef, Progress, PteStore, PteStoreOutcome, Refusal, RootRef, WritableRef, sim,
};

mod grants;
mod holding;
mod memory;

use crate::answer::Answer;
use crate::layout::{
    DOMAINS, FIRST_LIMIT, FRAMES, GRANT_FRAMES, IO, TRACK_FRAMES, VCPUS, WINDOWS, io_listed,
    io_read_only, newest_grants, per_domain_entry,
};
use crate::machine::Machine;
use crate::model::{Interrupted, Place};
use crate::no::{self, No};
use crate::request::Request;

/// A domain as the hypervisor keeps it.
struct Domain {
    memory: DomainMemory,
    roots: [[Option<RootRef>; 2]; VCPUS],
    windows: [[Option<DescriptorRef>; WINDOWS]; VCPUS],
    pages: Vec<PageRef>,
    writables: Vec<WritableRef>,
    torn_down: Mfn,
    table: GrantTable,
    track: Maptrack,
    /// What was unmapped, but not released.
    batch: UnmapBatch,
}

/// The engine and what holds on to it.
pub struct Subject<'m> {
    /// The engine.
    pub engine: Engine<'m, Machine>,
    domains: Vec<Domain>,
    io: DomainMemory,
    weights: Vec<(u64, u64, u64)>,
}

fn io_access(dom: usize) -> IoAccess {
    let mut io = if dom == 0 {
        IoAccess::all()
    } else {
        IoAccess::none()
    };
    for &(first, last) in io_listed(dom) {
        let range = IoRange {
            first: Mfn::new(first),
            last: Mfn::new(last),
        };
        let listed = if dom == 0 {
            io.deny(range)
        } else {
            io.permit(range)
        };
        assert!(listed, "there is room for the first ranges");
    }
    for &(first, last) in io_read_only(dom) {
        io.make_read_only(IoRange {
            first: Mfn::new(first),
            last: Mfn::new(last),
        });
    }
    io
}

impl Domain {
    fn new(dom: usize) -> Self {
        let memory = DomainMemory::new(
            DomId(dom as u16),
            dom == 0,
            per_domain_entry(dom),
            io_access(dom),
        );
        memory.set_max_pages(FIRST_LIMIT as u32);
        Self {
            memory,
            roots: Default::default(),
            windows: Default::default(),
            pages: Vec::new(),
            writables: Vec::new(),
            torn_down: Mfn::new(0),
            table: GrantTable::new(GRANT_FRAMES as u32, newest_grants(dom) as u32),
            track: Maptrack::new(TRACK_FRAMES as u32),
            batch: UnmapBatch::new(),
        }
    }
}

impl Domain {
    fn party(&self) -> Party<'_> {
        Party {
            domain: &self.memory,
            table: &self.table,
            track: &self.track,
        }
    }
}

fn no(refusal: &Refusal) -> Answer {
    Answer::Refused(No {
        errno: refusal.errno().into(),
        code: refusal.rule.code(),
    })
}

fn answer(result: Result<(), Refusal>) -> Answer {
    result.map_or_else(|refusal| no(&refusal), |()| Answer::Done)
}

fn progress(result: Result<Progress<()>, Refusal>) -> Answer {
    match result {
        Ok(Progress::Done(())) => Answer::Done,
        Ok(Progress::Preempted) => Answer::Preempted,
        Err(refusal) => no(&refusal),
    }
}

fn budget(units: u64) -> Budget {
    Budget::new(u32::try_from(units).unwrap_or(u32::MAX))
}

impl<'m> Subject<'m> {
    /// An engine with domains that own nothing.
    #[must_use]
    pub fn new(engine: Engine<'m, Machine>) -> Self {
        Self {
            engine,
            domains: (0..DOMAINS).map(Domain::new).collect(),
            io: DomainMemory::new(DomId::IO, false, 0, IoAccess::none()),
            weights: Vec::new(),
        }
    }

    /// What the engine keeps for a domain.
    #[must_use]
    pub fn memory(&self, dom: usize) -> &DomainMemory {
        &self.domains[dom].memory
    }

    /// How far a domain's teardown has come.
    #[must_use]
    pub fn torn_down(&self, dom: usize) -> u64 {
        self.domains[dom].torn_down.raw()
    }

    /// What the engine says of a frame.
    #[must_use]
    pub fn info(&self, frame: usize) -> FrameInfo {
        self.engine.frame_info(Mfn::new(frame as u64))
    }

    /// A domain's tables that stand half-way.
    #[must_use]
    pub fn interrupted(&self, dom: usize) -> Interrupted {
        let place = |frame: usize| -> Option<Place> {
            let info = self.info(frame);
            let level = match info.frame_type {
                xenocryst_memory::FrameType::Table(level) => level as u8,
                _ => return None,
            };
            (info.owner == Some(DomId(dom as u16))).then_some((frame, level, info.partial?))
        };
        let mut places: Vec<Place> = (0..FRAMES).filter_map(place).collect();
        // From the top down, as they were walked.
        places.sort_by_key(|&(_, level, _)| std::cmp::Reverse(level));
        Interrupted {
            places,
            doomed: sim::left_to_unwind(self.memory(dom)).map(|mfn| mfn.raw() as usize),
        }
    }

    /// The engine's own audit. Frames with a weight have references nobody holds, and so has what was unmapped and is not
    /// released: then there is none.
    pub fn audit(&self) -> Result<(), String> {
        if !self.weights.is_empty() || self.domains.iter().any(|d| !d.batch.is_empty()) {
            return Ok(());
        }
        let domains: Vec<&DomainMemory> = self.domains.iter().map(|d| &d.memory).collect();
        let parties: Vec<Party<'_>> = self.domains.iter().map(Domain::party).collect();
        // Guests may spoil the marks of their own entries.
        let mut held = recount_grants(&self.engine, &parties, false)?;
        for d in &self.domains {
            held.extend(
                d.roots
                    .iter()
                    .flatten()
                    .flatten()
                    .map(|r| Held::Typed(r.mfn())),
            );
            held.extend(
                d.windows
                    .iter()
                    .flatten()
                    .flatten()
                    .map(|r| Held::Typed(r.mfn())),
            );
            held.extend(d.pages.iter().map(|r| Held::General(r.mfn())));
            held.extend(d.writables.iter().map(|r| Held::Typed(r.mfn())));
        }
        audit::recount(&self.engine, &domains, &held)
    }

    fn pages(&self, pages: u64) -> &DomainMemory {
        if pages as usize == IO {
            &self.io
        } else {
            self.memory(pages as usize)
        }
    }

    /// Carries out a request.
    pub fn perform(&mut self, request: &Request) -> Answer {
        match *request {
            Request::Update {
                dom,
                tables,
                pages,
                at,
                value,
                budget: units,
            } => {
                let actors = Actors {
                    caller: self.memory(dom as usize),
                    tables: self.memory(tables as usize),
                    pages: self.pages(pages),
                };
                match self
                    .engine
                    .mmu_update(&actors, at, value, &mut budget(units))
                {
                    Ok(Progress::Done(flush)) => Answer::Flush(flush == Flush::Local),
                    Ok(Progress::Preempted) => Answer::Preempted,
                    Err(refusal) => no(&refusal),
                }
            }
            Request::Va {
                dom,
                vcpu,
                pages,
                address,
                value,
            } => {
                let own = Actors::own(self.memory(dom as usize));
                let actors = Actors {
                    pages: self.pages(pages),
                    ..own
                };
                let Some(root) = self.kernel_root(dom, vcpu) else {
                    return Answer::Void;
                };
                answer(
                    self.engine
                        .update_va_mapping(&actors, root, Vaddr::new(address), value),
                )
            }
            Request::Pin {
                dom,
                frame,
                level,
                budget: units,
            } => {
                let level = [Level::L1, Level::L2, Level::L3, Level::L4][level as usize - 1];
                let (memory, frame) = (self.memory(dom as usize), Mfn::new(frame));
                progress(
                    self.engine
                        .pin_table(memory, frame, level, &mut budget(units)),
                )
            }
            Request::Unpin {
                dom,
                frame,
                budget: units,
            } => {
                let (memory, frame) = (self.memory(dom as usize), Mfn::new(frame));
                progress(self.engine.unpin_table(memory, frame, &mut budget(units)))
            }
            _ => self.perform_on_pages(request),
        }
    }

    fn perform_on_pages(&mut self, request: &Request) -> Answer {
        match *request {
            Request::Clear { dom, frame } => answer(
                self.engine
                    .clear_page(self.memory(dom as usize), Mfn::new(frame)),
            ),
            Request::Copy { dom, to, from } => {
                let memory = self.memory(dom as usize);
                answer(self.engine.copy_page(memory, Mfn::new(to), Mfn::new(from)))
            }
            Request::Store {
                dom,
                vcpu,
                fault,
                address,
                width,
                value,
            } => {
                let store = PteStore::Plain {
                    width: narrow(width),
                    value,
                };
                self.store(dom, vcpu, fault, address, store)
            }
            Request::Exchange8 {
                dom,
                vcpu,
                fault,
                address,
                width,
                expected,
                value,
            } => {
                let store = PteStore::CompareExchange {
                    width: narrow(width),
                    expected,
                    value,
                };
                self.store(dom, vcpu, fault, address, store)
            }
            Request::Descriptor { dom, at, value } => answer(self.engine.update_descriptor(
                self.memory(dom as usize),
                Maddr::new(at),
                value,
            )),
            _ => self.perform_holding(request),
        }
    }

    fn kernel_root(&self, dom: u64, vcpu: u64) -> Option<Mfn> {
        self.domains[dom as usize].roots[vcpu as usize][0]
            .as_ref()
            .map(RootRef::mfn)
    }

    fn store(&self, dom: u64, vcpu: u64, fault: u64, address: u64, store: PteStore) -> Answer {
        let Some(root) = self.kernel_root(dom, vcpu) else {
            return Answer::Void;
        };
        let (fault, address) = (Vaddr::new(fault), Vaddr::new(address));
        match self
            .engine
            .emulate_pte_store(self.memory(dom as usize), root, fault, address, store)
        {
            PteStoreOutcome::Written => Answer::Written,
            PteStoreOutcome::CompareFailed { found } => Answer::Found(found),
            PteStoreOutcome::NotATable => Answer::NotATable,
            PteStoreOutcome::Refused(refusal) => no(&refusal),
        }
    }
}

/// A small number, or one that is too large for anything.
fn narrow(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
