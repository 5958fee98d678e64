//! `engine-cost`: does one operation of the memory engine a number of times, for tools that count from outside.
//!
//! `engine-cost` alone lists what there is, one operation and size a line; `engine-cost threads` measures several threads.

use std::env;
use std::process::ExitCode;
use xenocryst_memory_bench::OPERATIONS;
use xenocryst_memory_bench::machine::BYTES_A_FRAME;
use xenocryst_memory_bench::threads::{Sharing, nanoseconds};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => list(),
        ["threads"] => threads(),
        [name, size, times] => {
            let operation = OPERATIONS.iter().find(|operation| operation.name == *name);
            let (Some(operation), Ok(size), Ok(times)) = (operation, size.parse(), times.parse())
            else {
                eprintln!("engine-cost NAME SIZE TIMES");
                return ExitCode::FAILURE;
            };
            let mut run = (operation.prepare)(size);
            (0..times).for_each(|_: u64| run());
        }
        _ => {
            eprintln!("engine-cost [threads | NAME SIZE TIMES]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Bytes a frame first, then name, size and unit between tabs.
fn list() {
    println!("{BYTES_A_FRAME}");
    for operation in OPERATIONS {
        for size in operation.sizes {
            println!("{}\t{size}\t{}", operation.name, operation.unit);
        }
    }
}

/// Threads, sharing, and nanoseconds an update, between tabs.
fn threads() {
    for (count, sharing) in [
        (1, Sharing::Different),
        (2, Sharing::Different),
        (2, Sharing::Same),
        (4, Sharing::Different),
        (4, Sharing::Same),
    ] {
        println!("{count}\t{sharing:?}\t{:.1}", nanoseconds(count, sharing));
    }
}
