//! Where everything that a new domain finds at its start lies: which PFN, and which linear address.
//!
//! Keeps true: the parts do not overlap and follow each other as the ABI describes them (`public/xen.h`, "start of day memory
//! layout"): kernel, [initrd], [P2M], start info, page tables, boot stack, padding; then, where the kernel wants them out of
//! its mapping, the initrd, and the P2M with the page tables that map it.
//! Pure arithmetic; neighbours: `builder` writes what this says.

use xenocryst_abi::PAGE_SIZE;

/// The initial mapping ends on a multiple of this.
const ROUND: u64 = 4 << 20;
/// At least this much is mapped beyond the last thing in it.
const PADDING: u64 = 512 << 10;
/// Bytes that one table maps, by level from 1.
pub const SPAN: [u64; 5] = [PAGE_SIZE, 1 << 21, 1 << 30, 1 << 39, 1 << 48];

/// What the layout depends on.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Linear address of PFN 0.
    pub virt_base: u64,
    /// End of the kernel's image, as a linear address.
    pub kernel_end: u64,
    /// Bytes of the initrd.
    pub initrd_bytes: u64,
    /// Whether the initrd is given by PFN, outside the initial mapping.
    pub initrd_unmapped: bool,
    /// Where the kernel wants the P2M, if not in the initial mapping.
    pub p2m_address: Option<u64>,
    /// Frames of the domain.
    pub nr_pages: u64,
}

/// Where things are. Addresses are linear, counts are pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Start of the initial mapping: PFN 0.
    pub start: u64,
    /// PFN of the initrd; 0 pages if there is none.
    pub initrd_pfn: u64,
    /// Linear address of the P2M.
    pub p2m_address: u64,
    /// PFN of the P2M's first page.
    pub p2m_pfn: u64,
    /// Pages of the P2M itself.
    pub p2m_pages: u64,
    /// Tables that map the P2M, which follow it, if it has an address of its own (L1s, L2s, L3s).
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

/// It does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Pages needed.
    pub needed: u64,
}

fn round_up(value: u64, to: u64) -> Option<u64> {
    value.checked_next_multiple_of(to)
}

/// Tables of one level (from 1) that map `start..end`.
fn tables_for(start: u64, end: u64, level: usize) -> u64 {
    let span = SPAN[level];
    // The last byte, not the end: a range that ends at 2^64 has no end to divide.
    (end.wrapping_sub(1) / span).wrapping_sub(start / span) + 1
}

impl Layout {
    /// Lays out a domain.
    ///
    /// # Errors
    /// [`TooLarge`] if it needs more pages than the domain has, or more than the address space ends with.
    pub fn new(needs: &Needs) -> Result<Self, TooLarge> {
        let layout = Self::compute(needs).ok_or(TooLarge { needed: u64::MAX })?;
        if layout.end_pfn > needs.nr_pages { Err(TooLarge { needed: layout.end_pfn }) } else { Ok(layout) }
    }

    fn compute(needs: &Needs) -> Option<Self> {
        let start = needs.virt_base;
        let p2m_bytes = needs.nr_pages.checked_mul(8)?;
        let p2m_pages = p2m_bytes.div_ceil(PAGE_SIZE);
        let pfn = |address: u64| (address - start) / PAGE_SIZE;
        let mut at = round_up(needs.kernel_end, PAGE_SIZE)?;
        let mut initrd_pfn = pfn(at);
        if !needs.initrd_unmapped {
            at = round_up(at.checked_add(needs.initrd_bytes)?, PAGE_SIZE)?;
        }
        let mut p2m_pfn = pfn(at);
        let mut p2m_address = at;
        if needs.p2m_address.is_none() {
            at = at.checked_add(p2m_pages * PAGE_SIZE)?;
        }
        let start_info = at;
        let tables = at.checked_add(PAGE_SIZE)?;
        let (table_counts, end) = Self::tables(start, tables)?;
        let stack = tables.checked_add(table_counts.iter().sum::<u64>() * PAGE_SIZE)?;
        let mut next_pfn = (end - start) / PAGE_SIZE;
        if needs.initrd_unmapped {
            initrd_pfn = next_pfn;
            next_pfn += needs.initrd_bytes.div_ceil(PAGE_SIZE);
        }
        let mut p2m_tables = [0; 3];
        if let Some(address) = needs.p2m_address {
            p2m_address = address;
            p2m_pfn = next_pfn;
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

    /// How many tables the mapping takes, and where it ends: each depends on the other, and both only grow.
    fn tables(start: u64, tables: u64) -> Option<([u64; 4], u64)> {
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
}
