//! What the domain is made of: start_info, P2M, M2P, and where frames are mapped at start.
//!
//! What it keeps true: PFN n is mapped at [`VIRT_BASE`] + n pages for every page of the image and what follows it up to
//! the first tables and stack, as the loader promises; [`Domain`] never names a frame beyond the P2M.

use core::sync::atomic::{AtomicU64, Ordering};

use xenocryst_abi::start_info::{StartInfo, flag};
use xenocryst_abi::{Maddr, Mfn, PAGE_SIZE, Pfn, layout};

use crate::access;

/// Virtual address of PFN 0, as the linker script has it.
pub const VIRT_BASE: u64 = 0xffff_ffff_8000_0000;

/// The domain this kernel runs in.
pub struct Domain {
    info: &'static StartInfo,
    p2m: &'static [AtomicU64],
}

impl Domain {
    /// Reads what the hypervisor left.
    ///
    /// # Safety
    /// `start_info` is what RSI held at the kernel's entry, and this is called once.
    pub(crate) unsafe fn new(start_info: u64) -> Self {
        // SAFETY: start_info and the P2M that it names are mapped for the domain's life; the hypervisor changes neither.
        unsafe {
            let info = &*(start_info as *const StartInfo);
            let p2m = core::slice::from_raw_parts(
                info.mfn_list as *const AtomicU64,
                info.nr_pages as usize,
            );
            Self { info, p2m }
        }
    }

    /// What the hypervisor said at start.
    #[must_use]
    pub fn info(&self) -> &StartInfo {
        self.info
    }

    /// Whether this is the control domain.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.info.flags & flag::INITDOMAIN != 0
    }

    /// The kernel's command line.
    #[must_use]
    pub fn command_line(&self) -> &str {
        let line = &self.info.cmd_line;
        let end = line
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(line.len());
        line.get(..end)
            .and_then(|line| core::str::from_utf8(line).ok())
            .unwrap_or_default()
    }

    /// The number in the word `NAME=number` of the command line.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<u64> {
        self.command_line()
            .split_ascii_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }

    /// Whether the word is on the command line.
    #[must_use]
    pub fn has_option(&self, name: &str) -> bool {
        self.command_line()
            .split_ascii_whitespace()
            .any(|word| word == name)
    }

    /// Frames in the P2M.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.p2m.len() as u64
    }

    /// The machine frame of `pfn`; [`Mfn::INVALID`] beyond the P2M.
    #[must_use]
    pub fn mfn(&self, pfn: Pfn) -> Mfn {
        self.p2m
            .get(pfn.raw() as usize)
            .map_or(Mfn::INVALID, |entry| {
                Mfn::new(entry.load(Ordering::Relaxed))
            })
    }

    /// Records another machine frame for `pfn`.
    pub fn set_mfn(&self, pfn: Pfn, mfn: Mfn) {
        if let Some(entry) = self.p2m.get(pfn.raw() as usize) {
            entry.store(mfn.raw(), Ordering::Relaxed);
        }
    }

    /// What the M2P says of `mfn`; nothing where it is not mapped.
    #[must_use]
    pub fn m2p(mfn: Mfn) -> Option<Pfn> {
        if mfn.raw() >= layout::MACH2PHYS_NR_ENTRIES {
            return None;
        }
        access::read_u64(layout::MACH2PHYS_VIRT_START + 8 * mfn.raw())
            .ok()
            .map(Pfn::new)
    }

    /// The root of the first page tables.
    #[must_use]
    pub fn root(&self) -> Pfn {
        pfn_of(self.info.pt_base)
    }

    /// Machine address of the shared page.
    #[must_use]
    pub fn shared_info(&self) -> Maddr {
        Maddr::new(self.info.shared_info)
    }

    /// Address of the console's page and its event channel; none in the control domain.
    #[must_use]
    pub(crate) fn console(&self) -> Option<(u64, u32)> {
        if self.is_control() {
            return None;
        }
        let pfn = Self::m2p(Mfn::new(self.info.console_mfn))?;
        Some((address_of(pfn), self.info.console_evtchn))
    }

    /// Address of the store's page and its event channel; none in the control domain.
    #[must_use]
    pub(crate) fn store(&self) -> Option<(u64, u32)> {
        if self.is_control() {
            return None;
        }
        let pfn = Self::m2p(self.info.store_mfn)?;
        Some((address_of(pfn), self.info.store_evtchn))
    }
}

/// The PFN that is mapped at `address` at start.
#[must_use]
pub const fn pfn_of(address: u64) -> Pfn {
    Pfn::new(address.wrapping_sub(VIRT_BASE) / PAGE_SIZE)
}

/// Where `pfn` is mapped at start, if it is.
#[must_use]
pub const fn address_of(pfn: Pfn) -> u64 {
    VIRT_BASE.wrapping_add(pfn.raw().wrapping_mul(PAGE_SIZE))
}
