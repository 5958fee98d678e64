//! Descriptor pages: frames that a GDT or LDT window maps.
//!
//! Keeps true: the CPU sees only descriptors that a guest may have: code and data of ring 3, and call gates made to
//! fault so that they can be emulated. A descriptor page has no writable mapping. Facts: the CPU manual's descriptor
//! formats, and Xen's behaviour for 64-bit guests.

use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::frame::{Frame, FrameType, TypeWord};
use crate::machine::MachineMemory;
use crate::ptype::{ENTRIES, entry_address};
use crate::refs::DescriptorRef;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use xenocryst_abi::{Maddr, Mfn, segment};

#[cfg(test)]
mod tests;

const DPL: u64 = 3 << 45;
const CODE_OR_DATA: u64 = 1 << 44;
const PRESENT: u64 = 1 << 47;
const TYPE_SHIFT: u32 = 40;
const CALL_GATE: u64 = 12;
const SELECTOR_SHIFT: u32 = 16;
/// Bits of a call gate that must be zero.
const GATE_RESERVED: u64 = 0xff << 32;
/// The first GDT entry that belongs to the hypervisor (14 frames of 512 entries come before).
const FIRST_RESERVED_GDT_ENTRY: u64 = segment::gdt::FIRST_RESERVED_ENTRY as u64;
/// The 64-bit code segment for guest kernels (`FLAT_RING3_CS64`).
const FLAT_KERNEL_CS: u64 = segment::FLAT_KERNEL_CS as u64;

/// The descriptor as a guest may have it (privileges raised to ring 3, call gates made to fault), or `None` if it may
/// not have it at all.
pub fn check_descriptor(descriptor: u64) -> Option<u64> {
    if descriptor & PRESENT == 0 {
        return Some(descriptor);
    }
    if descriptor & CODE_OR_DATA != 0 {
        return Some(descriptor | DPL);
    }
    match descriptor >> TYPE_SHIFT & 0xf {
        // The second half of a call gate.
        0 => Some(descriptor),
        CALL_GATE => check_call_gate(descriptor),
        _ => None,
    }
}

/// A call gate faults when used (privilege 0), and remembers in its selector's low bits who may use it (ring 3).
fn check_call_gate(descriptor: u64) -> Option<u64> {
    let selector = descriptor >> SELECTOR_SHIFT & 0xffff;
    let allowed =
        selector >> 3 < FIRST_RESERVED_GDT_ENTRY || selector == FLAT_KERNEL_CS || selector & 4 != 0;
    if !allowed || descriptor & GATE_RESERVED != 0 {
        return None;
    }
    Some((descriptor & !DPL) | 3 << SELECTOR_SHIFT)
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes a frame of `domain` as a descriptor page (for a GDT or LDT window), validating its 512 descriptors.
    pub fn get_descriptor_page(
        &self,
        domain: &DomainMemory,
        frame: Mfn,
    ) -> Result<DescriptorRef, Refusal> {
        let session = self.session(domain);
        let Some(state) = self.frame(frame).filter(|state| state.get(domain.tag())) else {
            return Err(self.refuse_owner(Rule::FrameNotOwned, frame, domain));
        };
        let result = self.get_descriptor_type(domain, frame, state);
        drop(session);
        match result {
            Ok(()) => Ok(DescriptorRef(frame)),
            Err(refusal) => {
                self.put_general(frame, state);
                Err(refusal)
            }
        }
    }

    fn get_descriptor_type(
        &self,
        domain: &DomainMemory,
        mfn: Mfn,
        frame: &Frame,
    ) -> Result<(), Refusal> {
        loop {
            let word = frame.type_word();
            if word.is_live(FrameType::Descriptors) {
                let Some(more) = word.one_more() else {
                    return Err(self.refuse_frame(Rule::TypeCountSaturated, mfn));
                };
                frame.set_type_word(more);
                return Ok(());
            }
            if !word.is_idle() {
                return Err(self
                    .refuse_frame(Rule::DescriptorFrame, mfn)
                    .wanted_type(FrameType::Descriptors));
            }
            if frame
                .exchange_type(word, TypeWord::started(FrameType::Descriptors))
                .is_err()
            {
                continue;
            }
            self.flush_left_type(domain, word, FrameType::Descriptors);
            let audited = match self.commits(Fault::DescriptorAudit) {
                true => Ok(()),
                false => self.validate_descriptors(mfn),
            };
            return match audited {
                Ok(()) => {
                    frame.set_type_word(frame.type_word().validated());
                    Ok(())
                }
                Err(refusal) => {
                    let now = self.machine.tlb_clock();
                    frame.set_type_word(TypeWord::idle(FrameType::Descriptors, now));
                    Err(refusal)
                }
            };
        }
    }

    fn validate_descriptors(&self, mfn: Mfn) -> Result<(), Refusal> {
        for slot in 0..ENTRIES {
            let at = entry_address(mfn, slot);
            let descriptor = self.machine.read_u64(at);
            match check_descriptor(descriptor) {
                Some(checked) if checked == descriptor => {}
                Some(checked) => self.machine.write_u64(at, checked),
                None => {
                    return Err(self
                        .refuse_frame(Rule::BadDescriptor, mfn)
                        .value(descriptor));
                }
            }
        }
        Ok(())
    }

    /// Gives it back. The window must no longer map it on any CPU.
    pub fn put_descriptor_page(&self, domain: &DomainMemory, held: DescriptorRef) {
        let session = self.session(domain);
        let Some(frame) = self.frame(held.0) else {
            return;
        };
        let word = frame.type_word();
        assert!(
            word.is_live(FrameType::Descriptors) && word.count() != 0,
            "accounting error: a descriptor reference was given back that nobody held"
        );
        frame.set_type_word(if word.count() > 1 {
            word.one_less()
        } else {
            TypeWord::idle(FrameType::Descriptors, self.machine.tlb_clock())
        });
        drop(session);
        self.put_general(held.0, frame);
    }

    /// `HYPERVISOR_update_descriptor`: writes one descriptor at a machine address in a frame of `domain`.
    pub fn update_descriptor(
        &self,
        domain: &DomainMemory,
        at: Maddr,
        descriptor: u64,
    ) -> Result<(), Refusal> {
        if !at.raw().is_multiple_of(8) {
            return Err(Rule::Misaligned.refuse().value(at.raw()));
        }
        let Some(checked) = check_descriptor(descriptor) else {
            return Err(Rule::BadDescriptor.refuse().value(descriptor));
        };
        let mfn = at.mfn();
        let session = self.session(domain);
        let Some(frame) = self
            .frame(mfn)
            .filter(|frame| frame.owner_word().belongs_to(domain.tag()))
        else {
            return Err(self.refuse_owner(Rule::FrameNotOwned, mfn, domain));
        };
        if frame.type_word().is_live(FrameType::Descriptors) {
            self.machine.write_u64(at, checked);
            return Ok(());
        }
        drop(session);
        let held = self.get_writable_page(domain, mfn).map_err(|mut refusal| {
            refusal.rule = Rule::DescriptorFrame;
            refusal
        })?;
        self.machine.write_u64(at, checked);
        self.put_writable_page(held);
        Ok(())
    }
}
