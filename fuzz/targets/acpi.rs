//! See `xenocryst_fuzz::acpi`.
#![cfg_attr(fuzzing, no_main)]
xenocryst_fuzz::target!(acpi);
