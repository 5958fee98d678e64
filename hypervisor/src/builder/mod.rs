//! Building dom0: its memory, its first page tables, and what it is told at its start.
//!
//! Keeps true: the page tables are written as plain memory of the domain and then validated by the engine like any guest's,
//! so that the builder is trusted with nothing the guest is not. What a start looks like: `public/xen.h`, "start of day".
//! Neighbours: `xenocryst-boot` reads the kernel's image; `xenocryst_boot::layout` says what goes where; `domain` has the domain.

mod files;
mod frames;
mod start_info;
mod tables;

use alloc::string::{String, ToString};
use core::sync::atomic::Ordering;

use xenocryst_abi::assist::kind::PAE_EXTENDED_CR3;
use xenocryst_abi::pte::TABLE_ENTRIES;
use xenocryst_abi::start_info::MAX_GUEST_CMDLINE;
use xenocryst_abi::{Mfn, PAGE_SIZE, Pfn};
use xenocryst_boot::kernel::{KernelFile, Packed, pv_kernel};
use xenocryst_boot::layout::{Layout, Needs};
use xenocryst_boot::notes::PvKernel;
use xenocryst_boot::refusal::Refusal;
use xenocryst_memory::{Budget, Level, Progress};
use zerocopy::IntoBytes;

use crate::boot;
use crate::console::say;
use crate::domain::{Domain, Vcpu};
use crate::mm::machine::engine;
use crate::mm::scratch::Scratch;
use crate::percpu::GuestRegs;
use crate::traps::bounce::{FLAT_CS64, FLAT_SS, IF};
pub use files::BootFile;
use frames::Frames;

/// Why dom0 could not be built.
#[derive(Debug)]
pub enum Failure {
    /// The kernel cannot be started, or not in this domain; the reason.
    Kernel(String),
    /// There is no memory to unpack the kernel: this many bytes are needed.
    NoRoomToUnpack(usize),
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
            Self::Kernel(reason) => f.write_str(reason),
            Self::NoRoomToUnpack(bytes) => write!(
                f,
                "there are no {} MiB free to unpack the kernel",
                bytes >> 20
            ),
            Self::NoMemory => f.write_str("there is not that much memory free"),
            Self::Misplaced(at) => {
                write!(f, "the kernel's part at {at:#x} lies outside dom0's memory")
            }
            Self::Tables(refusal) => write!(f, "its first page tables are refused: {refusal}"),
        }
    }
}

impl From<Refusal<'_>> for Failure {
    fn from(refusal: Refusal<'_>) -> Self {
        Self::Kernel(refusal.to_string())
    }
}

/// What dom0 is made of.
pub struct Files<'a> {
    /// The kernel, packed or not.
    pub kernel: BootFile,
    /// Its initrd.
    pub initrd: BootFile,
    /// Its command line.
    pub command_line: &'a str,
}

/// Gives `domain` `nr_pages` frames, fills in the kernel and its initrd, and readies `vcpu` to enter it. The files' memory
/// is given back, and may be among the domain's frames.
///
/// # Errors
/// [`Failure`] says what is in the way; the domain is then good for nothing.
pub fn build(
    domain: &'static Domain,
    vcpu: &'static Vcpu,
    files: Files<'_>,
    nr_pages: u64,
) -> Result<(), Failure> {
    let mut frames = Frames::none(domain);
    let (layout, entry) = load(domain, &mut frames, &files, nr_pages)?;
    files.kernel.discard();
    files.initrd.discard();
    frames.grow(nr_pages).ok_or(Failure::NoMemory)?;
    write_p2m(&frames, &layout);
    let root = frames.mfn(layout.pfn_of(layout.tables));
    enter_at(vcpu, root, entry, &layout)
}

