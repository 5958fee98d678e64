//! Building the hypervisor image.
//!
//! What it keeps true: the compiler flags that the image depends on are written here and nowhere else.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xenocryst::debian::write_whole;
use xenocryst::workspace::Workspace;

/// The package of the image.
const PACKAGE: &str = "xenocryst-hypervisor";
/// Named even though it is the host's, so that the flags reach the image alone and not the build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Position-independent, because the image runs at an address that no other code model reaches; no red zone, because
/// exceptions arrive on the same stack; no vector registers, because they hold the guest's values.
const RUSTFLAGS: &str = "-C relocation-model=pic -C no-redzone=yes -C target-feature=-sse,-sse2";

/// The cargo that started this program.
#[must_use]
pub fn plain_cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A cargo command for the image's package, with the image's flags.
#[must_use]
pub fn cargo(workspace: &Workspace, verb: &str) -> Command {
    let mut cargo = plain_cargo();
    cargo
        .current_dir(workspace.root())
        .env("RUSTFLAGS", RUSTFLAGS);
    cargo.args([verb, "--package", PACKAGE, "--target", TARGET, "--release"]);
    cargo
}

/// Builds the image and leaves it at `target/xenocryst.elf`.
///
/// # Errors
/// When it does not compile or link.
pub fn build(workspace: &Workspace) -> Result<()> {
    let status = cargo(workspace, "build")
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the hypervisor does not build ({status})");
    }
    let built = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.target(), PathBuf::from);
    let built = workspace
        .root()
        .join(built)
        .join(TARGET)
        .join("release")
        .join(PACKAGE);
    let image = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    write_whole(&workspace.image(), &image)
}
