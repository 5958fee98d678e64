//! Drawing a snapshot: machine memory as a field of frames, and a domain's PFNs against its MFNs; SVG.
//!
//! What it keeps true: neighbours of the same colour are one shape, so that a picture of a large machine stays small.
//! Neighbours: [`super::page`] puts the pictures on a page.

use std::fmt::Write;

use xenocryst_memory::{FrameType, Holder, Level, Run};

use super::snapshot::Snapshot;

/// What colours stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Who has the frame.
    Owner,
    /// What it is used as.
    Type,
}

/// Colours of domains, by number; they come again after the last.
const DOMAINS: &[&str] = &[
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#ee8866", "#44bb99",
];
const HOLE: &str = "#ffffff";
const FREE: &str = "#e8e8e4";
const HYPERVISOR: &str = "#333333";

/// Width of a field of frames, in the picture's units.
const WIDTH: f64 = 800.0;
/// Frames of one MiB.
const MIB: u64 = 256;

/// The colour of a run.
#[must_use]
pub fn colour(run: &Run, by: By) -> &'static str {
    match (run.holder, by) {
        (Holder::Hole, _) => HOLE,
        (Holder::Free, _) => FREE,
        (Holder::Hypervisor, _) => HYPERVISOR,
        (Holder::Domain(id), By::Owner) => domain_colour(id.0),
        (Holder::Domain(_), By::Type) => type_colour(run.frame_type),
    }
}

/// The colour of a domain.
#[must_use]
pub fn domain_colour(domain: u16) -> &'static str {
    DOMAINS[usize::from(domain) % DOMAINS.len()]
}

/// The colour of a type.
fn type_colour(frame_type: FrameType) -> &'static str {
    match frame_type {
        FrameType::None => "#b8c8d8",
        FrameType::Writable => "#7fb3d5",
        FrameType::Table(Level::L1) => "#f5b041",
        FrameType::Table(Level::L2) => "#e67e22",
        FrameType::Table(Level::L3) => "#cb4335",
        FrameType::Table(Level::L4) => "#7b241c",
        FrameType::Descriptors => "#8e44ad",
        FrameType::Shared => "#27ae60",
    }
}

/// What the colours of `by` mean in this snapshot: colour and word.
#[must_use]
pub fn legend(
    snapshot: &Snapshot,
    by: By,
    name: &dyn Fn(u16) -> String,
) -> Vec<(&'static str, String)> {
    let mut legend: Vec<(&'static str, String)> = vec![
        (FREE, "free".to_owned()),
        (HYPERVISOR, "hypervisor".to_owned()),
        (HOLE, "no RAM".to_owned()),
    ];
    match by {
        By::Owner => {
            for (domain, _) in snapshot.domains() {
                legend.push((domain_colour(domain), name(domain)));
            }
        }
        By::Type => {
            for frame_type in [
                FrameType::None,
                FrameType::Writable,
                FrameType::Table(Level::L1),
                FrameType::Table(Level::L2),
                FrameType::Table(Level::L3),
                FrameType::Table(Level::L4),
                FrameType::Descriptors,
                FrameType::Shared,
            ] {
                legend.push((type_colour(frame_type), frame_type.to_string()));
            }
        }
    }
    legend
}

/// Frames in a row of the field: a power of two, so that the field is about twice as wide as high.
#[must_use]
pub fn row_length(frames: u64) -> u64 {
    let mut row = 512;
    while row * row < frames * 2 {
        row *= 2;
    }
    row
}

