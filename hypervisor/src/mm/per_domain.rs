//! L4 slot 260, the one that differs between domains: for each vCPU, windows of 16 pages onto its GDT and its LDT.
//!
//! Keeps true: the windows are mapped for the hypervisor only (no user bit); a domain's tree is its own, so that loading
//! one of its roots brings its windows with it. No page of a GDT window is ever unmapped: where the guest has none there
//! are null descriptors, so that a selector up to the limit faults as a bad selector and not as a hole in our own tables.
//! Neighbours: `domain` (owns a [`PerDomain`] each), descriptor-table hypercalls (fill the windows).

use xenocryst_abi::Mfn;

use super::layout::{self, PER_DOMAIN};
use super::tables::{self, NoFrame, bits};

/// Pages of one vCPU's window: 16 of GDT, then 16 of LDT.
pub const WINDOW_PAGES: usize = 32;
/// Pages of the GDT part.
pub const GDT_PAGES: usize = 16;
/// vCPUs whose windows one L1 table holds.
const VCPUS_PER_L1: usize = 512 / WINDOW_PAGES;

/// A page of null descriptors.
#[repr(align(4096))]
struct NullPage([u8; 4096]);

static NULL_PAGE: NullPage = NullPage([0; 4096]);

/// A domain's own part of the address space.
pub struct PerDomain {
    tree: tables::Tree,
    vcpus: usize,
}

impl PerDomain {
    /// Makes the tables for `vcpus` (at most 64) vCPUs, with no frame of a guest mapped.
    ///
    /// # Errors
    /// [`NoFrame`] when memory is exhausted.
    pub fn new(vcpus: usize) -> Result<Self, NoFrame> {
        assert!(vcpus <= crate::percpu::MAX_CPUS);
        let made = Self {
            tree: tables::build_tree(vcpus.div_ceil(VCPUS_PER_L1))?,
            vcpus,
        };
        for vcpu in 0..vcpus {
            (0..GDT_PAGES).for_each(|page| made.set(vcpu, page, None));
        }
        Ok(made)
    }

    /// What stands in L4 slot 260 of each of the domain's roots.
    pub fn slot_entry(&self) -> u64 {
        self.tree.l3.maddr().raw() | tables::TABLE
    }

    /// The linear address of `vcpu`'s GDT window.
    pub const fn gdt_address(vcpu: usize) -> u64 {
        PER_DOMAIN + (vcpu * WINDOW_PAGES) as u64 * 4096
    }

    /// The linear address of `vcpu`'s LDT window.
    pub const fn ldt_address(vcpu: usize) -> u64 {
        Self::gdt_address(vcpu) + GDT_PAGES as u64 * 4096
    }

    /// Maps `frame` writable for the hypervisor at page `page` (below [`WINDOW_PAGES`]) of `vcpu`'s window, or unmaps the
    /// page. The caller holds a reference on the frame, and flushes the address on the CPU that runs the vCPU.
    pub fn set(&self, vcpu: usize, page: usize, frame: Option<Mfn>) {
        assert!(vcpu < self.vcpus && page < WINDOW_PAGES);
        // Not global: the same address means other frames in other domains.
        let flags = tables::DATA & !bits::GLOBAL;
        let value = match frame {
            Some(frame) => frame.maddr().raw() | flags,
            None if page < GDT_PAGES => null_page(),
            None => 0,
        };
        if let Some(Some(table)) = self.tree.l1.get(vcpu / VCPUS_PER_L1) {
            tables::write_leaf(*table, (vcpu % VCPUS_PER_L1) * WINDOW_PAGES + page, value);
        }
    }
}

impl Drop for PerDomain {
    /// Gives the tables back. No CPU has a root loaded that names them, or will have.
    fn drop(&mut self) {
        tables::free_tree(&self.tree);
    }
}

/// The entry that maps the page of null descriptors.
fn null_page() -> u64 {
    let at = layout::maddr_of(&raw const NULL_PAGE.0 as *const u8 as u64);
    at.map_or(0, |at| at.raw() | tables::READ_ONLY & !bits::GLOBAL)
}
