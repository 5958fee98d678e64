//! Building dom0: its memory, its first page tables, and what it is told at its start.
//!
//! Keeps true: the page tables are written as plain memory of the domain and then validated by the engine like any guest's,
//! so that the builder is trusted with nothing the guest is not. What a start looks like: `public/xen.h`, "start of day".
//! Neighbours: `xenocryst-boot` reads the kernel's image; `xenocryst_boot::layout` says what goes where; `domain` has the domain.

mod frames;
mod start_info;
mod tables;

use xenocryst_abi::{Mfn, PAGE_SIZE, Pfn};
use xenocryst_boot::layout::{Layout, Needs};
use xenocryst_boot::notes::PvKernel;
use xenocryst_boot::refusal::Refusal;
use xenocryst_memory::{Budget, Level, Progress};

use crate::domain::{Domain, Vcpu};
use crate::mm::machine::engine;
use crate::percpu::GuestRegs;
use crate::traps::bounce::{FLAT_CS64, FLAT_SS, IF};
use frames::Frames;

/// Why dom0 could not be built.
#[derive(Debug)]
pub enum Failure {
    /// Kernel, initrd and tables cannot be laid out in the domain.
    Layout(Refusal<'static>),
    /// The machine has not that many frames free.
    NoMemory,
    /// A part of the kernel lies outside the domain's memory.
    Misplaced(u64),
    /// The engine refused the first page tables: a bug of the builder.
    Tables(xenocryst_memory::Refusal),
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Layout(refusal) => write!(f, "{refusal}"),
            Self::NoMemory => f.write_str("there is not that much memory free"),
            Self::Misplaced(at) => write!(f, "the kernel's part at {at:#x} lies outside dom0's memory"),
            Self::Tables(refusal) => write!(f, "its first page tables are refused: {refusal}"),
        }
    }
}

/// Fills `domain` with `nr_pages` frames, the kernel and its initrd, and readies `vcpu` to enter it.
///
/// # Errors
/// [`Failure`] says what is in the way; the domain is then good for nothing.
pub fn build(
    domain: &'static Domain,
    vcpu: &'static Vcpu,
    kernel: &PvKernel<'_>,
    initrd: &[u8],
    command_line: &str,
    nr_pages: u64,
) -> Result<(), Failure> {
    let layout = Layout::new(&Needs::of(kernel, initrd.len() as u64, nr_pages)).map_err(Failure::Layout)?;
    let frames = Frames::allocate(domain, nr_pages).ok_or(Failure::NoMemory)?;
    load_kernel(&frames, &layout, kernel)?;
    frames.write(layout.initrd_pfn * PAGE_SIZE, initrd);
    write_p2m(&frames, &layout, nr_pages);
    let root = tables::write(&frames, &layout);
    start_info::write(domain, &frames, &layout, initrd.len() as u64, command_line, kernel);
    enter_at(vcpu, root, kernel.entry, &layout)
}

/// Copies the segments, and writes the hypercall page into one of them if the kernel asks for it.
fn load_kernel(frames: &Frames, layout: &Layout, kernel: &PvKernel<'_>) -> Result<(), Failure> {
    let end = layout.end - layout.start;
    for segment in kernel.elf.segments() {
        let address = segment.physical.wrapping_add(kernel.virt_offset);
        let misplaced = Failure::Misplaced(address);
        let Some(offset) = address.checked_sub(layout.start) else { return Err(misplaced) };
        let size = segment.memory_bytes;
        if offset.checked_add(size).is_none_or(|last| last > end) || segment.file.len() as u64 > size {
            return Err(misplaced);
        }
        frames.write(offset, segment.file);
        frames.zero(offset + segment.file.len() as u64, size - segment.file.len() as u64);
    }
    if let Some(at) = kernel.notes.hypercall_page {
        match at.checked_sub(layout.start) {
            Some(offset) if offset % PAGE_SIZE == 0 && offset < end => frames.write(offset, &hypercall_page()),
            _ => return Err(Failure::Misplaced(at)),
        }
    }
    Ok(())
}

/// The 128 entries of 32 bytes of a hypercall page: each saves RCX and R11, which SYSCALL takes, and calls.
pub fn hypercall_page() -> [u8; PAGE_SIZE as usize] {
    /// push rcx; push r11; mov eax, n; syscall; pop r11; pop rcx; ret
    const CALL: [u8; 14] = [0x51, 0x41, 0x53, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3];
    /// push rcx; push r11; push rax; mov eax, n; syscall: the return takes all three from the stack.
    const RETURN: [u8; 11] = [0x51, 0x41, 0x53, 0x50, 0xb8, 0, 0, 0, 0, 0x0f, 0x05];
    let mut page = [0xcc; PAGE_SIZE as usize];
    for (number, entry) in page.chunks_exact_mut(32).enumerate() {
        let number = number as u32;
        if u64::from(number) == xenocryst_abi::hypercall::number::IRET {
            entry[..RETURN.len()].copy_from_slice(&RETURN);
            entry[5..9].copy_from_slice(&number.to_le_bytes());
        } else {
            entry[..CALL.len()].copy_from_slice(&CALL);
            entry[4..8].copy_from_slice(&number.to_le_bytes());
        }
    }
    page
}

/// Writes the P2M, and with it the M2P.
fn write_p2m(frames: &Frames, layout: &Layout, nr_pages: u64) {
    let memory = frames.memory();
    for pfn in 0..nr_pages {
        let mfn = frames.mfn(pfn);
        frames.write_u64(layout.p2m_pfn * PAGE_SIZE + pfn * 8, mfn.raw());
        // The frame is the domain's, so this cannot be refused.
        let _ = engine().set_m2p(memory, mfn, Pfn::new(pfn));
    }
}

/// Has the engine validate the tables, and gives the vCPU its first registers.
fn enter_at(vcpu: &'static Vcpu, root: Mfn, entry: u64, layout: &Layout) -> Result<(), Failure> {
    let memory = &vcpu.domain.memory;
    let mut budget = Budget::unlimited();
    // An unlimited budget is never exhausted.
    let _: Progress<()> = engine().pin_table(memory, root, Level::L4, &mut budget).map_err(Failure::Tables)?;
    if let Progress::Done(reference) = engine().get_root(memory, root, &mut budget).map_err(Failure::Tables)? {
        vcpu.roots.lock().kernel = Some(reference);
    }
    vcpu.kernel_cr3.set(root.maddr().raw());
    vcpu.kernel_mode.set(1);
    let regs = GuestRegs {
        rip: entry,
        cs: FLAT_CS64,
        rflags: IF | 2,
        rsp: layout.stack + PAGE_SIZE,
        ss: FLAT_SS,
        rsi: layout.start_info,
        ..GuestRegs::default()
    };
    // SAFETY: the vCPU has never run, so nobody else touches its saved registers.
    unsafe { *vcpu.saved_regs.get() = regs };
    Ok(())
}
