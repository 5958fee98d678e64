//! The results of a script: steps with what they printed and how they ended, and figures.
//!
//! What it keeps true: a line counts as a mark only if it begins as one, and marks that do not fit together are an
//! error, not a result. Neighbours: `host/lab/dom0/lib.sh` writes the marks.

use anyhow::{Context, Result, bail, ensure};

/// What a mark begins with.
const MARK: &str = "==lab== ";

/// What a script reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// Figures, by name, in their order.
    pub values: Vec<(String, String)>,
    /// How many steps did not end as they must; none where the script did not reach its end.
    pub failed: Option<u32>,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Exit code of its command.
    pub code: i32,
    /// How long it took, hundredths of a second by dom0's clock.
    pub centiseconds: u64,
    /// What it printed.
    pub output: String,
}

impl Report {
    /// Reads what came out of the results' serial port.
    ///
    /// # Errors
    /// When marks do not fit together.
    pub fn read(text: &str) -> Result<Self> {
        let mut report = Self::default();
        let mut open: Option<(String, Vec<&str>)> = None;
        for line in text.lines() {
            let line = line.trim_end_matches('\r');
            let Some(mark) = line.strip_prefix(MARK) else {
                if let Some((_, output)) = &mut open {
                    output.push(line);
                }
                continue;
            };
            let words: Vec<&str> = mark.split(' ').collect();
            match words.as_slice() {
                ["begin", name] => {
                    ensure!(open.is_none(), "step {name} begins within another");
                    open = Some(((*name).to_owned(), Vec::new()));
                }
                ["end", name, code, time] => {
                    let (begun, output) = open
                        .take()
                        .with_context(|| format!("{name} ends unbegun"))?;
                    ensure!(begun == *name, "step {begun} ends as {name}");
                    report.steps.push(Step {
                        name: begun,
                        code: code.parse()?,
                        centiseconds: time.parse()?,
                        output: output.join("\n").trim_end().to_owned(),
                    });
                }
                ["value", name, value] => {
                    report
                        .values
                        .push(((*name).to_owned(), (*value).to_owned()));
                }
                ["done", failed] => report.failed = Some(failed.parse()?),
                _ => bail!("{line:?} is no mark"),
            }
        }
        Ok(report)
    }

    /// The step of this name.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The figure of this name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the script succeeded.
    ///
    /// # Errors
    /// When not, with what the steps that may be to blame printed.
    pub fn verdict(&self) -> Result<()> {
        match self.failed {
            Some(0) => Ok(()),
            Some(failed) => {
                let mut said = format!("{failed} steps did not end as they must");
                for step in self.steps.iter().filter(|step| step.code != 0) {
                    said.push_str(&format!("\n{} ended with {}:", step.name, step.code));
                    for line in step.output.lines() {
                        said.push_str(&format!("\n    | {line}"));
                    }
                }
                bail!(said)
            }
            None => bail!("the script did not reach its end"),
        }
    }
}

/// Prints a line of results for a person.
pub fn show(line: &str) {
    let line = line.trim_end_matches('\r');
    let Some(mark) = line.strip_prefix(MARK) else {
        if !line.is_empty() {
            println!("    {line}");
        }
        return;
    };
    let words: Vec<&str> = mark.split(' ').collect();
    match words.as_slice() {
        ["begin", name] => println!("{name} ..."),
        ["end", name, code, time] => {
            let seconds = time.parse::<f64>().unwrap_or_default() / 100.0;
            println!("{name} ended with {code} ({seconds:.2} s)");
        }
        ["value", name, value] => println!("{name} = {value}"),
        ["done", failed] => println!("done, {failed} failed"),
        _ => println!("{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULTS: &str = "noise\n\n==lab== begin list\r\nName  ID\r\nDomain-0 0\r\n\r\n==lab== end list 0 12\n\
                           ==lab== value free 100\n==lab== begin no\n\n==lab== end no 1 3\n==lab== done 1\n";

    #[test]
    fn steps_have_their_output_code_and_time() {
        let report = Report::read(RESULTS).expect("readable");
        let list = report.step("list").expect("there");
        assert_eq!(list.output, "Name  ID\nDomain-0 0");
        assert_eq!((list.code, list.centiseconds), (0, 12));
        assert_eq!(report.value("free"), Some("100"));
        assert_eq!(report.failed, Some(1));
    }

    #[test]
    fn a_failed_step_is_named_in_the_verdict() {
        let error = Report::read(RESULTS).expect("readable").verdict();
        assert!(
            error
                .expect_err("failed")
                .to_string()
                .contains("no ended with 1")
        );
    }

    #[test]
    fn a_script_cut_off_has_no_verdict_but_failure() {
        let report = Report::read("==lab== begin create\nParsing\n").expect("readable");
        assert_eq!(report.failed, None);
        assert!(report.verdict().is_err());
    }

    #[test]
    fn marks_that_do_not_fit_together_are_an_error() {
        assert!(Report::read("==lab== end list 0 1\n").is_err());
        assert!(Report::read("==lab== begin a\n==lab== begin b\n").is_err());
    }
}
