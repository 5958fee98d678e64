//! Physical interrupts as a domain numbers them: what each stands for, and who was told what about ending them.
//!
//! Keeps true: a number stands for one line or message at a time; a bound interrupt is unbound before it is unmapped; the
//! page that tells the guest which interrupts to end has a bit set exactly for those that are held back until then.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use xenocryst_abi::Mfn;
use xenocryst_abi::hypercall::errno::{EBUSY, EEXIST, EINVAL, ENOSPC, EPERM, Errno};

use super::lines;
use super::msi::{self, MessageId, Wanted};
use super::pci::Function;
use crate::domain::Domain;
use crate::events::{self, GuestPage};
use crate::sync::{Mutex, Rank};

/// Physical interrupts a domain can have.
pub const MAX_PIRQS: usize = 256;

/// What a number stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Nothing,
    /// Given out by `PHYSDEVOP_get_free_pirq` and not used yet.
    Reserved,
    Line(u32),
    Message(MessageId),
}

#[derive(Clone, Copy)]
struct Pirq {
    source: Source,
    bound: bool,
    /// Held back from firing until the domain ends it.
    level: bool,
}

/// The physical interrupts of one domain.
pub struct DomainPirqs {
    table: Mutex<[Pirq; MAX_PIRQS]>,
    /// The guest's page with a bit for each interrupt it must end by hypercall.
    eoi_page: Mutex<Option<GuestPage>>,
    /// Ending an interrupt unmasks its event channel too.
    auto_unmask: AtomicBool,
    /// The lines that it may bind, a bit each: those mapped for it, and those it was given.
    lines: [AtomicU64; lines::MAX_LINES / 64],
}

/// Tells `tell` of every frame of `domain` that its interrupts hold.
pub fn each_held_page(domain: &Domain, tell: &mut dyn FnMut(Mfn)) {
    if let Some(page) = &*domain.pirqs.eoi_page.lock() {
        tell(page.mfn());
    }
}

impl Default for DomainPirqs {
    fn default() -> Self {
        Self::new()
    }
}

impl DomainPirqs {
    /// None.
    pub const fn new() -> Self {
        const FREE: Pirq = Pirq {
            source: Source::Nothing,
            bound: false,
            level: false,
        };
        Self {
            table: Mutex::new(Rank::Pirqs, [FREE; MAX_PIRQS]),
            eoi_page: Mutex::new(Rank::PirqPage, None),
            auto_unmask: AtomicBool::new(false),
            lines: [const { AtomicU64::new(0) }; lines::MAX_LINES / 64],
        }
    }

