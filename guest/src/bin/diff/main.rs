//! A PV kernel that asks for everything about memory that a kernel may ask for, rightly and wrongly, and prints the answers.
//!
//! Its transcript holds no machine addresses, so that hypervisors can be compared by it: `cargo xtask diff` does so.
//! Random requests come in blocks, of which only a digest is printed unless asked for; each block begins anew.
//!
//! Options on its command line: `seed=N`, `first=N` and `blocks=N` (which blocks), `requests=N` (in a block), `closely=N`
//! (print each request from block N on), `no-script` (leave out the scripted part).
#![no_std]
#![no_main]

use core::fmt::Write;

use xenocryst_guest::abi::sched;
use xenocryst_guest::domain::Domain;
use xenocryst_guest::rng::Rng;
use xenocryst_guest::{hypercall, kernel, println};

mod line;
mod random;
mod request;
mod script;
mod world;

use line::{EMPTY_DIGEST, Line};
use random::Random;
use request::Memory;
use world::World;

kernel!(main);

/// Which random requests are made, and how they are told.
struct Plan {
    seed: u64,
    requests: u64,
    /// The first block whose requests are printed.
    closely: u64,
}

/// The whole run.
fn main(domain: &Domain) -> ! {
    println!("diff: begin, {} frames", domain.frames());
    let plan = Plan {
        seed: domain.option("seed").unwrap_or(1),
        requests: domain.option("requests").unwrap_or(64),
        closely: domain.option("closely").unwrap_or(u64::MAX),
    };
    let first = domain.option("first").unwrap_or(0);
    let blocks = domain.option("blocks").unwrap_or(16);
    let mut world = World::new(domain);
    let mut memory = Memory::new();
    let mut line = Line::new();
    if !domain.has_option("no-script") {
        script::run(&mut world, &mut memory, &mut line);
    }
    for block in first..first + blocks {
        plan.block(&mut world, &mut memory, &mut line, block);
    }
    println!("diff: end");
    hypercall::shutdown(sched::shutdown::POWEROFF)
}

impl Plan {
    /// Makes the requests of one block.
    fn block(&self, world: &mut World<'_>, memory: &mut Memory, line: &mut Line, block: u64) {
        let mut digest = EMPTY_DIGEST;
        line.clear();
        let _ = write!(line, "{block}.begin");
        world.reset(line);
        let mut random = Random {
            world,
            memory,
            rng: Rng::new(self.seed, block),
            line,
            got_at: 0,
        };
        random.prepare();
        random.world.changes(random.line);
        digest = self.tell(block, random.line, digest);
        for request in 0..self.requests {
            random.line.clear();
            let _ = write!(random.line, "{block}.{request} ");
            random.step();
            digest = self.tell(block, random.line, digest);
        }
        println!("block {block} {digest:016x}");
    }

    /// Prints a line of `block` if its lines are wanted, and adds it to the digest.
    fn tell(&self, block: u64, line: &Line, digest: u64) -> u64 {
        if block >= self.closely {
            line.print();
        }
        line.digest(digest)
    }
}
