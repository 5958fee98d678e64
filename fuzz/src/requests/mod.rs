//! The memory engine's requests: whatever three domains ask for, in any order and at any budget, the recount agrees with
//! the frame table, nothing dangerous stays in a TLB, and death gives everything back.
//!
//! The input is taken as a program for [`guests::World`]: each step takes an operation and its arguments from the bytes.
//! Arguments are indices into what is worth naming (frames that somebody owns, slots of which few exist, flags), so
//! that things meet; one flag in sixteen is a whole raw entry.

mod grants;
mod guests;
mod machine;
mod tlb;

use guests::World;
use machine::Arena;
use std::cell::RefCell;

/// Steps between two recounts.
const RECOUNT_EVERY: usize = 16;

thread_local! {
    static ARENA: RefCell<Arena> = RefCell::new(Arena::new());
}

/// Runs a program of requests.
pub fn run(data: &[u8]) {
    ARENA.with_borrow_mut(|arena| {
        arena.clear();
        let mut world = World::new(arena, data);
        let mut steps = 0;
        while world.step() {
            steps += 1;
            if steps % RECOUNT_EVERY == 0 {
                world.recount();
            }
        }
        world.recount();
        world.end();
    });
}

/// Programs that use every operation, made by a generator of pseudo-random numbers.
pub fn seeds() -> Vec<Vec<u8>> {
    (1..=24u64)
        .map(|seed| {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            };
            let mut program: Vec<u8> = (0..500 + seed * 60).map(|_| next()).collect();
            program[0] = seed as u8;
            program
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program teaches something only if requests are granted, too.
    #[test]
    fn seeds_are_granted_requests_of_every_kind() {
        let mut granted = [0; guests::OPERATIONS];
        ARENA.with_borrow_mut(|arena| {
            for seed in seeds() {
                arena.clear();
                let mut world = World::new(arena, &seed);
                while world.step() {}
                for (sum, more) in granted.iter_mut().zip(world.granted) {
                    *sum += more;
                }
            }
        });
        assert!(granted.iter().all(|&times| times > 0), "{granted:?}");
    }
}