/// Machine memory, row by row from the top, as a whole SVG document.
#[must_use]
pub fn field(snapshot: &Snapshot, by: By) -> String {
    let frames = snapshot.frames();
    let row = row_length(frames);
    let rows = frames.div_ceil(row);
    // A frame is so many units wide; rows are as high that the field is half as high as it is wide.
    let unit = WIDTH / row as f64;
    let height = (WIDTH / 2.0 / rows as f64).clamp(1.0, 8.0);
    let left = 60.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" class=\"field\" data-row=\"{row}\" \
         data-rows=\"{rows}\" data-left=\"{left}\" data-height=\"{height:.3}\" font-family=\"sans-serif\" font-size=\"10\">\n",
        left + WIDTH + 1.0,
        rows as f64 * height + 2.0
    );
    for (row_number, mib) in ticks(rows, row) {
        let y = row_number as f64 * height;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{mib} MiB</text>",
            left - 4.0,
            y + 9.0
        );
    }
    svg.push_str("<g shape-rendering=\"crispEdges\">\n");
    for (colour, first, count) in stretches(snapshot, by) {
        for (x, y, wide, high) in rectangles(first, count, row) {
            let _ = writeln!(
                svg,
                "<rect x=\"{:.3}\" y=\"{:.2}\" width=\"{:.3}\" height=\"{:.2}\" fill=\"{colour}\"/>",
                left + x as f64 * unit,
                y as f64 * height,
                wide as f64 * unit,
                high as f64 * height
            );
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// Which rows get a label, and what it says: eight of them at most, at round numbers of MiB.
fn ticks(rows: u64, row: u64) -> Vec<(u64, u64)> {
    let mut every = 1;
    while rows / every > 8 {
        every *= 2;
    }
    (0..rows)
        .step_by(every as usize)
        .map(|number| (number, number * row / MIB))
        .collect()
}

/// Frames in a row that are drawn alike: colour, first, count. What is no RAM is not drawn.
fn stretches(snapshot: &Snapshot, by: By) -> Vec<(&'static str, u64, u64)> {
    let mut stretches: Vec<(&'static str, u64, u64)> = Vec::new();
    for run in &snapshot.runs {
        let colour = colour(run, by);
        match stretches.last_mut() {
            Some((last, _, count)) if *last == colour => *count += run.frames,
            _ => stretches.push((colour, run.first.raw(), run.frames)),
        }
    }
    stretches.retain(|(colour, ..)| *colour != HOLE);
    stretches
}

/// A stretch of frames as rectangles on rows of `row` frames: column, row, width, height. Three at most: the rest of
/// its first row, whole rows, and the start of its last.
fn rectangles(first: u64, count: u64, row: u64) -> Vec<(u64, u64, u64, u64)> {
    let mut all = Vec::new();
    let (mut at, end) = (first, first + count);
    if at % row != 0 {
        let wide = (row - at % row).min(end - at);
        all.push((at % row, at / row, wide, 1));
        at += wide;
    }
    let whole = (end - at) / row;
    if whole > 0 {
        all.push((0, at / row, row, whole));
        at += whole * row;
    }
    if at < end {
        all.push((0, at / row, end - at, 1));
    }
    all
}

/// A domain's PFNs (to the right) against its MFNs (upwards), as a whole SVG document.
#[must_use]
pub fn plot(snapshot: &Snapshot, domain: u16) -> String {
    let highest = snapshot
        .of_domain(domain)
        .filter_map(|run| run.pfn?.raw().checked_add(run.frames))
        // A guest may write any number into its own entries; what no machine has is not drawn.
        .filter(|pfn| *pfn <= snapshot.frames() * 4)
        .max()
        .unwrap_or(1);
    let (wide, high, left, below) = (380.0, 240.0, 62.0, 22.0);
    let x = |pfn: u64| left + pfn as f64 / highest as f64 * wide;
    let y = |mfn: u64| high - mfn as f64 / snapshot.frames() as f64 * high + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" class=\"plot\" \
         font-family=\"sans-serif\" font-size=\"10\">\n<rect x=\"{left}\" y=\"8\" width=\"{wide}\" height=\"{high}\" \
         fill=\"#fafafa\" stroke=\"#999\"/>\n",
        left + wide + 30.0,
        high + below + 10.0
    );
    for quarter in 0..=4 {
        let (pfn, mfn) = (highest * quarter / 4, snapshot.frames() * quarter / 4);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{} MiB</text>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{} MiB</text>",
            x(pfn),
            high + below,
            pfn / MIB,
            left - 4.0,
            y(mfn) + 3.0,
            mfn / MIB
        );
    }
    let _ = write!(
        svg,
        "<path fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" stroke-linecap=\"square\" d=\"",
        domain_colour(domain)
    );
    for run in snapshot.of_domain(domain) {
        let Some(pfn) = run.pfn.map(|pfn| pfn.raw()).filter(|pfn| *pfn <= highest) else {
            continue;
        };
        let mfn = run.first.raw();
        let _ = write!(
            svg,
            "M{:.1} {:.1}L{:.1} {:.1}",
            x(pfn),
            y(mfn),
            x((pfn + run.frames).min(highest)),
            y(mfn + run.frames)
        );
    }
    svg.push_str("\"/>\n</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::super::snapshot;
    use super::*;

    fn example() -> Snapshot {
        snapshot::read(snapshot::tests::LOG)
            .expect("whole")
            .remove(0)
    }

    #[test]
    fn a_stretch_is_three_rectangles_at_most_and_covers_just_its_frames() {
        assert_eq!(rectangles(0, 8, 8), [(0, 0, 8, 1)]);
        assert_eq!(
            rectangles(6, 20, 8),
            [(6, 0, 2, 1), (0, 1, 8, 2), (0, 3, 2, 1)]
        );
        assert_eq!(rectangles(3, 2, 8), [(3, 0, 2, 1)]);
        for (first, count) in [(0, 1), (7, 1), (5, 40), (8, 16), (9, 7)] {
            let all = rectangles(first, count, 8);
            assert_eq!(all.iter().map(|(_, _, w, h)| w * h).sum::<u64>(), count);
        }
    }

    #[test]
    fn owners_and_types_have_colours_of_their_own() {
        let snapshot = example();
        let field = field(&snapshot, By::Owner);
        for colour in [domain_colour(0), domain_colour(1), FREE, HYPERVISOR] {
            assert!(field.contains(colour), "{colour}");
        }
        assert!(!field.contains(&format!("fill=\"{HOLE}\"")));
        let by_type = super::field(&snapshot, By::Type);
        assert!(by_type.contains(type_colour(FrameType::Table(Level::L1))));
        assert!(by_type.contains(type_colour(FrameType::Writable)));
        assert!(!by_type.contains(domain_colour(0)));
    }

    #[test]
    fn each_run_of_a_domain_is_a_stroke_in_its_plot() {
        let snapshot = example();
        assert_eq!(
            plot(&snapshot, 1).matches('M').count() - plot(&snapshot, 1).matches("MiB").count(),
            1
        );
    }

    #[test]
    fn every_colour_is_in_the_legend() {
        let snapshot = example();
        for by in [By::Owner, By::Type] {
            let legend = legend(&snapshot, by, &|domain| format!("domain {domain}"));
            for run in &snapshot.runs {
                let colour = colour(run, by);
                assert!(legend.iter().any(|(known, _)| *known == colour));
            }
        }
    }
}
