//! The table of figures: one row for each operation, with ratios.

use std::fmt::Write;

use super::Figures;

/// An operation that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What the benchmark guest calls it.
    pub key: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    /// What the project aims to be under, where it has said so.
    pub aim: Option<u64>,
}

/// The rows in their order.
const ROWS: &[Row] = &[
    Row {
        key: "null-system-call",
        title: "null system call",
        aim: Some(600),
    },
    Row {
        key: "fork-exit",
        title: "fork + exit",
        aim: Some(280_000),
    },
    Row {
        key: "fork-exec",
        title: "fork + exec",
        aim: Some(950_000),
    },
    Row {
        key: "dirty-after-fork",
        title: "write to a page after fork",
        aim: None,
    },
    Row {
        key: "fresh-page-fault",
        title: "touch a fresh page",
        aim: Some(2_600),
    },
    Row {
        key: "fresh-page-fault-small",
        title: "the same, small pages only",
        aim: None,
    },
    Row {
        key: "mprotect-2mib",
        title: "mprotect 2 MiB there and back",
        aim: Some(450_000),
    },
    Row {
        key: "map-touch-unmap-4mib",
        title: "map, touch, unmap 4 MiB",
        aim: Some(4_500_000),
    },
    Row {
        key: "map-touch-unmap-4mib-small",
        title: "the same, small pages only",
        aim: None,
    },
    Row {
        key: "pipe-round-trip",
        title: "pipe round trip",
        aim: Some(16_000),
    },
    Row {
        key: "kernel-start-to-init",
        title: "kernel start to init",
        aim: Some(2_500_000_000),
    },
    Row {
        key: "power-on-to-init",
        title: "power on to init",
        aim: None,
    },
];

/// What figures of repeated runs differ by at most, in hundredths.
const NOISE: u128 = 1;

/// The table as text; a row where Xenocryst is slower than Xen says so.
#[must_use]
pub fn render(native: &Figures, xen: &Figures, ours: &Figures) -> String {
    let mut text = format!(
        "{:<30} {:>15} {:>15} {:>15} {:>15} {:>9} {:>9}\n",
        "operation", "native", "Xen 4.17", "Xenocryst", "aim", "/ native", "/ Xen"
    );
    for row in ROWS {
        let [native, xen, ours] = [native, xen, ours].map(|figures| figures.get(row.key).copied());
        let slower = if is_slower(ours, xen) {
            "  slower than Xen"
        } else {
            ""
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<30} {:>15} {:>15} {:>15} {:>15} {:>9} {:>9}{slower}",
            row.title,
            number(native),
            number(xen),
            number(ours),
            number(row.aim),
            ratio(ours, native),
            ratio(ours, xen)
        );
    }
    text
}

/// Whether one figure is over another by more than repeated runs differ.
fn is_slower(ours: Option<u64>, other: Option<u64>) -> bool {
    match (ours, other) {
        (Some(ours), Some(other)) => u128::from(ours) * 100 > u128::from(other) * (100 + NOISE),
        _ => false,
    }
}

/// A number with its thousands apart, or a dash.
fn number(value: Option<u64>) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One figure over another to two places, or a dash.
fn ratio(of: Option<u64>, to: Option<u64>) -> String {
    match (of, to) {
        (Some(of), Some(to @ 1..)) => {
            let hundredths = u128::from(of) * 100 / u128::from(to);
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        }
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(number(Some(0)), "0");
        assert_eq!(number(Some(999)), "999");
        assert_eq!(number(Some(1_842_000)), "1,842,000");
        assert_eq!(number(None), "-");
    }

    #[test]
    fn a_ratio_needs_both_figures() {
        assert_eq!(ratio(Some(280), Some(157)), "1.78");
        assert_eq!(ratio(Some(1), None), "-");
        assert_eq!(ratio(Some(1), Some(0)), "-");
    }

    #[test]
    fn a_row_slower_than_xen_says_so() {
        let figure = |value| Figures::from([("fork-exit".to_owned(), value)]);
        let slow = render(&figure(100), &figure(200), &figure(203));
        assert!(
            slow.lines()
                .any(|line| line.starts_with("fork + exit") && line.ends_with("slower than Xen"))
        );
        assert!(!render(&figure(100), &figure(200), &figure(201)).contains("slower"));
    }
}
