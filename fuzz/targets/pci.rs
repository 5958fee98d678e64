//! See `xenocryst_fuzz::pci`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(pci);
