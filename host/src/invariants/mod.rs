//! The page of invariants: what must stay true whatever a guest does, and which tests hold it.
//!
//! What it keeps true: every test that is claimed exists. Neighbours: `table` holds the rows, [`crate::docs`] writes
//! the page.

mod table;

use std::fmt::Write;

/// A test: its file, and its name there; that of a boot test begins with "boot ".
type Test = (&'static str, &'static str);

/// How far an invariant is held.
enum State {
    /// These tests hold it, as far as what exists can break it.
    Held(&'static [Test]),
    /// These tests hold a part; for the rest there is this reason.
    InPart(&'static [Test], &'static str),
    /// Not held by any test, for this reason.
    Open(&'static str),
}

struct Invariant {
    title: &'static str,
    state: State,
}

impl Invariant {
    fn tests(&self) -> &'static [Test] {
        match self.state {
            State::Held(tests) | State::InPart(tests, _) => tests,
            State::Open(_) => &[],
        }
    }

    /// The state in a word or two, and the reason if something is open.
    fn said(&self) -> String {
        match self.state {
            State::Held(_) => "held".to_owned(),
            State::InPart(_, why) => format!("in part; open: {why}"),
            State::Open(why) => format!("open: {why}"),
        }
    }
}

const HEAD: &str = "\
# Invariants

What the hypervisor must keep true, whatever a guest does: the rules that Xen's security advisories about the memory of
PV guests taught, I1 to I100. For each, the tests that fail when it is broken, or why there is none. *Held* means: as far
as what exists can break it. The table is generated from `host/src/invariants/table/` by `cargo xtask docs`.
";

/// The whole of `docs/invariants.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    let count = |wanted: fn(&State) -> bool| table::all().filter(|i| wanted(&i.state)).count();
    let _ = writeln!(
        page,
        "\n{} are held, {} in part, {} are open because a part is missing, {} are open for lack of a test.\n",
        count(|state| matches!(state, State::Held(_))),
        count(|state| matches!(state, State::InPart(..))),
        count(|state| matches!(state, State::Open(why) if why.starts_with("needs"))),
        count(|state| matches!(state, State::Open(why) if !why.starts_with("needs"))),
    );
    page.push_str("| | Invariant | State | Tests |\n|---|---|---|---|\n");
    for (i, invariant) in table::all().enumerate() {
        let tests: Vec<String> = invariant.tests().iter().map(link).collect();
        let _ = writeln!(
            page,
            "| I{} | {} | {} | {} |",
            i + 1,
            invariant.title,
            invariant.said(),
            tests.join(", ")
        );
    }
    page
}

fn link((file, name): &Test) -> String {
    format!("[`{name}`](../{file})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;
    use std::collections::HashMap;
    use std::fs;

    #[test]
    fn there_is_one_row_for_each_invariant() {
        assert_eq!(table::all().count(), 100);
        for (i, invariant) in table::all().enumerate() {
            let open = !matches!(invariant.state, State::Held(_));
            assert!(open || !invariant.tests().is_empty(), "I{}", i + 1);
            if let State::InPart(_, why) | State::Open(why) = invariant.state {
                assert!(
                    why.starts_with("needs ") || why.starts_with("no test yet"),
                    "I{}",
                    i + 1
                );
            }
        }
    }

    #[test]
    fn every_test_that_is_claimed_exists_and_runs() {
        let root = Workspace::of_this_build().unwrap();
        let mut sources = HashMap::new();
        for (i, invariant) in table::all().enumerate() {
            for (file, name) in invariant.tests() {
                let source = sources.entry(*file).or_insert_with(|| {
                    fs::read_to_string(root.root().join(file)).unwrap_or_default()
                });
                let is_test = match name.strip_prefix("boot ") {
                    Some(name) => source.contains(&format!("name: \"{name}\",")),
                    None => source.split("#[test]\n").skip(1).any(|after| {
                        after
                            .trim_start()
                            .strip_prefix("fn ")
                            .and_then(|after| after.strip_prefix(name))
                            .is_some_and(|after| after.starts_with("()"))
                    }),
                };
                assert!(is_test, "I{}: {file} has no test {name}", i + 1);
            }
        }
    }
}
