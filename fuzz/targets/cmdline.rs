//! See `xenocryst_fuzz::cmdline`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(cmdline);
