//! See `xenocryst_fuzz::unpack`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(unpack);
