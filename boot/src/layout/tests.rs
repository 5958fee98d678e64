//! Layouts of usual and of impossible domains, and a walk through the tables that a layout describes.

use super::*;
use alloc::collections::BTreeMap;
use alloc::string::ToString;

const BASE: u64 = 0xffff_ffff_8000_0000;

fn debian(nr_pages: u64) -> Needs {
    Needs {
        virt_base: BASE,
        kernel_end: 0xffff_ffff_84a0_0000,
        initrd_bytes: 20_000_001,
        initrd_unmapped: true,
        p2m_address: Some(0x80_0000_0000),
        nr_pages,
    }
}

fn plain(nr_pages: u64) -> Needs {
    Needs {
        initrd_unmapped: false,
        p2m_address: None,
        ..debian(nr_pages)
    }
}

/// The parts of a layout as ranges of PFNs.
fn parts(needs: &Needs, layout: &Layout) -> [(u64, u64); 6] {
    let initrd = needs.initrd_bytes.div_ceil(PAGE_SIZE);
    let tables = layout.pfn_of(layout.tables);
    let (info, stack) = (
        layout.pfn_of(layout.start_info),
        layout.pfn_of(layout.stack),
    );
    let p2m_frames = if needs.p2m_address.is_some() {
        layout.nr_p2m_frames()
    } else {
        layout.p2m_pages
    };
    [
        (0, (needs.kernel_end - needs.virt_base).div_ceil(PAGE_SIZE)),
        (layout.initrd_pfn, layout.initrd_pfn + initrd),
        (layout.p2m_pfn, layout.p2m_pfn + p2m_frames),
        (info, info + 1),
        (tables, tables + layout.nr_tables()),
        (stack, stack + 1),
    ]
}

#[test]
fn nothing_overlaps_and_everything_fits() {
    for nr_pages in [60_000, 65_536, 131_072, 1_572_864, 16 << 20] {
        for needs in [
            debian(nr_pages),
            plain(nr_pages),
            Needs {
                initrd_bytes: 0,
                ..debian(nr_pages)
            },
        ] {
            let layout = Layout::new(&needs).unwrap();
            let mut parts = parts(&needs, &layout).to_vec();
            parts.retain(|part| part.0 < part.1);
            parts.sort();
            assert!(
                parts.windows(2).all(|pair| pair[0].1 <= pair[1].0),
                "{needs:?} {parts:x?}"
            );
            assert!(parts.iter().all(|part| part.1 <= layout.end_pfn));
            assert!(layout.end_pfn <= nr_pages);
        }
    }
}

#[test]
fn the_mapping_ends_rounded_and_padded() {
    for kernel_end in (0xffff_ffff_8400_0000u64..0xffff_ffff_8440_0000).step_by(0x3_7000) {
        let layout = Layout::new(&Needs {
            kernel_end,
            ..debian(131_072)
        })
        .unwrap();
        assert_eq!(layout.end % ROUND, 0);
        assert!(layout.end - (layout.stack + PAGE_SIZE) >= PADDING);
        assert_eq!(layout.stack, layout.tables + layout.nr_tables() * PAGE_SIZE);
    }
}

#[test]
fn a_kernel_without_wishes_gets_everything_inside_its_mapping() {
    let layout = Layout::new(&plain(131_072)).unwrap();
    assert!(layout.p2m_mapping().is_none());
    assert_eq!(layout.nr_p2m_frames(), 0);
    assert_eq!(layout.p2m_address, BASE + layout.p2m_pfn * PAGE_SIZE);
    assert_eq!(layout.end_pfn, layout.pfn_of(layout.end));
}

