//! See `xenocryst_fuzz::elf`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(elf);
