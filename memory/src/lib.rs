//! Placeholder until this crate's first module lands.
#![no_std]
#![forbid(unsafe_code)]
