//! The page that shows snapshots: pictures, figures, and a look-up of any frame; one file that needs no other.
//!
//! Neighbours: [`super::picture`] draws; `page.html` is the page without its contents.

use std::fmt::Write;

use xenocryst_memory::{FrameType, Holder, Run};

use super::picture::{self, By};
use super::snapshot::Snapshot;

/// The page, with a place for the snapshots and one for their data.
const TEMPLATE: &str = include_str!("page.html");

/// The page of these snapshots.
#[must_use]
pub fn page(snapshots: &[Snapshot], name: &dyn Fn(u16) -> String) -> String {
    let mut sections = String::new();
    let mut data = String::from("[");
    for (number, snapshot) in snapshots.iter().enumerate() {
        sections.push_str(&section(number, snapshot, name));
        if number > 0 {
            data.push(',');
        }
        data.push_str(&json(snapshot));
    }
    data.push(']');
    TEMPLATE
        .replace("<!--SNAPSHOTS-->", &sections)
        .replace("/*DATA*/[]", &data)
}

/// The pictures and figures of one snapshot.
fn section(number: usize, snapshot: &Snapshot, name: &dyn Fn(u16) -> String) -> String {
    let mut html = format!(
        "<section data-snapshot=\"{number}\" data-name=\"{}\">\n",
        escaped(&snapshot.name)
    );
    for (by, class) in [(By::Owner, "owner"), (By::Type, "type")] {
        let _ = write!(html, "<div class=\"view {class}\">\n<p class=\"legend\">");
        for (colour, word) in picture::legend(snapshot, by, name) {
            let _ = write!(
                html,
                "<span><i style=\"background:{colour}\"></i>{}</span> ",
                escaped(&word)
            );
        }
        let _ = write!(html, "</p>\n{}</div>\n", picture::field(snapshot, by));
    }
    html.push_str("<div class=\"plots\">\n");
    for (domain, frames) in snapshot.domains() {
        let pieces = snapshot.pieces(domain);
        if pieces == 0 {
            continue;
        }
        let _ = write!(
            html,
            "<figure><figcaption><b>{}</b>: {frames} frames ({} MiB); PFN to the right, MFN upwards, {pieces} pieces\
             </figcaption>\n{}</figure>\n",
            escaped(&name(domain)),
            frames / 256,
            picture::plot(snapshot, domain)
        );
    }
    html.push_str("</div>\n</section>\n");
    html
}

/// The runs for the page's script: arrays of first frame, count, holder (-3 no RAM, -2 free, -1 the hypervisor,
/// otherwise the domain), type, pinned, uses of the type, references, and PFN or -1.
fn json(snapshot: &Snapshot) -> String {
    let mut text = String::from("[");
    for run in &snapshot.runs {
        if text.len() > 1 {
            text.push(',');
        }
        let _ = write!(
            text,
            "[{},{},{},\"{}\",{},{},{},{}]",
            run.first.raw(),
            run.frames,
            holder(run),
            kind(run),
            u8::from(run.pinned),
            run.type_count,
            run.general_count,
            // Numbers beyond what a script counts exactly are no PFNs.
            run.pfn
                .map(|pfn| pfn.raw())
                .filter(|pfn| *pfn < 1 << 52)
                .map_or("-1".to_owned(), |pfn| pfn.to_string())
        );
    }
    text.push(']');
    text
}

/// The holder as a number.
fn holder(run: &Run) -> i32 {
    match run.holder {
        Holder::Hole => -3,
        Holder::Free => -2,
        Holder::Hypervisor => -1,
        Holder::Domain(id) => i32::from(id.0),
    }
}

/// The type in words; none where it does not count.
fn kind(run: &Run) -> String {
    match run.frame_type {
        FrameType::None => String::new(),
        frame_type => frame_type.to_string(),
    }
}

/// Text that is no markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::snapshot;
    use super::*;

    #[test]
    fn the_page_needs_no_other_file_and_has_every_frame() {
        let snapshots = snapshot::read(snapshot::tests::LOG).expect("whole");
        let page = page(&snapshots, &|domain| format!("guest <{domain}>"));
        for outside in ["src=", "href=\"http", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains(
            "[[[0,16,-1,\"\",0,0,1,-1],[16,8,-2,\"\",0,0,0,-1],[24,8,0,\"writable\",0,1,2,0],"
        ));
        assert!(page.contains("guest &lt;1>") && !page.contains("guest <1>"));
        assert!(!page.contains("/*DATA*/") && !page.contains("<!--SNAPSHOTS-->"));
    }
}
