//! Engine and rules agree, on random traces and on every trace that once showed a fault.

use std::path::Path;

use xenocryst_memory::seeded::Fault;
use xenocryst_oracle::campaign::{self, Campaign, TRACE, random_trace};
use xenocryst_oracle::request::parse;
use xenocryst_oracle::runner::{Checks, run};
use xenocryst_oracle::statistics::Statistics;

#[test]
fn random_traces_agree_and_ask_for_enough() {
    let campaign = Campaign {
        steps: 30_000,
        seed: 2026,
        audit_every: 10,
    };
    let outcome = campaign::run(&campaign, |_| {});
    if let Some(failure) = outcome.failure {
        panic!("{}\n{}", failure.what, failure.text());
    }
    let statistics = &outcome.statistics;
    println!("{statistics}");
    assert!(
        (30..=85).contains(&statistics.share_done()),
        "neither all refusals nor none"
    );
    for verb in [
        "pin",
        "unpin",
        "root",
        "update",
        "va",
        "store",
        "exchange",
        "relinquish",
        "birth",
        "grant-map",
        "grant-unmap",
        "grant-copy",
        "grant-transfer",
        "grant-version",
        "grant-let-go",
        "grant-destroy",
        "io",
    ] {
        assert!(statistics.done(verb) > 3, "{verb} hardly ever succeeds");
    }
    let codes: Vec<_> = statistics.codes().collect();
    assert!(codes.len() > 55, "most rules refuse something: {codes:?}");
    let of_grants = codes.iter().filter(|code| code.starts_with("GR-"));
    assert!(of_grants.count() > 20, "so do those of grants: {codes:?}");
}

#[test]
fn every_trace_that_showed_a_fault_agrees_now() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut replayed = 0;
    for file in std::fs::read_dir(directory).expect("there are regressions") {
        let path = file.expect("the directory can be read").path();
        let text = std::fs::read_to_string(&path).expect("a trace can be read");
        let trace = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Err(difference) = run(&trace, Checks::ALL) {
            panic!("{}: {difference}", path.display());
        }
        replayed += 1;
    }
    assert!(replayed >= 3, "the traces are where they were");
}

#[test]
fn a_trace_that_showed_a_fault_still_shows_it_where_it_can_be_committed_again() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for (file, fault) in [
        ("abandoned-exchange-forgets-a-table", Fault::FlushOnAbandon),
        ("refused-transfer-forgets-a-table", Fault::TransferType),
    ] {
        let path = directory.join(file).with_extension("trace");
        let text = std::fs::read_to_string(path).expect("a trace can be read");
        let checks = Checks {
            fault: Some(fault),
            ..Checks::ALL
        };
        let trace = parse(&text).expect("it is a trace");
        assert!(
            run(&trace, checks).is_err(),
            "{file} does not show {fault:?}"
        );
    }
}

/// Traces that are run before a fault counts as missed.
const TRACES: u64 = 100;

/// The first trace that shows a fault, and how.
fn caught(fault: Option<Fault>, traces: u64) -> Option<(u64, String)> {
    let checks = Checks {
        audit_every: 25,
        fault,
    };
    (0..traces).find_map(|seed| {
        let (_, what) = random_trace(seed, TRACE, checks, &mut Statistics::default());
        what.map(|what| (seed, what))
    })
}

#[test]
fn every_seeded_fault_is_caught_and_nothing_else_is() {
    assert_eq!(
        caught(None, 4),
        None,
        "the engine as it is commits no fault"
    );
    // Assertions of the engine that fail are a way of catching; they need not be printed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let results: Vec<_> = Fault::ALL
        .iter()
        .map(|&fault| (fault, caught(Some(fault), TRACES)))
        .collect();
    std::panic::set_hook(hook);
    for (fault, found) in &results {
        match found {
            Some((trace, what)) => {
                println!("{fault:?}: trace {trace}: {}", what.replace('\n', " "))
            }
            None => println!("{fault:?}: missed"),
        }
    }
    let missed: Vec<_> = results
        .iter()
        .filter(|(_, found)| found.is_none())
        .collect();
    assert!(missed.is_empty(), "missed: {missed:?}");
}
