//! Where the hypervisor may fault on purpose, and where it goes on then.
//!
//! Keeps true: an instruction is listed exactly if a guest or the machine decides whether it faults. A fault in ring 0
//! anywhere else is a bug and stops the host.
//! Neighbours: `arch::guest_access` and `arch::msr` fill the table; `traps` consults it.

/// One entry, as two 32-bit distances from the field itself, so that the table needs no relocation.
#[repr(C)]
struct Entry {
    fault: i32,
    fixup: i32,
}

unsafe extern "C" {
    static __ex_table_start: u8;
    static __ex_table_end: u8;
}

/// The address at which to go on after a fault at `rip`, if that fault is an expected one.
pub fn fixup(rip: u64) -> Option<u64> {
    // SAFETY: the linker script places both symbols around the table and nothing writes to it.
    let entries = unsafe {
        let start = core::ptr::addr_of!(__ex_table_start);
        let bytes = core::ptr::addr_of!(__ex_table_end) as usize - start as usize;
        core::slice::from_raw_parts(start.cast::<Entry>(), bytes / size_of::<Entry>())
    };
    entries.iter().find_map(|entry| {
        let target = |field: &i32| {
            (core::ptr::from_ref(field) as u64).wrapping_add_signed(i64::from(*field))
        };
        (target(&entry.fault) == rip).then(|| target(&entry.fixup))
    })
}
