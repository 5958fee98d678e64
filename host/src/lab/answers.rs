//! What real Xen answers a program that asks for everything of a kind, as recorded in `host/lab/answers/`, and where a run
//! of the same program differs.
//!
//! What it keeps true: each request counts, as often as it was made; one that was not made is a difference too.
//! Neighbours: `host/guest/privileges.c` asks in an unprivileged guest and `control.c` in dom0; the boot tests
//! `lab-privileges` and `lab-control` compare.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// How often each answer was given: by the line that the program prints of it.
type Answers = BTreeMap<String, usize>;

/// The differences between what was `recorded` (lines `NAME DOMAIN = ANSWER: NUMBERS`) and what the program `printed` (lines
/// `NAME NUMBER DOMAIN = ANSWER`), a line each.
///
/// # Errors
/// When the record cannot be read, or nothing was printed.
pub fn differences(recorded: &str, printed: &str) -> Result<Vec<String>> {
    let expected = expand(recorded)?;
    let mut given = Answers::new();
    for line in printed.lines().filter(|line| line.contains(" = ")) {
        *given.entry(line.trim_end().to_owned()).or_default() += 1;
    }
    if given.is_empty() {
        bail!("no answer was printed");
    }
    let mut found = Vec::new();
    for (mark, here, there) in [("Xen", &expected, &given), ("here", &given, &expected)] {
        for (line, count) in here {
            if there.get(line) != Some(count) {
                found.push(format!("{mark}: {line}"));
            }
        }
    }
    Ok(found)
}

/// The lines that a record stands for.
fn expand(recorded: &str) -> Result<Answers> {
    let mut answers = Answers::new();
    let lines = recorded.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let (request, numbers) = line
            .split_once(": ")
            .with_context(|| format!("{line:?} records nothing"))?;
        let (name, rest) = request
            .split_once(' ')
            .with_context(|| format!("{line:?} names no domain"))?;
        for range in numbers.split(' ') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            for number in first.parse::<u32>()?..=last.parse()? {
                *answers
                    .entry(format!("{name} {number} {rest}"))
                    .or_default() += 1;
            }
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "# From Xen.\ndomctl 0 = -1: 1-2 4\nmemory_op 0 = -38: 7\n";

    #[test]
    fn the_same_answers_in_another_order_are_no_difference() {
        let printed =
            "memory_op 7 0 = -38\r\ndomctl 1 0 = -1\ndomctl 2 0 = -1\ndomctl 4 0 = -1\n0 granted\n";
        assert_eq!(
            differences(RECORD, printed).expect("readable"),
            [""; 0].map(String::from)
        );
    }

    #[test]
    fn another_answer_and_a_missing_one_are_differences() {
        let printed = "domctl 1 0 = -1\ndomctl 2 0 = -38\nmemory_op 7 0 = -38\n";
        assert_eq!(
            differences(RECORD, printed).expect("readable"),
            [
                "Xen: domctl 2 0 = -1",
                "Xen: domctl 4 0 = -1",
                "here: domctl 2 0 = -38"
            ]
        );
        assert!(differences(RECORD, "the guest said nothing").is_err());
    }

    #[test]
    fn the_record_can_be_read_and_has_every_request() {
        let record = include_str!("../../lab/answers/privileges");
        let answers = expand(record).expect("readable");
        assert_eq!(answers.values().sum::<usize>(), 547);
    }
}
