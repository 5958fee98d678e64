//! The firmware's tables. Checksums would keep a fuzzer from getting anywhere, so that the input is mostly taken for the
//! contents of tables, which are put into memory with everything around them right.

use crate::bytes::{balance, put};
use xenocryst_boot::acpi::parse;
use xenocryst_boot::phys::PhysSlice;

/// Where the memory starts: in the area that is searched for the root pointer.
const BASE: u64 = 0xe_0000;
/// Bytes of a table's header.
const HEADER: usize = 36;
const SIGNATURES: [&[u8; 4]; 8] = [
    b"APIC", b"FACP", b"HPET", b"MCFG", b"DSDT", b"SSDT", b"XSDT", b"RSDT",
];

/// The first byte says how to take the rest: as memory, or as tables (8 bits: a signature, 16 bits: a length, the contents).
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else {
        return;
    };
    let built;
    let bytes = if kind == 0 {
        rest
    } else {
        built = tables(rest, kind & 1 != 0);
        &built
    };
    let memory = PhysSlice { base: BASE, bytes };
    for rsdp in [None, Some(BASE), Some(u64::MAX - 3)] {
        let Some(acpi) = parse(&memory, rsdp) else {
            continue;
        };
        for table in &acpi.tables {
            assert!(u64::from(table.length) <= bytes.len() as u64);
            assert!(table.address >= BASE);
        }
        for isa in 0..=u8::MAX {
            let _ = acpi.isa_line(isa);
        }
    }
}

/// A root pointer, a root table, and the tables that `input` describes.
fn tables(mut input: &[u8], wide: bool) -> Vec<u8> {
    const TABLES_AT: usize = 64 + HEADER + 16 * 8;
    let mut out = vec![0; TABLES_AT];
    let mut places = Vec::new();
    let mut last_code = 0;
    while let [signature, low, high, rest @ ..] = input
        && places.len() < 16
    {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (body, after) = rest.split_at(length);
        input = after;
        let at = out.len();
        let name = SIGNATURES[usize::from(*signature) % SIGNATURES.len()];
        out.extend(name);
        put(&mut out, at + 4, 4, (HEADER + length) as u64);
        out.resize(at + HEADER, 0);
        out.extend(body);
        match name {
            b"DSDT" => last_code = BASE + at as u64,
            // Both its pointers to the table with the code.
            b"FACP" if last_code != 0 => {
                for (field, size) in [(40, 4), (140, 8)] {
                    if field + size <= HEADER + length {
                        put(&mut out, at + field, size, last_code);
                    }
                }
            }
            _ => {}
        }
        balance(&mut out[at..], 9);
        places.push(BASE + at as u64);
    }
    root(&mut out, &places, wide);
    out
}

fn root(out: &mut [u8], places: &[u64], wide: bool) {
    let width = if wide { 8 } else { 4 };
    let mut table = if wide { b"XSDT" } else { b"RSDT" }.to_vec();
    table.resize(HEADER, 0);
    for (index, &place) in places.iter().enumerate() {
        put(&mut table, HEADER + index * width, width, place);
    }
    let length = table.len() as u64;
    put(&mut table, 4, 4, length);
    balance(&mut table, 9);
    out[64..64 + table.len()].copy_from_slice(&table);
    let mut pointer = b"RSD PTR ".to_vec();
    put(&mut pointer, 15, 1, if wide { 2 } else { 0 });
    put(&mut pointer, 16, 4, BASE + 64);
    put(&mut pointer, 20, 4, 36);
    put(&mut pointer, 24, 8, BASE + 64);
    pointer.resize(36, 0);
    balance(&mut pointer[..20], 8);
    balance(&mut pointer, 32);
    out[..36].copy_from_slice(&pointer);
}

fn table(signature: u8, body: &[u8]) -> Vec<u8> {
    [
        &[signature],
        (body.len() as u16).to_le_bytes().as_slice(),
        body,
    ]
    .concat()
}

/// Every table that is read, in both forms of the root; and the memory itself.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut interrupts = vec![0; 8];
    interrupts.extend([0, 8, 0, 0, 1, 0, 0, 0]);
    interrupts.extend([1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    interrupts.extend([2, 10, 0, 9, 9, 0, 0, 0, 13, 0]);
    interrupts.extend([9, 16, 0, 0, 7, 1, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]);
    let mut fixed = vec![0; 240];
    put(&mut fixed, 46 - HEADER, 2, 9);
    put(&mut fixed, 64 - HEADER, 4, 0x604);
    put(&mut fixed, 76 - HEADER, 4, 0x608);
    put(&mut fixed, 112 - HEADER, 4, 1 << 10);
    put(&mut fixed, 116 - HEADER, 8, 0xcf9_0001_0801);
    let code = b"\x10\x05\\_SB_\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05\0\0";
    let mut pci = vec![0; 8];
    pci.extend([0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0]);
    let clock = [
        0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0xd0, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let all = [
        table(0, &interrupts),
        table(4, code),
        table(1, &fixed),
        table(2, &clock),
        table(3, &pci),
    ]
    .concat();
    vec![
        [&[1], all.as_slice()].concat(),
        [&[2], all.as_slice()].concat(),
        [&[0], tables(&all, true).as_slice()].concat(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_seeds_are_found() {
        for wide in [false, true] {
            let bytes = tables(&seeds()[0][1..], wide);
            let acpi = parse(
                &PhysSlice {
                    base: BASE,
                    bytes: &bytes,
                },
                None,
            )
            .unwrap();
            assert!(acpi.tables.len() >= 5);
            assert_eq!((acpi.processors.len(), acpi.ioapics.len()), (2, 1));
            assert!(acpi.hpet.is_some() && !acpi.pci.is_empty());
        }
    }
}
