//! A PV kernel that tries to break out.
#![no_std]
#![no_main]

use xenocryst_guest::abi::sched;
use xenocryst_guest::domain::Domain;
use xenocryst_guest::{hypercall, kernel, println};

kernel!(main);

fn main(_domain: &Domain) -> ! {
    println!("hostile: end");
    hypercall::shutdown(sched::shutdown::POWEROFF)
}
