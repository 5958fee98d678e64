//! See `xenocryst_fuzz::emulate`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(emulate);
