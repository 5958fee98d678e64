//! Comparing what the rules say of grants with what the engine keeps: frames of tables, uses with their pins, mappings.

use std::collections::BTreeMap;

use xenocryst_abi::Mfn;
use xenocryst_memory::grant::inspect::{GrantFrames, GrantInUse, MappedGrant};

use crate::layout::DOMAINS;
use crate::model::Model;
use crate::model::grants::{CONTAINS_PTE, DEVICE, HOST, Lists, Mapping, READ_ONLY, Use};
use crate::request::Request;
use crate::subject::Subject;

/// Entries looked at after requests that are not about grants.
const OFTEN: u32 = 16;

/// The engine's lists as the rules have them.
#[must_use]
pub fn lists(frames: &GrantFrames) -> Lists {
    let numbers = |list: &[Mfn]| list.iter().map(|mfn| mfn.raw() as usize).collect();
    Lists {
        shared: numbers(&frames.shared),
        status: numbers(&frames.status),
        active: numbers(&frames.active),
        track: numbers(&frames.track),
    }
}

/// Compares all grants and mappings, and how they are used.
pub fn compare_grants(
    model: &Model,
    subject: &Subject<'_>,
    request: &Request,
) -> Result<(), String> {
    let most = if request.verb().starts_with("grant") {
        u32::MAX
    } else {
        OFTEN
    };
    for (dom, domain) in model.domains.iter().enumerate().take(DOMAINS) {
        let grants = &domain.grants;
        let frames = lists(&subject.grant_frames(dom));
        same(dom, "table", &grants.lists, &frames)?;
        let (version, in_use, total) = subject.grants_in_use(dom, most);
        same(dom, "version", &grants.version, &u64::from(version))?;
        same(dom, "grants in use", &grants.uses.len(), &(total as usize))?;
        let looked_at = |reference: &u64| *reference < u64::from(most);
        let should: BTreeMap<u64, Use> = grants
            .uses
            .iter()
            .filter(|(reference, _)| looked_at(reference))
            .map(|(&reference, &one)| (reference, one))
            .collect();
        let is = in_use
            .iter()
            .map(|one| (u64::from(one.reference), used(one)));
        same(dom, "uses", &should, &is.collect())?;
        let mut should: Vec<Mapping> = grants.maps.iter().map(plain).collect();
        should.sort_by_key(|mapping| mapping.handle);
        let is: Vec<Mapping> = subject.mapped_grants(dom).iter().map(mapping).collect();
        same(dom, "mappings", &should, &is)?;
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(
    dom: usize,
    what: &str,
    should: &T,
    is: &T,
) -> Result<(), String> {
    if should == is {
        return Ok(());
    }
    Err(format!(
        "{what} of domain {dom} should be {should:?}, but is {is:?}"
    ))
}

fn used(one: &GrantInUse) -> Use {
    Use {
        user: usize::from(one.user.0),
        frame: one.frame.raw(),
        pins: one.pins,
        part: one
            .part
            .map(|(start, length)| (u64::from(start), u64::from(length))),
    }
}

/// What the engine keeps of a mapping, too.
fn plain(mapping: &Mapping) -> Mapping {
    Mapping {
        flags: mapping.flags & (HOST | DEVICE | READ_ONLY | CONTAINS_PTE),
        host: 0,
        ..*mapping
    }
}

fn mapping(found: &MappedGrant) -> Mapping {
    plain(&Mapping {
        handle: u64::from(found.handle),
        granter: usize::from(found.granter.0),
        reference: u64::from(found.reference),
        frame: found.frame.raw() as usize,
        flags: u64::from(found.flags),
        host: 0,
    })
}
