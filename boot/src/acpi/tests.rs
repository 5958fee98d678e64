use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::phys::PhysSlice;

/// A machine's first MiB and a bit, with tables put in by address.
struct Machine(Vec<u8>);

impl Machine {
    fn new() -> Self {
        Self(vec![0; 0x11_0000])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts a table with the given signature and body, its length and checksum filled in.
    fn put_table(&mut self, at: usize, signature: &[u8; 4], body: &[u8]) {
        let mut table = vec![0; HEADER];
        table[..4].copy_from_slice(signature);
        table[4..8].copy_from_slice(&((HEADER + body.len()) as u32).to_le_bytes());
        table.extend_from_slice(body);
        let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        table[9] = sum.wrapping_neg();
        self.put(at, &table);
    }

    /// Puts a root pointer of revision 0.
    fn put_root(&mut self, at: usize, rsdt: u32) {
        let mut root = [0; 20];
        root[..8].copy_from_slice(b"RSD PTR ");
        root[16..20].copy_from_slice(&rsdt.to_le_bytes());
        let sum = root.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        root[8] = sum.wrapping_neg();
        self.put(at, &root);
    }

    fn parse(&self, rsdp: Option<u64>) -> Option<Acpi> {
        parse(
            &PhysSlice {
                base: 0,
                bytes: &self.0,
            },
            rsdp,
        )
    }
}

fn madt() -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend_from_slice(&[0, 8, 0, 0, 1, 0, 0, 0]);
    body.extend_from_slice(&[0, 8, 1, 5, 0, 0, 0, 0]);
    body.extend_from_slice(&[1, 12, 7, 0, 0, 0, 0xc0, 0xfe, 16, 0, 0, 0]);
    body.extend_from_slice(&[2, 10, 0, 9, 20, 0, 0, 0, 0x0f, 0]);
    body.extend_from_slice(&[9, 16, 0, 0, 0x34, 0x12, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]);
    body
}

fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.put_root(0xf_0010, 0x1000);
    let list: Vec<u8> = [0x2000_u32, 0x3000, 0x4000]
        .iter()
        .flat_map(|at| at.to_le_bytes())
        .collect();
    machine.put_table(0x1000, b"RSDT", &list);
    machine.put_table(0x2000, b"APIC", &madt());
    let mut fixed = vec![0; 244 - HEADER];
    let mut set = |at: usize, bytes: &[u8]| {
        fixed[at - HEADER..at - HEADER + bytes.len()].copy_from_slice(bytes)
    };
    set(40, &0x5000_u32.to_le_bytes());
    set(46, &[9, 0]);
    set(64, &0x604_u32.to_le_bytes());
    set(76, &0x608_u32.to_le_bytes());
    set(112, &(1_u32 << 10).to_le_bytes());
    set(116, &[1, 8, 0, 0, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 0x0f]);
    machine.put_table(0x3000, b"FACP", &fixed);
    let mut hpet = vec![0; 20];
    hpet[8..16].copy_from_slice(&0xfed0_0000_u64.to_le_bytes());
    machine.put_table(0x4000, b"HPET", &hpet);
    machine.put_table(
        0x5000,
        b"DSDT",
        b"junk_S5_\x08_S5_\x12\x06\x04\x0a\x05\x0a\x06\x00\x00",
    );
    machine
}

#[test]
fn a_whole_machine_is_read() {
    let acpi = machine().parse(None).unwrap();
    assert_eq!(acpi.rsdp, 0xf_0010);
    let cpus: Vec<_> = acpi
        .processors
        .iter()
        .map(|cpu| (cpu.apic_id, cpu.acpi_id, cpu.enabled))
        .collect();
    assert_eq!(cpus, [(0, 0, true), (5, 1, false), (0x1234, 3, true)]);
    assert_eq!(
        acpi.ioapics,
        [IoApic {
            id: 7,
            address: 0xfec0_0000,
            first_gsi: 16
        }]
    );
    let line = acpi.isa_line(9);
    assert!(line.gsi == 20 && line.level && line.active_low);
    assert_eq!(acpi.isa_line(4).gsi, 4);
    let fixed = acpi.fixed.unwrap();
    assert_eq!(
        (fixed.sci, fixed.pm1a_control, fixed.pm_timer),
        (9, 0x604, 0x608)
    );
    assert_eq!(fixed.reset, Some((0xcf9, 0x0f)));
    assert_eq!(acpi.hpet, Some(0xfed0_0000));
    assert_eq!(acpi.s5, Some((5, 6)));
}

#[test]
fn the_loaders_root_pointer_is_preferred_if_it_is_one() {
    let mut machine = machine();
    machine.put_root(0x8000, 0x1000);
    assert_eq!(machine.parse(Some(0x8000)).unwrap().rsdp, 0x8000);
    assert_eq!(machine.parse(Some(0x8010)).unwrap().rsdp, 0xf_0010);
    assert!(Machine::new().parse(Some(0x8000)).is_none());
}

#[test]
fn a_table_with_a_wrong_sum_or_length_is_passed_over() {
    let mut machine = machine();
    machine.put(0x2030, &[0xff]);
    machine.put(0x4004, &[0xff, 0xff, 0xff, 0x7f]);
    let acpi = machine.parse(None).unwrap();
    assert!(acpi.processors.is_empty() && acpi.hpet.is_none());
    assert!(acpi.fixed.is_some());
}

#[test]
fn structures_that_lie_about_their_length_end_the_list() {
    for lie in [0, 1, 200] {
        let mut machine = machine();
        let mut body = madt();
        body[8 + 8 + 1] = lie;
        machine.put_table(0x2000, b"APIC", &body);
        assert_eq!(machine.parse(None).unwrap().processors.len(), 1);
    }
}

#[test]
fn cutting_any_table_short_does_no_harm() {
    let whole = machine();
    for length in (0..0x5100).step_by(97).chain(0xf_0000..0xf_0030) {
        let cut = Machine(whole.0.iter().take(length).copied().collect());
        let _ = cut.parse(Some(0xf_0010));
        let _ = sleep_types(&whole.0[0x5000 + HEADER..0x5000 + HEADER + length % 30]);
    }
}
