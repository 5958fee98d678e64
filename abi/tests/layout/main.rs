//! Compares every structure and every number of the crate with Xen's public headers, as the C compiler sees them.
//!
//! One C program is made from the tables in `structs.rs` and `numbers.rs`, compiled against the installed headers and
//! run; what it prints is compared with what Rust says. Adding a structure or a number is one line in a table.

mod header;
mod numbers;
mod structs;

use header::{Answers, Question};

/// Runs all questions through one C program and lists where the answers differ.
fn differences(questions: &[Question]) -> Vec<String> {
    let answers = Answers::from_headers(questions);
    questions
        .iter()
        .zip(answers.values)
        .filter(|(question, answer)| question.ours != *answer)
        .map(|(q, answer)| format!("{}: ours {:#x}, the header's {answer:#x}", q.what, q.ours))
        .collect()
}

#[test]
fn structures_have_the_sizes_and_offsets_of_the_headers() {
    let found = differences(&structs::questions());
    assert!(found.is_empty(), "layout differs:\n{}", found.join("\n"));
}

#[test]
fn numbers_have_the_values_of_the_headers() {
    let found = differences(&numbers::questions());
    assert!(found.is_empty(), "values differ:\n{}", found.join("\n"));
}

#[test]
fn no_number_of_a_family_is_missing() {
    let defined = header::defined_names();
    let mut missing = Vec::new();
    for family in numbers::families() {
        let names = defined
            .iter()
            .filter(|name| name.starts_with(family.prefix));
        for name in names {
            let suffix = &name[family.prefix.len()..];
            let skipped = family.except.iter().any(|start| suffix.starts_with(start))
                || family.lower_case_only && !suffix.starts_with(|c: char| c.is_ascii_lowercase());
            if !skipped && !family.known.contains(&name.as_str()) {
                missing.push(name.clone());
            }
        }
    }
    assert!(
        missing.is_empty(),
        "in the headers but not in the crate: {missing:?}"
    );
}

#[test]
fn a_number_is_found_by_value_and_an_unknown_one_is_not() {
    use xenocryst_abi::hypercall::{Errno, errno, number};
    assert_eq!(
        number::name(number::MMU_UPDATE),
        Some("__HYPERVISOR_mmu_update")
    );
    assert_eq!(number::name(11), None);
    assert_eq!(errno::EINVAL.to_string(), "EINVAL");
    assert_eq!(errno::EINVAL.to_rax(), -22i64 as u64);
    assert_eq!(Errno(4).as_str(), "E?");
}
