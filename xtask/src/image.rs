//! Building the bare-metal images: the hypervisor, and the guests that come with it.
//!
//! What it keeps true: the compiler flags that the images depend on are written here and nowhere else.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xenocryst::debian::write_whole;
use xenocryst::pv_guest::PvGuest;
use xenocryst::workspace::Workspace;

/// Named even though it is the host's, so that the flags reach the image alone and not the build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A package that is built with flags of its own and linked by a script of its own.
pub struct Image {
    package: &'static str,
    rustflags: &'static str,
    profile: &'static str,
}

/// Position-independent, because the image runs at an address that no other code model reaches; no red zone, because
/// exceptions arrive on the same stack; no vector registers, because they hold the guest's values.
pub const HYPERVISOR: Image = Image {
    package: "xenocryst-hypervisor",
    rustflags: "-C relocation-model=pic -C no-redzone=yes -C target-feature=-sse,-sse2",
    profile: "release",
};

/// The hypervisor with debug assertions.
const CHECKED: Image = Image {
    profile: "checked",
    ..HYPERVISOR
};

/// The PV kernels: as the hypervisor for the first two reasons, but the vector registers are theirs.
pub const GUESTS: Image = Image {
    package: "xenocryst-guest",
    rustflags: "-C relocation-model=pic -C no-redzone=yes",
    profile: "release",
};

/// Every image.
pub const ALL: [Image; 2] = [HYPERVISOR, GUESTS];

/// The cargo that started this program.
#[must_use]
pub fn plain_cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

impl Image {
    /// A cargo command for the image's package, with the image's flags.
    #[must_use]
    pub fn cargo(&self, workspace: &Workspace, verb: &str) -> Command {
        let mut cargo = plain_cargo();
        cargo
            .current_dir(workspace.root())
            .env("RUSTFLAGS", self.rustflags);
        cargo.args([
            verb,
            "--package",
            self.package,
            "--target",
            TARGET,
            "--profile",
            self.profile,
        ]);
        cargo
    }

    /// Builds the package; the bytes of its programs of these names.
    fn programs<const N: usize>(
        &self,
        workspace: &Workspace,
        names: [&str; N],
    ) -> Result<[Vec<u8>; N]> {
        let status = self
            .cargo(workspace, "build")
            .status()
            .context("cannot run cargo")?;
        if !status.success() {
            bail!("{} does not build ({status})", self.package);
        }
        let built =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.target(), PathBuf::from);
        let built = workspace.root().join(built).join(TARGET).join(self.profile);
        let mut programs = [const { Vec::new() }; N];
        for (program, name) in programs.iter_mut().zip(names) {
            let file = built.join(name);
            *program =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        }
        Ok(programs)
    }
}

/// Builds the hypervisor and leaves it at `target/xenocryst.elf`.
///
/// # Errors
/// When it does not compile or link.
pub fn build(workspace: &Workspace) -> Result<()> {
    let [image] = HYPERVISOR.programs(workspace, [HYPERVISOR.package])?;
    write_whole(&workspace.image(), &image)
}

/// Builds the hypervisor with debug assertions and leaves it at [`Workspace::checked_image`].
///
/// # Errors
/// When it does not compile or link.
pub fn build_checked(workspace: &Workspace) -> Result<()> {
    let [image] = CHECKED.programs(workspace, [CHECKED.package])?;
    write_whole(&workspace.checked_image(), &image)
}

/// Builds the PV kernels and leaves them where [`PvGuest::file`] says.
///
/// # Errors
/// When they do not compile or link.
pub fn build_guests(workspace: &Workspace) -> Result<()> {
    let programs = GUESTS.programs(workspace, PvGuest::ALL.map(PvGuest::name))?;
    for (guest, program) in PvGuest::ALL.into_iter().zip(programs) {
        write_whole(&guest.file(workspace), &program)?;
    }
    Ok(())
}