/// Fills the frames that have something in them at start, all but the P2M, which needs the others. Returns where they are, and
/// where the kernel is entered.
fn load(
    domain: &'static Domain,
    frames: &mut Frames,
    files: &Files<'_>,
    nr_pages: u64,
) -> Result<(Layout, u64), Failure> {
    let limit = MAX_GUEST_CMDLINE - 1;
    if files.command_line.len() > limit {
        return Err(Refusal::CommandLineTooLong {
            bytes: files.command_line.len(),
            limit,
        }
        .into());
    }
    let unpacked;
    let image = match KernelFile::find(files.kernel.bytes(), nr_pages * PAGE_SIZE)? {
        KernelFile::Plain(image) => image,
        KernelFile::Packed(packed) => {
            unpacked = unpack(&packed)?;
            &unpacked
        }
    };
    let kernel = pv_kernel(image)?;
    let initrd = files.initrd.bytes();
    let layout = Layout::new(&Needs::of(&kernel, initrd.len() as u64, nr_pages))?;
    say!(
        "Dom0: kernel {:#x}-{:#x}, entry {:#x}",
        kernel.virt_start,
        kernel.virt_end,
        kernel.entry
    );
    say!(
        "Dom0: mapped {:#x}-{:#x}, P2M at {:#x}",
        layout.start,
        layout.end,
        layout.p2m_address
    );
    say!(
        "Dom0: {} MiB of memory, initrd of {} kB",
        nr_pages >> 8,
        initrd.len() >> 10
    );
    if kernel.notes.pae_extended {
        // Means nothing to 64-bit kernels, but they are told of it as a feature, and it is what their note asks for.
        domain
            .vm_assist
            .fetch_or(1 << PAE_EXTENDED_CR3, Ordering::Relaxed);
    }
    frames.grow(layout.end_pfn).ok_or(Failure::NoMemory)?;
    load_kernel(frames, &layout, &kernel)?;
    frames.write(layout.initrd_pfn * PAGE_SIZE, initrd);
    tables::write(frames, &layout);
    start_info::write(
        domain,
        frames,
        &layout,
        &kernel,
        files,
        nr_pages,
        boot::info().display,
    );
    Ok((layout, kernel.entry))
}

/// The unpacked image.
fn unpack(packed: &Packed<'_>) -> Result<Scratch, Failure> {
    let mut image =
        Scratch::new(packed.unpacked).ok_or(Failure::NoRoomToUnpack(packed.unpacked))?;
    packed.unpack(&mut image)?;
    Ok(image)
}

/// Copies the segments, and writes the hypercall page into one of them if the kernel asks for it.
fn load_kernel(frames: &Frames, layout: &Layout, kernel: &PvKernel<'_>) -> Result<(), Failure> {
    let end = layout.end - layout.start;
    for segment in kernel.elf.segments() {
        let address = segment.physical.wrapping_add(kernel.virt_offset);
        let misplaced = Failure::Misplaced(address);
        let Some(offset) = address.checked_sub(layout.start) else {
            return Err(misplaced);
        };
        let size = segment.memory_bytes;
        if offset.checked_add(size).is_none_or(|last| last > end)
            || segment.file.len() as u64 > size
        {
            return Err(misplaced);
        }
        frames.write(offset, segment.file);
        frames.zero(
            offset + segment.file.len() as u64,
            size - segment.file.len() as u64,
        );
    }
    if let Some(at) = kernel.notes.hypercall_page {
        match at.checked_sub(layout.start) {
            Some(offset) if offset % PAGE_SIZE == 0 && offset < end => {
                frames.write(offset, &hypercall_page())
            }
            _ => return Err(Failure::Misplaced(at)),
        }
    }
    Ok(())
}

/// The 128 entries of 32 bytes of a hypercall page: each saves RCX and R11, which SYSCALL takes, and calls.
pub fn hypercall_page() -> [u8; PAGE_SIZE as usize] {
    /// push rcx; push r11; mov eax, n; syscall; pop r11; pop rcx; ret
    const CALL: [u8; 14] = [
        0x51, 0x41, 0x53, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3,
    ];
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
fn write_p2m(frames: &Frames, layout: &Layout) {
    let memory = frames.memory();
    let (mut at, mut entries) = (layout.p2m_pfn * PAGE_SIZE, [0; TABLE_ENTRIES]);
    // A page at a time: finding the frame behind a PFN costs more than all else.
    for (pfn, mfn) in frames.iter() {
        // The frame is the domain's, so this cannot be refused.
        let _ = engine().set_m2p(memory, mfn, Pfn::new(pfn));
        let slot = pfn as usize % TABLE_ENTRIES;
        entries[slot] = mfn.raw();
        if slot == TABLE_ENTRIES - 1 || pfn == frames.count() - 1 {
            let filled = &entries[..=slot];
            frames.write(at, filled.as_bytes());
            at += PAGE_SIZE;
        }
    }
}

/// Has the engine validate the tables, and gives the vCPU its first registers.
fn enter_at(vcpu: &'static Vcpu, root: Mfn, entry: u64, layout: &Layout) -> Result<(), Failure> {
    let memory = &vcpu.domain.memory;
    let mut budget = Budget::unlimited();
    // An unlimited budget is never exhausted.
    let _: Progress<()> = engine()
        .pin_table(memory, root, Level::L4, &mut budget)
        .map_err(Failure::Tables)?;
    if let Progress::Done(reference) = engine()
        .get_root(memory, root, &mut budget)
        .map_err(Failure::Tables)?
    {
        engine().show_m2p(&reference);
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
