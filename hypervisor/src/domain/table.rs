//! The table of all domains, by number.
//!
//! Keeps true: a number stands for one domain at a time, from when it is published until nothing of it is left.
//! Neighbours: `domain::create` (what is published), `domain::grave` (what is withdrawn).

use spin::Once;
use xenocryst_abi::DomId;

use super::Domain;
use crate::sync::{Mutex, Rank};

/// The most domains at a time.
pub const MAX_DOMAINS: usize = 256;

/// Filled from the start without gaps.
struct Table {
    domains: [Option<&'static Domain>; MAX_DOMAINS],
    /// The number that was given out last.
    last: u16,
}

static DOMAINS: Mutex<Table> = Mutex::new(
    Rank::Domains,
    Table {
        domains: [None; MAX_DOMAINS],
        last: 0,
    },
);
static DOM0: Once<&'static Domain> = Once::new();

impl Table {
    fn each(&self) -> impl Iterator<Item = &'static Domain> {
        self.domains.iter().map_while(|slot| *slot)
    }
}

/// The domain numbered `id`, if there is one. `DOMID_SELF` is not resolved here.
pub fn find(id: DomId) -> Option<&'static Domain> {
    if id == DomId::DOM0 {
        return DOM0.get().copied();
    }
    DOMAINS.lock().each().find(|domain| domain.id == id)
}

/// Calls `each` with every domain that is published.
pub fn for_each(mut each: impl FnMut(&'static Domain)) {
    let mut next = 0;
    while let Some(domain) = first_from(next) {
        each(domain);
        next = u32::from(domain.id.0) + 1;
    }
}

/// The domain with the lowest number that is at least `number`.
pub fn first_from(number: u32) -> Option<&'static Domain> {
    let domains = DOMAINS.lock();
    let from = domains
        .each()
        .filter(|domain| u32::from(domain.id.0) >= number);
    from.min_by_key(|domain| domain.id.0)
}

/// How many domains are published.
pub fn count() -> u32 {
    DOMAINS.lock().each().count() as u32
}

/// Whether no domain has the number `id`.
pub fn is_free(id: DomId) -> bool {
    find(id).is_none()
}

/// A number for a new domain: the next above the one given out last that is free, so that numbers are not soon used again.
pub fn next_number() -> Option<DomId> {
    let mut table = DOMAINS.lock();
    let last = table.last;
    let ordinary = DomId::FIRST_RESERVED.0;
    let found = (1..ordinary)
        .map(|step| (u32::from(last) + u32::from(step)) % u32::from(ordinary))
        .map(|number| DomId(number as u16))
        .find(|id| id.0 != 0 && table.each().all(|domain| domain.id != *id))?;
    table.last = found.0;
    Some(found)
}

/// Makes a domain known to [`find`]. Returns false when the table is full.
pub fn publish(domain: &'static Domain) -> bool {
    if domain.id == DomId::DOM0 {
        DOM0.call_once(|| domain);
    }
    let mut table = DOMAINS.lock();
    match table.domains.iter_mut().find(|slot| slot.is_none()) {
        Some(slot) => {
            *slot = Some(domain);
            true
        }
        None => false,
    }
}

/// Makes `domain` unknown again.
pub fn withdraw(domain: &'static Domain) {
    let mut table = DOMAINS.lock();
    let count = table.each().count();
    let found = table.each().position(|other| core::ptr::eq(other, domain));
    if let Some(index) = found {
        table.domains.swap(index, count - 1);
        table.domains[count - 1] = None;
    }
}
