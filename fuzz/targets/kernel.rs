//! See `xenocryst_fuzz::kernel`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(kernel);
