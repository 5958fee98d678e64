//! Fuzz targets: for everything that reads bytes of guests, boot loaders, firmware or kernel files, a function from bytes
//! to nothing that panics if something is wrong.
//!
//! Under `cargo fuzz` the programs of this package are driven by libFuzzer, and write the seeds of their corpus into the
//! directory that the environment variable `XENOCRYST_SEEDS` names. Built plainly they replay the files they are given.
//! Seeds are made by code here, from the formats' own rules, so that no binary files need keeping. `docs/fuzzing.md`
//! says how to run all of it.
//!
//! Neighbours: `cargo xtask fuzz` is the front door.

pub mod acpi;
pub mod cmdline;
pub mod elf;
pub mod emulate;
pub mod kernel;
pub mod multiboot;
pub mod pci;
pub mod requests;
pub mod rules;
pub mod unpack;

mod bytes;
mod image;
mod replay;

pub use replay::{replay, seed};

/// A function that is given bytes, and panics if what they lead to is wrong.
pub type Run = fn(&[u8]);
/// A function that makes the inputs to start from.
pub type Seeds = fn() -> Vec<Vec<u8>>;

/// Every target: its name, itself, and its seeds.
pub const TARGETS: &[(&str, Run, Seeds)] = &[
    ("requests", requests::run, requests::seeds),
    ("rules", rules::run, rules::seeds),
    ("emulate", emulate::run, emulate::seeds),
    ("kernel", kernel::run, kernel::seeds),
    ("unpack", unpack::run, unpack::seeds),
    ("elf", elf::run, elf::seeds),
    ("multiboot", multiboot::run, multiboot::seeds),
    ("acpi", acpi::run, acpi::seeds),
    ("cmdline", cmdline::run, cmdline::seeds),
    ("pci", pci::run, pci::seeds),
];

/// Makes a program of the module of that name.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(
            init: $crate::seed($crate::$name::seeds),
            |data: &[u8]| $crate::$name::run(data)
        );

        #[cfg(not(fuzzing))]
        fn main() -> ::std::process::ExitCode {
            $crate::replay($crate::$name::run)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that stop at the first check teach a fuzzer nothing, so each target says in its own tests how far its own get.
    #[test]
    fn every_target_takes_its_seeds_their_beginnings_and_nothing() {
        for (name, run, seeds) in TARGETS {
            let seeds = seeds();
            assert!(!seeds.is_empty(), "{name}");
            run(&[]);
            for seed in seeds {
                run(&seed);
                run(&seed[..seed.len() / 2]);
            }
        }
    }
}
