//! Links a bare-metal image with the `image.ld` of its package and none of the host's start-up files. `guest/` is built with
//! this too.
//!
//! The compiler's flags come from whoever builds (see `README.md`); `cargo check` and `cargo clippy` never link, and need none.

use std::env;
use std::path::PathBuf;

fn main() {
    let directory =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let script = directory.join("image.ld");
    println!("cargo::rerun-if-changed={}", script.display());
    for argument in [
        "-nostdlib",
        "-nostartfiles",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,norelro",
        "-Wl,-z,noexecstack",
        "-Wl,--no-eh-frame-hdr",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
}
