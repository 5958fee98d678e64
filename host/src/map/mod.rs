//! `cargo xtask map`: who has which frame of the machine, and which of its own numbers a domain knows it by; as
//! pictures, and as a page on which any frame can be looked up.
//!
//! What it keeps true: the pictures show what the hypervisor said of every frame, and nothing else.
//!
//! Neighbours: the hypervisor prints a snapshot on a debug key; [`crate::lab`] runs the script that asks it to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use xenocryst_abi::DomId;

use crate::debian::write_whole;
use crate::lab::{self, LabMachine, Script};
use crate::run::Hypervisor;
use crate::workspace::Workspace;

pub mod page;
pub mod picture;
pub mod snapshot;

use picture::By;
use snapshot::Snapshot;

/// The options of `cargo xtask map`.
#[derive(Args, Clone, Debug)]
pub struct MapOptions {
    /// A console log with snapshots in it [default: that of a run with guests that are ballooned]
    #[arg(value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Where to leave the pictures and the page [default: target/map]
    #[arg(long, value_name = "DIRECTORY")]
    pub to: Option<PathBuf>,
    /// The machine of that run
    #[command(flatten)]
    pub machine: LabMachine,
}

impl MapOptions {
    /// The hypervisor that will be booted, if one is.
    #[must_use]
    pub fn boots(&self) -> Option<&Hypervisor> {
        self.log.is_none().then_some(&self.machine.hypervisor)
    }
}

/// Draws the map, and prints where it is.
///
/// # Errors
/// When there is no snapshot, or the pictures cannot be written.
pub fn map(workspace: &Workspace, options: &MapOptions) -> Result<()> {
    let (log, words) = match &options.log {
        Some(file) => (file.clone(), Vec::new()),
        None => {
            let script = Script::find(workspace, "map")?;
            let report =
                lab::run_script(workspace, &options.machine, &script, &mut lab::report::show)?;
            report.verdict()?;
            (
                lab::run_directory(workspace, &script, &options.machine).join("console"),
                report.values,
            )
        }
    };
    let bytes = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let mut snapshots = snapshot::read(&String::from_utf8_lossy(&bytes))
        .with_context(|| format!("in {}", log.display()))?;
    ensure!(
        !snapshots.is_empty(),
        "no snapshot in {}: a Xenocryst prints one on the debug key f",
        log.display()
    );
    let names = words.iter().filter(|(key, _)| key == "snapshot");
    for (snapshot, (_, name)) in snapshots.iter_mut().zip(names) {
        snapshot.name.clone_from(name);
    }
    let name = |domain: u16| domain_name(&words, domain);
    let directory = options
        .to
        .clone()
        .unwrap_or_else(|| workspace.target().join("map"));
    write(&directory, &snapshots, &name)?;
    println!("{}", directory.join("index.html").display());
    Ok(())
}

/// What a domain is called: by its number, and by its name where the run told that.
fn domain_name(words: &[(String, String)], domain: u16) -> String {
    let key = format!("domain-{domain}");
    match words.iter().find(|(known, _)| *known == key) {
        Some((_, name)) => format!("domain {domain}, {name}"),
        None if domain == DomId::XEN.0 => "shown to domains by the hypervisor".to_owned(),
        None => format!("domain {domain}"),
    }
}

/// Leaves the page, and each picture as a file of its own.
fn write(directory: &Path, snapshots: &[Snapshot], name: &dyn Fn(u16) -> String) -> Result<()> {
    for (number, snapshot) in (1..).zip(snapshots) {
        let leave = |what: String, svg: String| {
            write_whole(
                &directory.join(format!("{number}-{what}.svg")),
                svg.as_bytes(),
            )
        };
        leave("owners".to_owned(), picture::field(snapshot, By::Owner))?;
        leave("types".to_owned(), picture::field(snapshot, By::Type))?;
        let domains = snapshot.domains().into_iter().map(|(domain, _)| domain);
        for domain in domains.filter(|domain| snapshot.pieces(*domain) != 0) {
            leave(format!("p2m-{domain}"), picture::plot(snapshot, domain))?;
        }
    }
    write_whole(
        &directory.join("index.html"),
        page::page(snapshots, name).as_bytes(),
    )
}
