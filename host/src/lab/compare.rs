//! The same script on two hypervisors: where the results differ.
//!
//! What it keeps true: only what differs from run to run on the same hypervisor is masked, and each mask says what.
//! Neighbours: [`super::report`].

use anyhow::{Context, Result, ensure};
use regex::Regex;

use super::report::{self, Report, Step};
use super::{LabMachine, Script, run_script};
use crate::run::Hypervisor;
use crate::workspace::Workspace;

/// What is replaced before outputs are compared: in steps whose names begin so, what the expression matches, by what.
const MASKS: &[(&str, &str, &str)] = &[
    // Times and ages.
    ("", r"\b\d+\.\d+\b", "TIME"),
    ("", r"\b\d+:\d\d:\d\d\b", "TIME"),
    ("", r"\b\d+ days?\b", "TIME"),
    // Addresses and frame numbers.
    ("", r"\b0x[0-9a-f]+\b", "ADDRESS"),
    ("", r"\b[0-9a-f]{8,16}\b", "ADDRESS"),
    // Process numbers and columns as wide as their contents.
    ("", r"[ \t]+", " "),
    // What a hypervisor says of itself.
    (
        "info",
        r"(?m)^(xen_extra|xen_version|xen_changeset|cc_\w+|build_id|free_memory|cpu_mhz) *:.*$",
        "$1 : ITS OWN",
    ),
    // Xenocryst has no HVM, nor says that it has.
    ("info", r"\bhvm(-\S+)? ?", ""),
    // Memory that is free, in the table of nodes.
    ("info-numa", r"(?m)^( ?0: \d+) \d+ 10$", "$1 FREE 10"),
    // Which vCPU happens to run, and on which CPU.
    ("vcpu-list", r"\d+ (r--|-b-|---)", "CPU STATE"),
    ("top", r"-----r|--b---|------", "STATE"),
    // Its whole seconds of CPU time.
    ("top", r"STATE \d+ ", "STATE TIME "),
    // Whether a guest happens to run, to wait for a CPU or to be idle, also when it is paused.
    ("list", r"[-r][-b]([-p]---)", "MOMENT$1"),
    // The stack of the guest that panics, which may have taken an interrupt, and which of its processes does.
    ("panic", r"(?m)^ ?\[ TIME\] \? .*\n", ""),
    ("panic", r"PID: \d+", "PID: N"),
];

/// A step that came out differently.
struct Difference<'r> {
    name: &'r str,
    lines: Vec<String>,
}

/// Runs the script on `options`' hypervisor and on real Xen and prints what differs.
///
/// # Errors
/// When a run cannot be made, there are differences, or a step that must succeed failed on both alike.
pub fn compare(workspace: &Workspace, options: &LabMachine, script: &Script) -> Result<()> {
    let on = |hypervisor: Hypervisor| {
        println!("== {} on {hypervisor:?}", script.name);
        let options = LabMachine {
            hypervisor,
            ..options.clone()
        };
        run_script(workspace, &options, script, &mut report::show)
    };
    let xen = on(Hypervisor::Xen).context("on real Xen")?;
    let ours = on(options.hypervisor.clone()).context("on the other hypervisor")?;
    println!("== Time, s: Xen, the other, ratio");
    for (name, ours, xen) in times(&ours, &xen) {
        println!("{name:30} {xen:8.2} {ours:8.2} {:6.2}", ours / xen);
    }
    let found = differences(&ours, &xen)?;
    for difference in &found {
        println!("== {}: - Xen, + the other", difference.name);
        for line in &difference.lines {
            println!("{line}");
        }
    }
    ensure!(
        found.is_empty(),
        "{} steps came out differently",
        found.len()
    );
    println!("{} steps came out the same", xen.steps.len());
    xen.verdict().and(ours.verdict())
}

/// The times of steps that both made and that took real Xen a tenth of a second or longer, in seconds.
fn times<'r>(ours: &'r Report, xen: &'r Report) -> Vec<(&'r str, f64, f64)> {
    let seconds = |step: &Step| step.centiseconds as f64 / 100.0;
    xen.steps
        .iter()
        .filter(|step| step.centiseconds >= 10)
        .filter_map(|step| {
            Some((
                step.name.as_str(),
                seconds(ours.step(&step.name)?),
                seconds(step),
            ))
        })
        .collect()
}

