//! See `xenocryst_fuzz::requests`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(requests);
