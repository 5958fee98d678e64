//! The pages under `docs/` that are generated.
//!
//! What it keeps true: a committed page is what the source gives; a test compares them. Neighbours:
//! [`crate::refusals`], [`crate::invariants`] and [`crate::differences`] make the text.

use std::fs;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{differences, invariants, refusals};

/// A page: its name under `docs/`, and what makes it.
type Page = (&'static str, fn() -> String);

/// Every generated page.
const PAGES: &[Page] = &[
    ("refusals.md", refusals::page),
    ("invariants.md", invariants::page),
    ("differences.md", differences::page),
];

/// Writes every generated page.
///
/// # Errors
/// When a page cannot be written.
pub fn write(workspace: &Workspace) -> Result<()> {
    let docs = workspace.root().join("docs");
    fs::create_dir_all(&docs).with_context(|| format!("cannot make {}", docs.display()))?;
    for (name, text) in PAGES {
        let path = docs.join(name);
        fs::write(&path, text()).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_pages_are_what_the_source_gives() {
        let docs = Workspace::of_this_build().unwrap().root().join("docs");
        for (name, text) in PAGES {
            let committed = fs::read_to_string(docs.join(name)).unwrap_or_default();
            assert!(
                committed == text(),
                "docs/{name} is out of date: run `cargo xtask docs`"
            );
        }
    }
}
