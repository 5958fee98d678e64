//! Where things are: the checkout and what is kept under its `target/`.
//!
//! Neighbours: everything that reads or leaves a file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A checkout of the project.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The checkout this program was built from.
    ///
    /// # Errors
    /// When the program's crate is no longer inside a checkout.
    pub fn of_this_build() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the crate has no parent directory")?;
        let root = root
            .canonicalize()
            .with_context(|| format!("no checkout at {}", root.display()))?;
        Ok(Self { root })
    }

    /// The top of the checkout.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `target/`, whatever `CARGO_TARGET_DIR` says: the image and the guests are promised to be there.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The hypervisor image as `cargo xtask build` leaves it.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.target().join("xenocryst.elf")
    }

    /// The image with debug assertions, as `cargo xtask build --checked` leaves it.
    #[must_use]
    pub fn checked_image(&self) -> PathBuf {
        self.target().join("xenocryst-checked.elf")
    }

    /// The directory of guest kernels and initrds.
    #[must_use]
    pub fn guests(&self) -> PathBuf {
        self.target().join("guest")
    }

    /// The directory of what the lab is made of, and of what its runs leave.
    #[must_use]
    pub fn lab(&self) -> PathBuf {
        self.target().join("lab")
    }

    /// The sources of what runs inside the lab, and its scripts.
    #[must_use]
    pub fn lab_sources(&self) -> PathBuf {
        self.root.join("host").join("lab")
    }

    /// The sources of what runs inside guests: scripts and small C programs.
    #[must_use]
    pub fn guest_sources(&self) -> PathBuf {
        self.root.join("host").join("guest")
    }
}
