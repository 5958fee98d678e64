//! The host side of Xenocryst: everything that happens outside the machine it boots on.
//!
//! `cargo xtask` is a thin front door over this library. It installs what is missing ([`packages`]), fetches the
//! guest kernel and the real Xen to compare with ([`debian`]), packs the guests' initrds ([`guest`]) and disk
//! ([`disk`]), describes machines to QEMU ([`machine`]), runs them on the terminal ([`run`]) or under a test ([`vm`]),
//! and holds the boot tests ([`boot_tests`]), the benchmark ([`mod@bench`]) and the comparison with Xen
//! ([`differences`]). [`lab`] is a dom0 with Debian's `xl`, and [`map`] draws machine memory. It also writes the pages
//! that are generated from the source ([`docs`], [`refusals`], [`invariants`]).
//!
//! What it keeps true: everything fetched or made is kept under `target/`, so that a second run is instantaneous;
//! every QEMU that it starts, and no other, is ended by it.
#![forbid(unsafe_code)]

pub mod bench;
pub mod boot_tests;
pub mod debian;
pub mod differences;
pub mod disk;
pub mod docs;
pub mod guest;
pub mod image_check;
pub mod initrd;
pub mod invariants;
pub mod lab;
pub mod machine;
pub mod map;
pub mod modules;
pub mod packages;
pub mod progress;
pub mod pv_guest;
pub mod refusals;
pub mod run;
pub mod vm;
pub mod workspace;
