//! A running machine under a test: its serial port is read into memory and a log, waited on, and typed at.
//!
//! What it keeps true: the machine ends with the value that stands for it, and waiting always ends: at the pattern,
//! at the machine's end, at an alarm, or at the time given.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use regex::bytes::Regex;

use crate::machine::Machine;

/// Text after which waiting for anything else is pointless: the hypervisor or the guest's kernel has stopped.
const ALARM: &str = r"Panic on CPU|^\(XEN\) Panic:|Kernel panic - not syncing";

/// Time left to the machine after an alarm to say the rest.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How much of the serial output an error quotes, in lines.
const QUOTED_LINES: usize = 40;

/// A running machine.
pub struct Vm {
    child: Child,
    input: ChildStdin,
    serial: Arc<Serial>,
    /// Everything before this has been matched by an earlier wait.
    seen: usize,
    log: PathBuf,
}

/// What the machine has said, and the signal that it said more.
#[derive(Default)]
struct Serial {
    said: Mutex<Said>,
    more: Condvar,
}

/// The bytes so far (carriage returns left out), and how many of the machine's outputs have closed.
#[derive(Default)]
struct Said {
    bytes: Vec<u8>,
    closed: usize,
}

/// Serial port and error messages.
const OUTPUTS: usize = 2;

impl Serial {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `from` to its end, into memory and `log`.
    fn collect(self: Arc<Self>, mut from: impl Read + Send + 'static, mut log: File) {
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut chunk) {
                let text: Vec<u8> = chunk[..length]
                    .iter()
                    .copied()
                    .filter(|byte| *byte != b'\r')
                    .collect();
                // The log is a convenience; the test goes on without it.
                let _ = log.write_all(&text);
                self.said().bytes.extend_from_slice(&text);
                self.more.notify_all();
            }
            self.said().closed += 1;
            self.more.notify_all();
        });
    }
}

impl Vm {
    /// Starts a machine, with what it says also written to the file `log`.
    ///
    /// # Errors
    /// When QEMU cannot be started or the log not be written.
    pub fn start(machine: &Machine, log: &Path) -> Result<Self> {
        Self::start_command(machine.command("stdio"), log)
    }

    /// Starts the machine of a QEMU command that has its serial port on its standard input and output.
    ///
    /// # Errors
    /// When QEMU cannot be started or the log not be written.
    pub fn start_command(qemu: Command, log: &Path) -> Result<Self> {
        if let Some(parent) = log.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        // So that the machine does not outlive this program, however this ends.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(qemu.get_program())
            .args(qemu.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let serial = Arc::new(Serial::default());
        let input = child.stdin.take().context("no way to type")?;
        let output = child.stdout.take().context("no serial port")?;
        let errors = child.stderr.take().context("no error output")?;
        Arc::clone(&serial).collect(output, file.try_clone()?);
        Arc::clone(&serial).collect(errors, file);
        Ok(Self {
            child,
            input,
            serial,
            seen: 0,
            log: log.to_owned(),
        })
    }

    /// Waits until the machine has said what the regular expression `pattern` matches (`(?m)` is on), after what was
    /// matched before; returns the match and its groups.
    ///
    /// # Errors
    /// When the time is over, the machine ends, or says that it cannot go on.
    pub fn expect(&mut self, pattern: &str, within: Duration) -> Result<Vec<String>> {
        let wanted = Regex::new(&format!("(?m){pattern}")).context("bad pattern")?;
        let alarm = Regex::new(&format!("(?m){ALARM}")).context("bad pattern")?;
        let mut deadline = Instant::now() + within;
        let mut reason = format!("not within {} s", within.as_secs());
        let mut alarmed = false;
        loop {
            let said = self.serial.said();
            let new = said.bytes.get(self.seen..).unwrap_or_default();
            if let Some(found) = wanted.captures(new) {
                let groups = found
                    .iter()
                    .map(|group| group.map_or(&b""[..], |group| group.as_bytes()));
                let groups = groups
                    .map(|group| String::from_utf8_lossy(group).into_owned())
                    .collect();
                self.seen += found.get(0).map_or(0, |all| all.end());
                return Ok(groups);
            }
            if said.closed == OUTPUTS {
                drop(said);
                return Err(self.complaint(pattern, "the machine ended"));
            }
            if !alarmed && let Some(found) = alarm.find(new) {
                alarmed = true;
                reason = format!(
                    "the machine said {:?}",
                    String::from_utf8_lossy(found.as_bytes())
                );
                deadline = deadline.min(Instant::now() + LAST_WORDS);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(said);
                return Err(self.complaint(pattern, &reason));
            }
            drop(self.serial.more.wait_timeout(said, left));
        }
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the machine has ended.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .context("cannot type to the machine")
    }

    /// Waits until the machine ends by itself.
    ///
    /// # Errors
    /// When it does not, or QEMU fails.
    pub fn expect_end(&mut self, within: Duration) -> Result<()> {
        match self.ended_within(within)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                Err(self.complaint("end of the machine", &format!("QEMU ended with {status}")))
            }
            None => Err(self.complaint(
                "end of the machine",
                &format!("not within {} s", within.as_secs()),
            )),
        }
    }

    /// Checks that the machine neither ends nor says what matches `pattern` for the time given.
    ///
    /// # Errors
    /// When it does.
    pub fn expect_quiet(&mut self, pattern: &str, within: Duration) -> Result<()> {
        if let Some(status) = self.ended_within(within)? {
            bail!("the machine should have stayed; QEMU ended with {status}");
        }
        let unwanted = Regex::new(&format!("(?m){pattern}")).context("bad pattern")?;
        let found = unwanted.is_match(
            self.serial
                .said()
                .bytes
                .get(self.seen..)
                .unwrap_or_default(),
        );
        if found {
            Err(self.complaint(pattern, "it should not have been said"))
        } else {
            Ok(())
        }
    }

    /// What the machine said that means that it cannot go on, if it did.
    ///
    /// # Errors
    /// None in practice.
    pub fn alarm(&self) -> Result<Option<String>> {
        let alarm = Regex::new(&format!("(?m){ALARM}")).context("bad pattern")?;
        let said = self.serial.said();
        let found = alarm.find(&said.bytes);
        Ok(found.map(|found| String::from_utf8_lossy(found.as_bytes()).into_owned()))
    }

    /// Everything said so far.
    #[must_use]
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.serial.said().bytes).into_owned()
    }

    /// How QEMU ended, if it does so in time.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn ended_within(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for QEMU")? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// An error that says what was waited for, why it did not come, and what the machine said last.
    fn complaint(&self, wanted: &str, reason: &str) -> anyhow::Error {
        let said = self.transcript();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n    | ");
        anyhow!(
            "waited for {wanted:?}: {reason}; the end of {}:\n    | {last}",
            self.log.display()
        )
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