/// Entries as the builder writes them: by table and slot, the PFN named and whether it is a page rather than a table.
fn entries(mapping: &Mapping, entries: &mut BTreeMap<(u64, u64), u64>) {
    for level in 1..=4 {
        let (step, span) = (SPAN[level - 1], SPAN[level]);
        let mut at = mapping.start / step * step;
        while at < mapping.end {
            let table = mapping.tables[level - 1] + (at / span - mapping.start / span);
            let target = match level {
                1 => mapping.pfn + (at - mapping.start) / PAGE_SIZE,
                _ => mapping.tables[level - 2] + (at / step - mapping.start / step),
            };
            assert_eq!(entries.insert((table, at % span / step), target), None);
            let Some(next) = at.checked_add(step) else {
                break;
            };
            at = next;
        }
    }
}

#[test]
fn a_walk_from_the_root_finds_every_page_and_only_tables_on_its_way() {
    for needs in [
        debian(300_000),
        plain(131_072),
        Needs {
            virt_base: 0,
            kernel_end: 1 << 24,
            ..debian(60_000)
        },
    ] {
        let layout = Layout::new(&needs).unwrap();
        let mut tables = BTreeMap::new();
        let mappings = [Some(layout.main_mapping()), layout.p2m_mapping()];
        mappings
            .iter()
            .flatten()
            .for_each(|mapping| entries(mapping, &mut tables));
        for mapping in mappings.iter().flatten() {
            for page in 0..(mapping.end - mapping.start) / PAGE_SIZE {
                let address = mapping.start + page * PAGE_SIZE;
                let mut at = layout.pfn_of(layout.tables);
                for level in (1..=4).rev() {
                    assert!(layout.is_table(at));
                    at = tables[&(at, address % SPAN[level] / SPAN[level - 1])];
                }
                assert_eq!(at, mapping.pfn + page);
            }
        }
        let described = tables
            .keys()
            .map(|key| key.0)
            .collect::<alloc::collections::BTreeSet<_>>();
        assert_eq!(
            described.len() as u64,
            layout.nr_tables() + layout.p2m_tables.iter().sum::<u64>()
        );
    }
}

#[test]
fn too_little_memory_is_refused_with_what_is_needed() {
    let Err(Refusal::TooLittleMemory {
        pages: 10_000,
        needed,
    }) = Layout::new(&debian(10_000))
    else {
        panic!()
    };
    assert!(needed > 10_000);
    // What is said to be needed is enough, but for the P2M's growth with the domain.
    assert!(Layout::new(&debian(needed + needed / 100)).is_ok());
    assert!(
        Layout::new(&Needs {
            initrd_bytes: u64::MAX,
            ..debian(1 << 20)
        })
        .is_err()
    );
    assert!(Layout::new(&debian(0)).is_err());
    assert!(Layout::new(&debian(u64::MAX)).is_err());
}

#[test]
fn wishes_that_conflict_are_refused() {
    let refusal = |needs: Needs| Layout::new(&needs).unwrap_err().to_string();
    let at = |p2m_address| Needs {
        p2m_address: Some(p2m_address),
        ..debian(131_072)
    };
    assert!(refusal(at(BASE - (1 << 30))).contains("the kernel's own mapping"));
    assert!(refusal(at(HYPERVISOR_VIRT_START)).contains("the hypervisor's addresses"));
    assert!(refusal(at(HYPERVISOR_VIRT_END - PAGE_SIZE)).contains("the hypervisor's addresses"));
    assert!(refusal(at(1 << 50)).contains("addresses that do not exist"));
    assert!(refusal(at((1 << 47) - PAGE_SIZE)).contains("addresses that do not exist"));
    assert!(refusal(at(0u64.wrapping_sub(PAGE_SIZE))).contains("end of the address space"));
    let inside = Needs {
        virt_base: HYPERVISOR_VIRT_START,
        kernel_end: HYPERVISOR_VIRT_START + 4096,
        ..debian(131_072)
    };
    assert!(refusal(inside).contains("the hypervisor's addresses"));
    let top = Needs {
        virt_base: 0u64.wrapping_sub(1 << 20),
        kernel_end: u64::MAX - 8191,
        ..debian(131_072)
    };
    assert!(refusal(top).contains("end of the address space"));
}