    /// Lets the domain bind line `gsi`, or no longer.
    fn permit_line(&self, gsi: u32, allow: bool) {
        let Some(word) = self.lines.get(gsi as usize / 64) else {
            return;
        };
        let bit = 1 << (gsi & 63);
        if allow {
            word.fetch_or(bit, Ordering::Relaxed);
        } else {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    fn permits_line(&self, gsi: u32) -> bool {
        let word = self.lines.get(gsi as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (gsi & 63) != 0)
    }

    fn set_eoi_bit(&self, pirq: u32, needed: bool) {
        if let Some(page) = &*self.eoi_page.lock() {
            let word = page.word(pirq as usize / 32 * 4);
            let bit = 1_u32 << (pirq & 31);
            if needed {
                word.fetch_or(bit, Ordering::AcqRel);
            } else {
                word.fetch_and(!bit, Ordering::AcqRel);
            }
        }
    }
}

fn slot(table: &mut [Pirq; MAX_PIRQS], pirq: u32) -> Result<&mut Pirq, Errno> {
    table.get_mut(pirq as usize).ok_or(EINVAL)
}

/// Whether a domain can have number `pirq`.
pub fn is_in_range(pirq: u32) -> bool {
    (pirq as usize) < MAX_PIRQS
}

/// Whether `domain` has an interrupt numbered `pirq` that can be bound.
///
/// # Errors
/// `EINVAL` for a number out of range, `EPERM` for one that was not mapped for the domain, or a line that it may not use.
pub fn check_pirq(domain: &Domain, pirq: u32) -> Result<(), Errno> {
    if !is_in_range(pirq) {
        return Err(EINVAL);
    }
    let table = domain.pirqs.table.lock();
    match table.get(pirq as usize).map(|entry| entry.source) {
        Some(Source::Line(gsi)) if !domain.pirqs.permits_line(gsi) => Err(EPERM),
        Some(Source::Line(_) | Source::Message(_)) => Ok(()),
        _ if domain.privileged => Err(EINVAL),
        _ => Err(EPERM),
    }
}

/// Lets `to` bind the line that `pirq` stands for with `giver`, or no longer.
///
/// # Errors
/// `EPERM` if it stands for none, or for one that `giver` may not bind itself. Messages belong to their devices, which
/// nobody is given.
pub fn permit(giver: &Domain, pirq: u32, to: &Domain, allow: bool) -> Result<(), Errno> {
    let source = {
        let mut table = giver.pirqs.table.lock();
        slot(&mut table, pirq)?.source
    };
    match source {
        Source::Line(gsi) if giver.pirqs.permits_line(gsi) => {
            to.pirqs.permit_line(gsi, allow);
            Ok(())
        }
        _ => Err(EPERM),
    }
}

/// Lets what `pirq` stands for interrupt `domain` from now on. A line has one user whatever `_shared` says.
///
/// # Errors
/// `EINVAL` for nothing mapped, `EBUSY` for what is in use, `ENOSPC` without a vector.
pub fn bind(domain: &'static Domain, pirq: u32, _shared: bool) -> Result<(), Errno> {
    let source = {
        let mut table = domain.pirqs.table.lock();
        let entry = slot(&mut table, pirq)?;
        if entry.bound {
            return Err(EBUSY);
        }
        entry.bound = true;
        entry.source
    };
    let connected = match source {
        Source::Line(gsi) => lines::bind(gsi, domain, pirq),
        Source::Message(id) => msi::bind(id, domain, pirq).map(|()| false),
        Source::Nothing | Source::Reserved => Err(EINVAL),
    };
    let mut table = domain.pirqs.table.lock();
    let entry = slot(&mut table, pirq)?;
    match connected {
        Ok(level) => {
            entry.level = level;
            domain.pirqs.set_eoi_bit(pirq, level);
            Ok(())
        }
        Err(errno) => {
            entry.bound = false;
            Err(errno)
        }
    }
}

/// Silences `pirq` of `domain`.
pub fn unbind(domain: &Domain, pirq: u32) {
    let source = {
        let mut table = domain.pirqs.table.lock();
        let Ok(entry) = slot(&mut table, pirq) else {
            return;
        };
        if !entry.bound {
            return;
        }
        entry.bound = false;
        entry.source
    };
    match source {
        Source::Line(gsi) => lines::unbind(gsi),
        Source::Message(id) => msi::unbind(id),
        Source::Nothing | Source::Reserved => {}
    }
}

/// Sends `pirq` of `domain` to `cpu`.
pub fn set_affinity(domain: &Domain, pirq: u32, cpu: u32) {
    let source = {
        let table = domain.pirqs.table.lock();
        match table.get(pirq as usize) {
            Some(entry) => entry.source,
            None => return,
        }
    };
    match source {
        Source::Line(gsi) => lines::set_cpu(gsi, cpu),
        Source::Message(id) => msi::set_cpu(id, cpu),
        Source::Nothing | Source::Reserved => {}
    }
}

/// `PHYSDEVOP_eoi`: the guest has dealt with `pirq`.
///
/// # Errors
/// `EINVAL` for a number out of range, or that stands for nothing.
pub fn eoi(domain: &'static Domain, pirq: u32) -> Result<(), Errno> {
    let entry = {
        let mut table = domain.pirqs.table.lock();
        *slot(&mut table, pirq)?
    };
    if entry.source == Source::Nothing {
        return Err(EINVAL);
    }
    if domain.pirqs.auto_unmask.load(Ordering::Relaxed) {
        events::unmask_pirq(domain, pirq);
    }
    if let (true, true, Source::Line(gsi)) = (entry.bound, entry.level, entry.source) {
        lines::end(gsi);
    }
    Ok(())
}

/// `PHYSDEVOP_IRQ_UNMASK_NOTIFY`: ends every interrupt whose event channel is not masked; all of them, which is allowed.
pub fn unmask_all(domain: &'static Domain) {
    for pirq in 0..MAX_PIRQS as u32 {
        // Refused for those that stand for nothing.
        let _ = eoi(domain, pirq);
    }
}

/// `PHYSDEVOP_pirq_eoi_gmfn_*`: `frame` is where the guest looks which interrupts it must end by hypercall.
///
/// # Errors
/// `EINVAL` if it is no page of the domain that can be written, `EBUSY` if there is one already.
pub fn hold_eoi_page(domain: &'static Domain, frame: Mfn, auto_unmask: bool) -> Result<(), Errno> {
    let page = GuestPage::hold(domain, frame)?;
    let mut held = domain.pirqs.eoi_page.lock();
    if held.is_some() {
        drop(held);
        page.release();
        return Err(EBUSY);
    }
    *held = Some(page);
    drop(held);
    if auto_unmask {
        domain.pirqs.auto_unmask.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Takes a free number: for a line from below, for a message from above. It stays reserved until it is mapped or unmapped.
///
/// # Errors
/// `ENOSPC` if there is none.
pub fn free_pirq(domain: &Domain, for_line: bool) -> Result<u32, Errno> {
    let mut table = domain.pirqs.table.lock();
    let found = find_free(&table, for_line)?;
    slot(&mut table, found)?.source = Source::Reserved;
    Ok(found)
}

fn find_free(table: &[Pirq; MAX_PIRQS], for_line: bool) -> Result<u32, Errno> {
    const FIRST_LINE: usize = 16;
    let lines = lines::count() as usize;
    let is_free = |index: &usize| {
        table
            .get(*index)
            .is_some_and(|entry| entry.source == Source::Nothing)
    };
    let below = (FIRST_LINE..lines).find(|index| for_line && is_free(index));
    below
        .or_else(|| (lines..MAX_PIRQS).rev().find(is_free))
        .map(|index| index as u32)
        .ok_or(ENOSPC)
}

/// `MAP_PIRQ_TYPE_GSI`: makes `wanted` (or any number if `None`) stand for line `gsi`.
///
/// # Errors
/// `EINVAL` for no such line or number, `EEXIST` if the line has another number, `EBUSY` if the number is in use.
pub fn map_gsi(domain: &Domain, gsi: u32, wanted: Option<u32>) -> Result<u32, Errno> {
    if gsi >= lines::count() {
        return Err(EINVAL);
    }
    let mut table = domain.pirqs.table.lock();
    let now = table
        .iter()
        .position(|entry| entry.source == Source::Line(gsi))
        .map(|index| index as u32);
    let pirq = match (wanted, now) {
        (None, Some(now)) => return Ok(now),
        (Some(wanted), Some(now)) if wanted != now => return Err(EEXIST),
        (Some(wanted), _) => wanted,
        (None, None) => find_free(&table, true)?,
    };
    let entry = slot(&mut table, pirq)?;
    match entry.source {
        Source::Nothing | Source::Reserved => {
            // The hypervisor's own lines can be numbered, as on Xen; binding them fails.
            entry.source = Source::Line(gsi);
            domain.pirqs.permit_line(gsi, true);
            Ok(pirq)
        }
        Source::Line(mapped) if mapped == gsi => Ok(pirq),
        _ => Err(EBUSY),
    }
}

/// `MAP_PIRQ_TYPE_MSI*`: programs a message of `function` and makes `wanted` (or any number) stand for it.
///
/// # Errors
/// Those of [`msi::map`]; `EINVAL` for no such number, `EBUSY` if it is in use.
pub fn map_message(
    domain: &Domain,
    function: Function,
    message: Wanted,
    wanted: Option<u32>,
) -> Result<u32, Errno> {
    let pirq = {
        let mut table = domain.pirqs.table.lock();
        let pirq = match wanted {
            Some(wanted) => wanted,
            None => find_free(&table, false)?,
        };
        let entry = slot(&mut table, pirq)?;
        match entry.source {
            Source::Nothing | Source::Reserved => entry.source = Source::Reserved,
            _ => return Err(EBUSY),
        }
        pirq
    };
    let mapped = msi::map(function, message);
    let mut table = domain.pirqs.table.lock();
    let entry = slot(&mut table, pirq)?;
    match mapped {
        Ok(id) => {
            entry.source = Source::Message(id);
            Ok(pirq)
        }
        Err(errno) => {
            entry.source = Source::Nothing;
            Err(errno)
        }
    }
}

/// Takes every interrupt of `domain` away, which is going and has closed its channels, and lets go of its page.
pub fn release_all(domain: &Domain) {
    for pirq in 0..MAX_PIRQS as u32 {
        // Refused for those it never had.
        let _ = unmap(domain, pirq);
    }
    let page = domain.pirqs.eoi_page.lock().take();
    if let Some(page) = page {
        page.release();
    }
}

/// `PHYSDEVOP_unmap_pirq`: `pirq` stands for nothing any more.
///
/// # Errors
/// `EINVAL` if it stood for nothing.
pub fn unmap(domain: &Domain, pirq: u32) -> Result<(), Errno> {
    unbind(domain, pirq);
    let source = {
        let mut table = domain.pirqs.table.lock();
        let entry = slot(&mut table, pirq)?;
        core::mem::replace(&mut entry.source, Source::Nothing)
    };
    match source {
        Source::Nothing => Err(EINVAL),
        Source::Message(id) => {
            msi::unmap(id);
            Ok(())
        }
        Source::Line(gsi) => {
            domain.pirqs.permit_line(gsi, false);
            Ok(())
        }
        Source::Reserved => Ok(()),
    }
}
