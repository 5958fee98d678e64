//! The virtual IDT (`public/arch-x86/xen.h`) and the numbers of the CPU's exceptions.

use crate::macros::wire;

/// [`TrapInfo::flags`]: the lowest ring that may raise this with `INT n`, in bits 1:0.
pub const DPL_MASK: u8 = 3;
/// [`TrapInfo::flags`]: the handler starts with events masked.
pub const MASK_EVENTS: u8 = 4;

wire! {
    /// One entry for `set_trap_table` (`struct trap_info`). An entry with address 0 ends the list.
    TrapInfo {
        /// Exception vector.
        vector: u8,
        /// [`DPL_MASK`] and [`MASK_EVENTS`].
        flags: u8,
        /// Code selector of the handler.
        cs: u16,
        /// Padding.
        pad: u32,
        /// Address of the handler.
        address: u64,
    }
}

/// Vectors of the CPU's exceptions (Intel SDM vol. 3, 6.3.1).
pub mod vector {
    /// Divide error.
    pub const DIVIDE_ERROR: u8 = 0;
    /// Debug.
    pub const DEBUG: u8 = 1;
    /// Non-maskable interrupt.
    pub const NMI: u8 = 2;
    /// Breakpoint.
    pub const BREAKPOINT: u8 = 3;
    /// Overflow.
    pub const OVERFLOW: u8 = 4;
    /// Bound range exceeded.
    pub const BOUND_RANGE: u8 = 5;
    /// Invalid opcode.
    pub const INVALID_OPCODE: u8 = 6;
    /// No math coprocessor.
    pub const DEVICE_NOT_AVAILABLE: u8 = 7;
    /// Double fault; pushes an error code.
    pub const DOUBLE_FAULT: u8 = 8;
    /// Invalid TSS; pushes an error code.
    pub const INVALID_TSS: u8 = 10;
    /// Segment not present; pushes an error code.
    pub const SEGMENT_NOT_PRESENT: u8 = 11;
    /// Stack fault; pushes an error code.
    pub const STACK_FAULT: u8 = 12;
    /// General protection; pushes an error code.
    pub const GENERAL_PROTECTION: u8 = 13;
    /// Page fault; pushes an error code.
    pub const PAGE_FAULT: u8 = 14;
    /// Spurious interrupt, reserved.
    pub const SPURIOUS: u8 = 15;
    /// x87 error.
    pub const X87_ERROR: u8 = 16;
    /// Alignment check; pushes an error code.
    pub const ALIGNMENT_CHECK: u8 = 17;
    /// Machine check.
    pub const MACHINE_CHECK: u8 = 18;
    /// SIMD floating point.
    pub const SIMD_ERROR: u8 = 19;
    /// Virtualisation exception.
    pub const VIRTUALISATION: u8 = 20;
    /// Control protection; pushes an error code.
    pub const CONTROL_PROTECTION: u8 = 21;
}

/// Bits of a page fault's error code.
pub mod page_fault {
    /// The page was present: protection was violated.
    pub const PRESENT: u32 = 1 << 0;
    /// A write.
    pub const WRITE: u32 = 1 << 1;
    /// From user mode.
    pub const USER: u32 = 1 << 2;
    /// A reserved bit was set in an entry.
    pub const RESERVED: u32 = 1 << 3;
    /// An instruction fetch.
    pub const FETCH: u32 = 1 << 4;
    /// Against a protection key.
    pub const PKEY: u32 = 1 << 5;
}
