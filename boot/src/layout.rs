//! Where everything that a new domain finds at its start lies: which PFN, and which linear address.
//!
//! Keeps true: the parts do not overlap each other or the hypervisor, and follow each other as the ABI describes them
//! (`public/xen.h`, "start of day memory layout"): kernel, initrd, P2M, start info, page tables, boot stack, padding; then,
//! where the kernel wants them out of its mapping, the initrd, and the P2M with the page tables that map it.
//! Pure arithmetic. Neighbours: [`crate::notes`] for what the kernel wants; the hypervisor's builder writes what this says.

use crate::notes::PvKernel;
use crate::refusal::Refusal;
use xenocryst_abi::PAGE_SIZE;
use xenocryst_abi::layout::{HYPERVISOR_VIRT_END, HYPERVISOR_VIRT_START};

/// The initial mapping ends on a multiple of this.
const ROUND: u64 = 4 << 20;
/// At least this much is mapped beyond the last thing in it.
const PADDING: u64 = 512 << 10;
/// Bytes that one entry of a table maps, by the table's level from 1; and, last, what the root maps in all.
pub const SPAN: [u64; 5] = [PAGE_SIZE, 1 << 21, 1 << 30, 1 << 39, 1 << 48];

/// What the layout depends on.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Linear address of PFN 0; a multiple of the page size.
    pub virt_base: u64,
    /// End of the kernel's image, as a linear address.
    pub kernel_end: u64,
    /// Bytes of the initrd.
    pub initrd_bytes: u64,
    /// Whether the initrd is given by PFN, outside the initial mapping.
    pub initrd_unmapped: bool,
    /// Where the kernel wants the P2M, if not in the initial mapping; a multiple of the page size.
    pub p2m_address: Option<u64>,
    /// Frames of the domain.
    pub nr_pages: u64,
}

impl Needs {
    /// What `kernel` needs with an initrd of `initrd_bytes` bytes in a domain of `nr_pages` pages.
    pub fn of(kernel: &PvKernel<'_>, initrd_bytes: u64, nr_pages: u64) -> Self {
        Self {
            virt_base: kernel.virt_base,
            kernel_end: kernel.virt_end,
            initrd_bytes,
            initrd_unmapped: kernel.notes.mod_start_pfn,
            p2m_address: kernel.notes.init_p2m,
            nr_pages,
        }
    }
}

/// Where things are. Addresses are linear, counts are pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Start of the initial mapping: PFN 0.
    pub start: u64,
    /// PFN of the initrd; of no meaning if there is none.
    pub initrd_pfn: u64,
    /// Linear address of the P2M.
    pub p2m_address: u64,
    /// PFN of the P2M's first page.
    pub p2m_pfn: u64,
    /// Pages of the P2M itself.
    pub p2m_pages: u64,
    /// Tables of levels 1 to 3 that map the P2M, if it has an address of its own: all zero if not. They follow the P2M.
    pub p2m_tables: [u64; 3],
    /// Linear address of the start info page.
    pub start_info: u64,
    /// Linear address of the first page table.
    pub tables: u64,
    /// Tables of each level from 1 to 4 for the initial mapping.
    pub table_counts: [u64; 4],
    /// Linear address of the boot stack's page.
    pub stack: u64,
    /// End of the initial mapping.
    pub end: u64,
    /// First PFN after everything.
    pub end_pfn: u64,
}

/// The tables of a range, in the order in which they lie: first the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First linear address.
    pub start: u64,
    /// Linear address after the last.
    pub end: u64,
    /// PFN behind the first page; the others follow.
    pub pfn: u64,
    /// PFN of the first table of each level from 1 to 4.
    pub tables: [u64; 4],
}

