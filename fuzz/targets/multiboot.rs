//! See `xenocryst_fuzz::multiboot`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(multiboot);
