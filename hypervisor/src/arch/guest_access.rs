//! Reading and writing guest memory by the guest's own linear addresses, in the address space that is loaded.
//!
//! Keeps true: no access touches the hypervisor's range; a fault inside comes back as `EFAULT`, never as a crash;
//! whatever is read is read once, into private storage: builds with debug assertions say where a byte is read again for the
//! same request (I47). A guest address is an allegation: only a copy proves it.
//! Neighbours: `arch::extable` (how a fault finds its way back), `hypercall` and `traps` (the users).

use core::arch::asm;
use core::mem::{MaybeUninit, size_of};

use xenocryst_abi::hypercall::errno::{EFAULT, Errno};
use xenocryst_abi::{Vaddr, layout};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// First address of the hypervisor's range (`HYPERVISOR_VIRT_START`).
pub const HYPERVISOR_START: u64 = layout::HYPERVISOR_VIRT_START;
/// First address above it (`HYPERVISOR_VIRT_END`).
pub const HYPERVISOR_END: u64 = layout::HYPERVISOR_VIRT_END;
/// First address above the canonical ones of the lower half.
const LOWER_HALF_END: u64 = 1 << 47;

/// Whether `len` bytes at `at` lie wholly outside the hypervisor's range, without wrapping.
#[inline(always)]
pub fn is_guest_range(at: Vaddr, len: u64) -> bool {
    match at.raw().checked_add(len) {
        Some(end) => end <= HYPERVISOR_START || at.raw() >= HYPERVISOR_END,
        // The very last byte of the address space ends a range at 2^64.
        None => false,
    }
}

/// Whether something of the guest's may begin at `at`: a canonical address outside the hypervisor's range.
#[inline(always)]
pub fn is_guest_address(at: Vaddr) -> bool {
    at.raw() < LOWER_HALF_END || at.raw() >= HYPERVISOR_END
}

/// Reads the 8 bytes at `at`.
///
/// # Errors
/// `EFAULT` if the address is the hypervisor's, or nothing readable is mapped there.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub fn read_u64(at: Vaddr) -> Result<u64, Errno> {
    read_words::<1>(at).map(|[word]| word)
}

/// Writes 8 bytes at `at`.
///
/// # Errors
/// `EFAULT` if the address is the hypervisor's, or nothing writable is mapped there.
#[inline(always)]
pub fn write_u64(at: Vaddr, value: u64) -> Result<(), Errno> {
    write_words(at, &[value])
}

/// Reads `N` words from `at` on.
///
/// # Errors
/// As [`read_u64`], for any of them.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub fn read_words<const N: usize>(at: Vaddr) -> Result<[u64; N], Errno> {
    if !is_guest_range(at, N as u64 * 8) {
        return Err(EFAULT);
    }
    fetching(at, N as u64 * 8);
    let mut words = [0; N];
    let mut fault: u32 = 0;
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: inside the range checked; a fault is recovered by the exception table with `fault` set.
        unsafe {
            asm!(
                "2: mov {value}, [{at}]",
                "3:",
                ".pushsection .ex_table, \"a\"",
                ".long 2b - ., 4f - .",
                ".popsection",
                ".pushsection .text.fixup, \"ax\"",
                "4: mov {fault:e}, 1",
                "xor {value:e}, {value:e}",
                "jmp 3b",
                ".popsection",
                at = in(reg) at.raw() + index as u64 * 8,
                value = out(reg) *word,
                fault = inout(reg) fault,
                options(nostack),
            );
        }
    }
    if fault == 0 { Ok(words) } else { Err(EFAULT) }
}

/// Writes `N` words from `at` on.
///
/// # Errors
/// As [`write_u64`], for any of them; those before it may have been written.
#[inline(always)]
pub fn write_words<const N: usize>(at: Vaddr, words: &[u64; N]) -> Result<(), Errno> {
    if !is_guest_range(at, N as u64 * 8) {
        return Err(EFAULT);
    }
    let mut fault: u32 = 0;
    for (index, word) in words.iter().enumerate() {
        // SAFETY: as in `read_words`; the store goes to guest memory only.
        unsafe {
            asm!(
                "2: mov [{at}], {value}",
                "3:",
                ".pushsection .ex_table, \"a\"",
                ".long 2b - ., 4f - .",
                ".popsection",
                ".pushsection .text.fixup, \"ax\"",
                "4: mov {fault:e}, 1",
                "jmp 3b",
                ".popsection",
                at = in(reg) at.raw() + index as u64 * 8,
                value = in(reg) *word,
                fault = inout(reg) fault,
                options(nostack),
            );
        }
    }
    if fault == 0 { Ok(()) } else { Err(EFAULT) }
}

