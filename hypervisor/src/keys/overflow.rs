//! Running off the stack on purpose, in images with assertions only: a test sees that the page below it stops this.

use core::hint::black_box;

/// Never returns.
pub fn run() {
    black_box(deeper(0));
}

fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX {
        return depth;
    }
    deeper(depth + 1) + frame[depth as usize % 64]
}
