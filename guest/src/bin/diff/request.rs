//! A hypercall ready to be made: its number, its arguments, the memory they point to, and what to tell of its answer.
//!
//! What it keeps true: the description says everything that decides the answer, with frames by name.

use core::fmt::Write;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::hypercall;
use xenocryst_guest::pages::Pages;

use crate::line::Line;
use crate::world::VIEW_BASE;

/// Memory for arguments, and a page behind it that is not mapped once [`Memory::new`] was called.
static ARGUMENTS: Pages<3> = Pages::new();
/// Pages of it that are mapped.
const MAPPED: u64 = 2;

/// The memory that the arguments of one request point to.
pub struct Memory {
    used: u64,
}

impl Memory {
    /// Makes the page behind the arguments go away.
    pub fn new() -> Self {
        let behind = ARGUMENTS.address(MAPPED as usize);
        // SAFETY: nothing else uses the page.
        let answer =
            unsafe { xenocryst_guest::mmu::set_entry(behind, xenocryst_guest::abi::Pte::EMPTY) };
        assert!(answer == 0, "the page behind the arguments: {answer}");
        Self { used: 0 }
    }

    /// Forgets what was put.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Where the first words are put.
    pub fn first(&self) -> u64 {
        ARGUMENTS.address(0)
    }

    /// Puts words, and says where.
    pub fn put(&mut self, words: &[u64]) -> u64 {
        let address = ARGUMENTS.address(0) + 8 * self.used;
        assert!(
            8 * (self.used + words.len() as u64) <= MAPPED * 4096,
            "too many arguments"
        );
        self.used += words.len() as u64;
        write(address, words);
        address
    }

    /// Puts words directly before the page that is not mapped.
    pub fn put_at_edge(&mut self, words: &[u64]) -> u64 {
        let address = ARGUMENTS.address(MAPPED as usize) - 8 * words.len() as u64;
        write(address, words);
        address
    }
}

/// Writes words to argument memory.
fn write(address: u64, words: &[u64]) {
    for (n, word) in words.iter().enumerate() {
        // SAFETY: within ARGUMENTS, as `put` and `put_at_edge` made sure.
        unsafe { ((address + 8 * n as u64) as *mut u64).write_volatile(*word) };
    }
}

/// Reads a word of argument memory.
pub fn word(address: u64) -> u64 {
    // SAFETY: only called with addresses that `Memory` gave.
    unsafe { (address as *const u64).read_volatile() }
}

/// Addresses that no argument may be at, and what they are called.
pub const BAD_POINTERS: [(u64, &str); 6] = [
    (0, "null"),
    (VIEW_BASE + (400 << 12), "unmapped"),
    (VIEW_BASE, "read-only"),
    (0xffff_8300_0000_0000, "direct-map"),
    (0xffff_8000_0000_0000, "m2p"),
    (0x0000_8000_0000_0000, "non-canonical"),
];

/// What to tell besides the answer.
#[derive(Clone, Copy)]
pub enum After {
    /// Nothing.
    Nothing,
    /// The count of what was done, at an address, if there is one.
    Done(u64),
}

/// A hypercall.
#[derive(Clone, Copy)]
pub struct Call {
    pub number: u64,
    pub arguments: [u64; 5],
    pub after: After,
}

impl Call {
    /// Without anything to tell but the answer.
    pub fn new(number: u64, arguments: [u64; 5]) -> Self {
        Self {
            number,
            arguments,
            after: After::Nothing,
        }
    }

    /// Makes it, and tells the answer.
    ///
    /// # Safety
    /// That of [`hypercall::call`].
    pub unsafe fn make(&self, line: &mut Line) -> i64 {
        // SAFETY: the caller's.
        let answer = unsafe { hypercall::call(self.number, self.arguments) };
        let _ = write!(line, " -> {answer}");
        self.tell(line);
        answer
    }

    /// Tells what there is besides the answer.
    pub fn tell(&self, line: &mut Line) {
        match self.after {
            After::Nothing => {}
            After::Done(address) => {
                let _ = write!(line, " done {:x}", word(address) as u32);
            }
        }
    }
}

/// Makes calls as one multicall, and tells all answers.
///
/// # Safety
/// That of [`hypercall::call`], for each.
pub unsafe fn multicall(memory: &mut Memory, calls: &[Call], line: &mut Line) {
    let mut words = [0; 8 * 8];
    for (entry, call) in words.chunks_exact_mut(8).zip(calls) {
        entry[0] = call.number;
        entry[1] = 0x5a5a;
        entry[2..7].copy_from_slice(&call.arguments);
    }
    let list = memory.put(&words[..8 * calls.len()]);
    let arguments = [list, calls.len() as u64, 0, 0, 0];
    // SAFETY: the caller's.
    let answer = unsafe { hypercall::call(number::MULTICALL, arguments) };
    let _ = write!(line, " multicall -> {answer}:");
    for (n, call) in calls.iter().enumerate() {
        let _ = write!(line, " {}", word(list + 64 * n as u64 + 8) as i64);
        call.tell(line);
    }
}