impl Layout {
    /// Lays out a domain.
    ///
    /// # Errors
    /// [`Refusal`] if it needs more pages than the domain has, or if the kernel's wishes conflict with the hypervisor's addresses or
    /// with each other.
    pub fn new(needs: &Needs) -> Result<Self, Refusal<'static>> {
        let layout = Self::compute(needs).ok_or(Refusal::AddressConflict {
            what: "the end of the address space",
            start: needs.virt_base,
            end: u64::MAX,
        })?;
        layout.check()?;
        let (pages, needed) = (needs.nr_pages, layout.end_pfn);
        if needed > pages {
            Err(Refusal::TooLittleMemory { pages, needed })
        } else {
            Ok(layout)
        }
    }

    /// The initial mapping.
    pub fn main_mapping(&self) -> Mapping {
        let first = self.pfn_of(self.tables);
        let [_, l2, l3, _] = self.table_counts;
        // The root comes first, where `pt_base` points.
        Mapping {
            start: self.start,
            end: self.end,
            pfn: 0,
            tables: [first + 1 + l3 + l2, first + 1 + l3, first + 1, first],
        }
    }

    /// The P2M's mapping, if it has an address of its own. Its root is that of the initial mapping.
    pub fn p2m_mapping(&self) -> Option<Mapping> {
        let [l1, l2, _] = self.p2m_tables;
        let first = self.p2m_pfn + self.p2m_pages;
        (l1 != 0).then(|| Mapping {
            start: self.p2m_address,
            end: self.p2m_address + self.p2m_pages * PAGE_SIZE,
            pfn: self.p2m_pfn,
            tables: [first, first + l1, first + l1 + l2, self.pfn_of(self.tables)],
        })
    }

    /// Frames of the initial mapping's page tables: `start_info.nr_pt_frames`.
    pub fn nr_tables(&self) -> u64 {
        self.table_counts.iter().sum()
    }

    /// Frames of the P2M and its tables, if it has an address of its own: `start_info.nr_p2m_frames`.
    pub fn nr_p2m_frames(&self) -> u64 {
        if self.p2m_tables[0] == 0 {
            0
        } else {
            self.p2m_pages + self.p2m_tables.iter().sum::<u64>()
        }
    }

    /// Whether `pfn` is a page table, and so may only be mapped read-only.
    pub fn is_table(&self, pfn: u64) -> bool {
        let first = self.pfn_of(self.tables);
        let p2m_first = self.p2m_pfn + self.p2m_pages;
        (first..first + self.nr_tables()).contains(&pfn)
            || (p2m_first..p2m_first + self.p2m_tables.iter().sum::<u64>()).contains(&pfn)
    }

    /// The PFN behind a linear address of the initial mapping.
    pub fn pfn_of(&self, address: u64) -> u64 {
        (address - self.start) / PAGE_SIZE
    }

    fn compute(needs: &Needs) -> Option<Self> {
        let start = needs.virt_base;
        // Where the sizes make no sense at all, this does not fit either.
        let p2m_bytes = needs
            .nr_pages
            .max(1)
            .checked_mul(8)?
            .checked_next_multiple_of(PAGE_SIZE)?;
        let p2m_pages = p2m_bytes / PAGE_SIZE;
        let mut at = round_up(needs.kernel_end, PAGE_SIZE)?;
        let mut initrd_pfn = (at - start) / PAGE_SIZE;
        if !needs.initrd_unmapped {
            at = round_up(at.checked_add(needs.initrd_bytes)?, PAGE_SIZE)?;
        }
        let (mut p2m_address, mut p2m_pfn) = (at, (at - start) / PAGE_SIZE);
        if needs.p2m_address.is_none() {
            at = at.checked_add(p2m_bytes)?;
        }
        let start_info = at;
        let tables = at.checked_add(PAGE_SIZE)?;
        let (table_counts, end) = main_tables(start, tables)?;
        let stack = tables + table_counts.iter().sum::<u64>() * PAGE_SIZE;
        let mut next_pfn = (end - start) / PAGE_SIZE;
        if needs.initrd_unmapped {
            initrd_pfn = next_pfn;
            next_pfn += needs.initrd_bytes.div_ceil(PAGE_SIZE);
        }
        let mut p2m_tables = [0; 3];
        if let Some(address) = needs.p2m_address {
            (p2m_address, p2m_pfn) = (address, next_pfn);
            let p2m_end = address.checked_add(p2m_bytes)?;
            p2m_tables = [1, 2, 3].map(|level| tables_for(address, p2m_end, level));
            next_pfn += p2m_pages + p2m_tables.iter().sum::<u64>();
        }
        Some(Self {
            start,
            initrd_pfn,
            p2m_address,
            p2m_pfn,
            p2m_pages,
            p2m_tables,
            start_info,
            tables,
            table_counts,
            stack,
            end,
            end_pfn: next_pfn,
        })
    }

    /// Checks that the mappings can be where they are wanted.
    fn check(&self) -> Result<(), Refusal<'static>> {
        let main = (self.start, self.end);
        check_range(main)?;
        if let Some(p2m) = self.p2m_mapping() {
            let p2m = (p2m.start, p2m.end);
            check_range(p2m)?;
            // Each has its own tables below the root: they cannot share an entry of it.
            let slots = |(start, end): (u64, u64)| (start / SPAN[3], (end - 1) / SPAN[3]);
            let (main_slots, p2m_slots) = (slots(main), slots(p2m));
            if main_slots.0 <= p2m_slots.1 && p2m_slots.0 <= main_slots.1 {
                return Err(Refusal::AddressConflict {
                    what: "the kernel's own mapping",
                    start: p2m.0,
                    end: p2m.1,
                });
            }
        }
        Ok(())
    }
}

/// Checks that a range lies in one half of the address space, outside the hypervisor's part.
fn check_range((start, end): (u64, u64)) -> Result<(), Refusal<'static>> {
    let conflict = |what| Err(Refusal::AddressConflict { what, start, end });
    let half = |address: u64| (address as i64) >> 47;
    if !matches!(half(start), 0 | -1) || half(start) != half(end - 1) {
        return conflict("addresses that do not exist");
    }
    if start < HYPERVISOR_VIRT_END && end > HYPERVISOR_VIRT_START {
        return conflict("the hypervisor's addresses");
    }
    Ok(())
}

/// How many tables of each level the initial mapping takes, and where it ends: each depends on the other, and both only grow.
fn main_tables(start: u64, tables: u64) -> Option<([u64; 4], u64)> {
    let mut count = 4;
    loop {
        let used = tables.checked_add((count + 1) * PAGE_SIZE)?;
        let end = round_up(used.checked_add(PADDING)?, ROUND)?;
        let counts = [1, 2, 3, 4].map(|level| tables_for(start, end, level));
        let needed = counts.iter().sum();
        if needed <= count {
            return Some((counts, end));
        }
        count = needed;
    }
}

/// Tables of one level (from 1) that map `start..end`, which is not empty.
fn tables_for(start: u64, end: u64, level: usize) -> u64 {
    let span = SPAN[level];
    (end - 1) / span - start / span + 1
}

fn round_up(value: u64, to: u64) -> Option<u64> {
    value.checked_next_multiple_of(to)
}

#[cfg(test)]
mod tests;
