//! The page of refusals, and its single entries: written from the engine's own list of rules.
//!
//! What it keeps true: `docs/refusals.md` says what the source says. Neighbours: `xenocryst_memory::Rule` is the
//! source, [`crate::docs`] writes the page, `xenocryst explain` prints an entry.

use std::fmt::Write;

use anyhow::{Result, bail};
use xenocryst_memory::{Consequence, Errno, Rule};

const HEAD: &str = "\
# Refusals

When the engine refuses a memory request, it leaves everything as it was, tells the guest an error number of Xen's ABI,
and logs one line that begins with a code. This page says what each code means; `xenocryst explain CODE` prints its
entry. It is generated from `memory/src/refusal/rule.rs` by `cargo xtask docs`.

XSA-*n* are Xen's security advisories; I*n* are the invariants of [invariants.md](invariants.md).
";

/// The whole of `docs/refusals.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n| Code | The guest is told | Rule |\n|---|---|---|\n");
    for rule in Rule::ALL {
        let _ = writeln!(
            page,
            "| [{0}](#{1}) | {2} | {3} |",
            rule.code(),
            rule.code().to_lowercase(),
            told(*rule),
            rule.sentence()
        );
    }
    for rule in Rule::ALL {
        let _ = write!(page, "\n## {}\n\n{}", rule.code(), body(*rule));
    }
    page
}

/// The entry of the rule with this code, in any case of letters.
///
/// # Errors
/// When there is no such code; the error lists those that there are.
pub fn explain(code: &str) -> Result<String> {
    match Rule::ALL
        .iter()
        .find(|rule| rule.code().eq_ignore_ascii_case(code))
    {
        Some(rule) => Ok(format!("{}\n\n{}", rule.code(), body(*rule))),
        None => {
            let codes: Vec<&str> = Rule::ALL.iter().map(|rule| rule.code()).collect();
            bail!(
                "no refusal has the code {code:?}; there are: {}",
                codes.join(", ")
            );
        }
    }
}

fn body(rule: Rule) -> String {
    format!(
        "{}\n\n- The guest is told: {}.\n- Why: {}\n- Instead: {}\n",
        rule.sentence(),
        told(rule),
        rule.why(),
        rule.instead()
    )
}

fn told(rule: Rule) -> String {
    match rule.consequence() {
        Consequence::CrashDomain => "nothing, it is crashed".to_owned(),
        Consequence::Errno => format!(
            "{} ({})",
            errno_name(rule.errno()),
            rule.errno().as_return()
        ),
    }
}

fn errno_name(errno: Errno) -> &'static str {
    match errno {
        Errno::Perm => "EPERM",
        Errno::NoMem => "ENOMEM",
        Errno::Access => "EACCES",
        Errno::Busy => "EBUSY",
        Errno::Inval => "EINVAL",
        Errno::Range => "ERANGE",
        Errno::NoSys => "ENOSYS",
        Errno::OpNotSupp => "EOPNOTSUPP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_in_any_case_of_letters() {
        let upper = explain("PT-012").unwrap();
        assert_eq!(upper, explain("pt-012").unwrap());
        assert!(upper.starts_with("PT-012\n") && upper.contains("EBUSY (-16)"));
    }

    #[test]
    fn an_unknown_code_is_answered_with_the_known_ones() {
        let error = explain("XX-999").unwrap_err().to_string();
        for rule in Rule::ALL {
            assert!(error.contains(rule.code()), "{error}");
        }
    }

    #[test]
    fn every_rule_names_an_invariant_or_says_that_it_is_the_abi() {
        for rule in Rule::ALL {
            let why = rule.why();
            assert!(why.contains("(I") || why.contains("ABI"), "{}", rule.code());
        }
    }
}
