//! Kernels as ELF images: headers, segments, notes, what they ask for, and the layout of the domain that follows.

use crate::image;
use xenocryst_boot::kernel::pv_kernel;
use xenocryst_boot::layout::{Layout, Mapping, Needs};
use xenocryst_boot::notes::PvKernel;

/// The most notes that are looked at here: a 64 KiB input holds fewer.
const NOTES: usize = 10_000;

/// The image is all of `data`.
pub fn run(data: &[u8]) {
    let Ok(kernel) = pv_kernel(data) else {
        return;
    };
    check_segments(&kernel, data);
    assert!((kernel.virt_start..kernel.virt_end).contains(&kernel.entry));
    for note in kernel.elf.notes().take(NOTES) {
        assert!(note.owner.len() <= data.len());
    }
    for (initrd, pages) in [
        (0, 16 << 10),
        (20 << 20, 128 << 10),
        (u64::MAX, u64::MAX),
        (1, 1 << 40),
    ] {
        if let Ok(layout) = Layout::new(&Needs::of(&kernel, initrd, pages)) {
            check_layout(&layout, pages);
        }
    }
}

/// What a loader copies comes from the file, and goes between the addresses that were checked.
fn check_segments(kernel: &PvKernel<'_>, data: &[u8]) {
    let (start, end) = kernel.elf.extent();
    for segment in kernel.elf.segments() {
        assert!(segment.file.len() as u64 <= segment.memory_bytes);
        assert!(segment.file.len() <= data.len());
        let last = segment.physical.checked_add(segment.memory_bytes).unwrap();
        assert!(start <= segment.physical && last <= end);
    }
}

/// Everything lies inside the domain.
fn check_layout(layout: &Layout, pages: u64) {
    assert!(layout.end_pfn <= pages);
    let mappings = [Some(layout.main_mapping()), layout.p2m_mapping()];
    for Mapping { start, end, .. } in mappings.into_iter().flatten() {
        assert!(start < end);
    }
    assert!(layout.nr_tables() < pages && layout.nr_p2m_frames() < pages);
}

/// A kernel with all notes, by segments; one with sections; one that is not for Xen.
pub fn seeds() -> Vec<Vec<u8>> {
    image::kernels()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seeds_can_be_started() {
        for seed in &seeds()[..2] {
            let kernel = pv_kernel(seed).unwrap();
            assert!(Layout::new(&Needs::of(&kernel, 0, 16 << 10)).is_ok());
        }
    }
}
