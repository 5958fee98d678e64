//! Asking the C compiler about the installed headers.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// What is needed to run this and is missing, and how to get it.
const CURE: &str = "run `cargo xtask setup`, which installs what the build and the tests need";

/// The headers, in an order in which each finds what it uses.
const HEADERS: &[&str] = &[
    "xen.h",
    "errno.h",
    "callback.h",
    "event_channel.h",
    "physdev.h",
    "memory.h",
    "sched.h",
    "vcpu.h",
    "version.h",
    "grant_table.h",
    "platform.h",
    "elfnote.h",
    "nmi.h",
    "pmu.h",
    "hypfs.h",
    "arch-x86/cpuid.h",
    "arch-x86/xen-mca.h",
    "domctl.h",
    "sysctl.h",
    "xsm/flask_op.h",
    "hvm/hvm_op.h",
    "hvm/params.h",
    "hvm/dm_op.h",
];

/// One value to compare.
pub struct Question {
    /// What it is, for the message.
    pub what: String,
    /// The C expression that gives it.
    pub expression: String,
    /// What Rust says; signed values sign-extended.
    pub ours: u64,
}

/// The header's values, in the order of the questions.
pub struct Answers {
    /// Signed values sign-extended.
    pub values: Vec<u64>,
}

impl Answers {
    /// Compiles and runs a program that prints the value of every question.
    pub fn from_headers(questions: &[Question]) -> Self {
        let mut source = preamble();
        source.push_str("#include <stdio.h>\nint main(void) {\n");
        for question in questions {
            source.push_str("    printf(\"%llu\\n\", (unsigned long long)(");
            source.push_str(&question.expression);
            source.push_str("));\n");
        }
        source.push_str("    return 0;\n}\n");

        let program = scratch("program");
        let compiled = compile(&source, &["-o", &program.display().to_string()]);
        succeed(&compiled, "the headers do not know a name in the tables");
        let run = Command::new(&program)
            .output()
            .expect("the compiled program starts");
        let _ = std::fs::remove_file(&program);
        succeed(&run, "the program that prints the headers' values failed");
        let text = String::from_utf8(run.stdout).expect("the program prints ASCII");
        let values: Vec<u64> = text
            .lines()
            .map(|line| line.parse().expect("a number a line"))
            .collect();
        assert_eq!(values.len(), questions.len(), "one answer per question");
        Self { values }
    }
}

/// Every macro the headers define.
pub fn defined_names() -> Vec<String> {
    let output = compile(&preamble(), &["-dM", "-E", "-o", "-"]);
    succeed(&output, "the headers could not be preprocessed");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_whitespace().next())
        .filter(|name| !name.contains('('))
        .map(str::to_owned)
        .collect()
}

/// The includes, and the view of the headers that Xen's own tools have.
fn preamble() -> String {
    let mut source =
        String::from("#define __XEN_TOOLS__ 1\n#include <stddef.h>\n#include <stdint.h>\n");
    for header in HEADERS {
        source.push_str(&format!("#include <xen/{header}>\n"));
    }
    source
}

/// Runs the C compiler on `source`. Fails the test, with the cure, if the compiler or the headers are missing.
fn compile(source: &str, arguments: &[&str]) -> Output {
    let path = scratch("source").with_extension("c");
    std::fs::write(&path, source).expect("the test's own directory can be written");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let output = Command::new(&compiler)
        .args(["-std=gnu11", "-w", "-x", "c"])
        .arg(&path)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("no C compiler (`{compiler}`: {error}): {CURE}"));
    let _ = std::fs::remove_file(&path);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let missing = [
        "No such file or directory",
        "file not found",
        "no include path",
    ]
    .iter()
    .any(|text| complaint.contains(text));
    assert!(
        !missing,
        "Xen's public headers (Debian's libxen-dev) or libc's are not installed: {CURE}\n{complaint}"
    );
    output
}

/// Fails the test with `what` and what the command said, unless it succeeded.
fn succeed(output: &Output, what: &str) {
    assert!(
        output.status.success(),
        "{what}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A path of its own for this use in the test's directory.
fn scratch(kind: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("layout-{}-{count}-{kind}", std::process::id()))
}