/// Copies `words` words of 8 bytes and then `tail` bytes. Returns false on a fault.
///
/// # Safety
/// One side must be a guest range checked by [`is_guest_range`], the other memory of the hypervisor that is valid for the
/// access and not reachable through a live reference elsewhere.
#[inline(always)]
unsafe fn copy_raw(to: u64, from: u64, words: usize, tail: usize) -> bool {
    let fault: u64;
    // SAFETY: the caller's contract; a fault in either string instruction is recovered with `fault` set.
    unsafe {
        asm!(
            "xor {fault:e}, {fault:e}",
            "2: rep movsq",
            "mov rcx, {tail}",
            "3: rep movsb",
            "4:",
            ".pushsection .ex_table, \"a\"",
            ".long 2b - ., 5f - .",
            ".long 3b - ., 5f - .",
            ".popsection",
            ".pushsection .text.fixup, \"ax\"",
            "5: mov {fault:e}, 1",
            "jmp 4b",
            ".popsection",
            inout("rdi") to => _,
            inout("rsi") from => _,
            inout("rcx") words => _,
            tail = in(reg) tail,
            fault = out(reg) fault,
        );
    }
    fault == 0
}

/// Copies guest memory at `at` into `to`.
///
/// # Errors
/// `EFAULT` if any byte cannot be read; `to` may then be partly overwritten.
#[inline]
#[cfg_attr(debug_assertions, track_caller)]
pub fn copy_from(to: &mut [u8], at: Vaddr) -> Result<(), Errno> {
    if !is_guest_range(at, to.len() as u64) {
        return Err(EFAULT);
    }
    fetching(at, to.len() as u64);
    // SAFETY: the guest range is checked; `to` is a unique borrow.
    let done = unsafe { copy_raw(to.as_mut_ptr() as u64, at.raw(), to.len() / 8, to.len() % 8) };
    if done { Ok(()) } else { Err(EFAULT) }
}

/// Copies `from` to guest memory at `at`.
///
/// # Errors
/// `EFAULT` if any byte cannot be written; the bytes before it may have been.
#[inline]
pub fn copy_to(at: Vaddr, from: &[u8]) -> Result<(), Errno> {
    if !is_guest_range(at, from.len() as u64) {
        return Err(EFAULT);
    }
    // SAFETY: the guest range is checked; `from` is only read.
    let done = unsafe {
        copy_raw(
            at.raw(),
            from.as_ptr() as u64,
            from.len() / 8,
            from.len() % 8,
        )
    };
    if done { Ok(()) } else { Err(EFAULT) }
}

/// Reads a value of any plain type at `at`, which need not be aligned.
///
/// # Errors
/// As [`copy_from`].
#[inline]
#[cfg_attr(debug_assertions, track_caller)]
pub fn read<T: FromBytes>(at: Vaddr) -> Result<T, Errno> {
    if !is_guest_range(at, size_of::<T>() as u64) {
        return Err(EFAULT);
    }
    fetching(at, size_of::<T>() as u64);
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the guest range is checked; the other side is our own storage of that size.
    let done = unsafe {
        copy_raw(
            value.as_mut_ptr() as u64,
            at.raw(),
            size_of::<T>() / 8,
            size_of::<T>() % 8,
        )
    };
    if !done {
        return Err(EFAULT);
    }
    // SAFETY: every byte is initialised, and any bytes make a `T: FromBytes`.
    Ok(unsafe { value.assume_init() })
}

/// Writes a value of any plain type at `at`.
///
/// # Errors
/// As [`copy_to`].
#[inline]
pub fn write<T: IntoBytes + Immutable>(at: Vaddr, value: &T) -> Result<(), Errno> {
    copy_to(at, value.as_bytes())
}

/// What is read from now on belongs to another request of the guest's: a hypercall, an element of a batch, an instruction.
#[inline(always)]
pub fn next_request() {
    #[cfg(debug_assertions)]
    once::next_request();
}

/// `bytes` bytes at `at` are about to be read.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
fn fetching(at: Vaddr, bytes: u64) {
    #[cfg(debug_assertions)]
    once::fetching(at, bytes);
    #[cfg(not(debug_assertions))]
    let _ = (at, bytes);
}

/// What each CPU read for the request that it is at.
#[cfg(debug_assertions)]
mod once {
    use core::cell::RefCell;
    use core::panic::Location;

    use xenocryst_abi::Vaddr;
    use xenocryst_vcpu::fetches::Fetches;

    use crate::console::say;
    use crate::percpu::{MAX_CPUS, this_cpu};

    struct Own(RefCell<Fetches>);

    // SAFETY: each CPU uses only its own, and is not interrupted while it does.
    unsafe impl Sync for Own {}

    static FETCHES: [Own; MAX_CPUS] = [const { Own(RefCell::new(Fetches::new())) }; MAX_CPUS];

    fn own() -> &'static RefCell<Fetches> {
        &FETCHES[this_cpu().cpu as usize % MAX_CPUS].0
    }

    pub fn next_request() {
        own().borrow_mut().begin();
    }

    #[track_caller]
    pub fn fetching(at: Vaddr, bytes: u64) {
        if !own().borrow_mut().read(at.raw(), bytes) {
            let place = Location::caller();
            say!(
                "fetched twice: {bytes} bytes at {:x}, by {}:{}",
                at.raw(),
                place.file(),
                place.line()
            );
        }
    }
}
