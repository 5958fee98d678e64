//! See `xenocryst_fuzz::rules`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(rules);