/// The steps that differ.
fn differences<'r>(ours: &'r Report, xen: &'r Report) -> Result<Vec<Difference<'r>>> {
    let mut found = Vec::new();
    for step in &xen.steps {
        let lines = match ours.step(&step.name) {
            None => vec!["+ (not made)".to_owned()],
            Some(own) => difference(own, step)?,
        };
        if !lines.is_empty() {
            found.push(Difference {
                name: &step.name,
                lines,
            });
        }
    }
    for step in &ours.steps {
        if xen.step(&step.name).is_none() {
            found.push(Difference {
                name: &step.name,
                lines: vec!["- (not made)".to_owned()],
            });
        }
    }
    Ok(found)
}

/// The lines in which the masked outputs differ, and the exit codes where they do.
fn difference(ours: &Step, xen: &Step) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    if ours.code != xen.code {
        lines.push(format!("- exit code {}", xen.code));
        lines.push(format!("+ exit code {}", ours.code));
    }
    let (own, other) = (masked(ours)?, masked(xen)?);
    let (own, other): (Vec<&str>, Vec<&str>) = (own.lines().collect(), other.lines().collect());
    // Steps print little: what is in one but not in the other tells enough.
    for (mark, here, there) in [('-', &other, &own), ('+', &own, &other)] {
        for line in here.iter().filter(|line| !there.contains(line)) {
            lines.push(format!("{mark} {line}"));
        }
    }
    Ok(lines)
}

/// The output without what differs from run to run.
fn masked(step: &Step) -> Result<String> {
    let mut output = step.output.clone();
    for (start, pattern, replacement) in MASKS {
        if step.name.starts_with(start) {
            let pattern = Regex::new(pattern).context("bad pattern")?;
            output = pattern.replace_all(&output, *replacement).into_owned();
        }
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(output: &str, code: i32) -> Report {
        Report {
            steps: vec![Step {
                name: "list".to_owned(),
                code,
                centiseconds: 5,
                output: output.to_owned(),
            }],
            ..Report::default()
        }
    }

    #[test]
    fn times_and_widths_do_not_count_as_differences() {
        let one = report("small   1   128     1     -b----       3.2", 0);
        let other = report("small 1 128 1 -b---- 11.0", 0);
        assert!(differences(&one, &other).expect("made").is_empty());
    }

    #[test]
    fn a_hypervisor_may_be_itself_but_not_have_less_memory() {
        let of = |caps: &str, version: &str, total: u32| {
            let mut report = report(
                &format!(
                    "virt_caps : pv{caps}\nxen_caps : xen-3.0-x86_64{caps}-3.0-x86_32\nxen_version : {version}\ntotal_memory : {total}"
                ),
                0,
            );
            report.steps[0].name = "info".to_owned();
            report
        };
        let xen = of(" hvm", "4.17.7", 2047);
        let mut ours = of("", "4.17.0-xenocryst", 2047);
        ours.steps[0].output = ours.steps[0]
            .output
            .replace("-3.0-x86_32", " ")
            .replace(": pv", ": pv ");
        assert!(differences(&ours, &xen).expect("made").is_empty());
        ours.steps[0].output = ours.steps[0].output.replace("2047", "1023");
        assert!(!differences(&ours, &xen).expect("made").is_empty());
    }

    #[test]
    fn seconds_of_cpu_time_in_xentop_do_not_count_but_memory_does() {
        let of = |seconds: u32, memory: u32| {
            let mut report = report(
                &format!("  Domain-0 -----r         {seconds}    0.0     {memory}   31.2"),
                0,
            );
            report.steps[0].name = "top".to_owned();
            report
        };
        let xen = of(10, 655_360);
        assert!(
            differences(&of(11, 655_360), &xen)
                .expect("made")
                .is_empty()
        );
        assert!(
            !differences(&of(10, 524_288), &xen)
                .expect("made")
                .is_empty()
        );
    }

    #[test]
    fn states_and_exit_codes_do() {
        let xen = report("small 1 128 1 -b---- 3.2", 0);
        let ours = report("small 1 128 1 r-p--- 3.2", 1);
        let found = differences(&ours, &xen).expect("made");
        let lines = &found.first().expect("one").lines;
        assert_eq!(
            lines,
            &[
                "- exit code 0",
                "+ exit code 1",
                "- small 1 128 1 MOMENT---- TIME",
                "+ small 1 128 1 MOMENTp--- TIME"
            ]
        );
    }

    #[test]
    fn a_step_that_one_has_not_made_is_a_difference() {
        let found = differences(&Report::default(), &report("", 0)).map(|found| found.len());
        assert_eq!(found.expect("made"), 1);
    }
}
