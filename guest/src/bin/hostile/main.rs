//! A PV kernel that tries to break out: what a kernel in ring 3 may not do, may not reach, may not ask for.
//!
//! Each thing tried is a line with how it ended. Everything that this kernel survives is in one run; what ends the domain is
//! chosen by `fatal=N` on the command line, and is the last thing that is done. With `random=N` there it makes so many random
//! hypercalls instead, which follow from `seed=N`.
#![no_std]
#![no_main]

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::sched;
use xenocryst_guest::domain::Domain;
use xenocryst_guest::{hypercall, kernel, println};

mod batches;
mod breakpoints;
mod contexts;
mod edges;
mod fatal;
mod history;
mod indices;
mod loops;
mod memory;
mod page;
mod privileged;
mod random;
mod requests;
mod returning;
mod segments;
mod tables;
mod tell;
mod ticks;

kernel!(main);

fn main(domain: &Domain) -> ! {
    println!("hostile: begin");
    if let Some(way) = domain.option("fatal") {
        fatal::die(domain, way);
    } else if let Some(count) = domain.option("random") {
        random::run(domain, domain.option("seed").unwrap_or(1), count);
    } else if domain.has_option("at-fault") {
        history::at_fault(domain);
    } else {
        privileged::all();
        memory::all();
        requests::all();
        returning::all(domain);
        loops::all(domain);
        batches::all();
        indices::all();
        edges::all(domain);
        segments::all(domain);
        breakpoints::all();
        contexts::all(domain);
        history::all(domain);
        audit(domain);
    }
    println!("hostile: end");
    hypercall::shutdown(sched::shutdown::POWEROFF)
}

/// Has all frames audited if `audit` is on the command line, which Xen has no hypercall for: the number of discrepancies.
fn audit(domain: &Domain) {
    if domain.has_option("audit") {
        // SAFETY: nothing changes.
        let answer = unsafe { hypercall::call(number::ARCH_7, [0; 5]) };
        println!("hostile audit: {answer}");
    }
}
