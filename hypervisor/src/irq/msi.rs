//! Message signalled interrupts of devices: programming, masking and moving them, and keeping the hardware domain's own
//! writes to their registers harmless.
//!
//! Keeps true: a device's message registers hold what is written here for as long as the message is mapped; an entry is
//! masked until its interrupt is bound, where the device can mask.

use alloc::vec::Vec;

use xenocryst_abi::Maddr;
use xenocryst_abi::hypercall::errno::{EEXIST, EINVAL, ENODEV, ENOMEM, ENOSPC, ENXIO, Errno};
use xenocryst_emulate::Width;
use xenocryst_emulate::msi::{Config, MSIX_ENABLE, MSIX_MASK_ALL, Message, Msi, MsiX, is_present};

use super::pci::Function;
use super::{dispatch, lines};
use crate::domain::Domain;
use crate::mm::{Caching, ioremap};
use crate::sync::{Mutex, Rank};

/// Bytes of one entry of an MSI-X table: address, data, control.
const TABLE_ENTRY: u64 = 16;
/// Command register: memory accesses are decoded.
const MEMORY_ENABLED: u32 = 2;
/// Control word of a table entry: masked.
const ENTRY_MASKED: u32 = 1;

/// Where a message is programmed.
#[derive(Clone, Copy)]
enum Place {
    /// The device's one MSI capability.
    Capability(Msi),
    /// Entry `number` of an MSI-X table; `at` is where it is mapped.
    Table {
        capability: MsiX,
        number: u16,
        at: u64,
    },
}

/// One message.
#[derive(Clone, Copy)]
struct Entry {
    function: Function,
    place: Place,
    vector: u8,
    cpu: u32,
    masked: bool,
}

struct State {
    entries: Vec<Option<Entry>>,
    /// MSI-X tables mapped so far: machine address, bytes, where. They stay mapped for the next use.
    tables: Vec<(u64, u64, u64)>,
}

static STATE: Mutex<State> = Mutex::new(
    Rank::Messages,
    State {
        entries: Vec::new(),
        tables: Vec::new(),
    },
);

/// Names a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageId(u16);

impl Entry {
    /// Writes address and data.
    fn program(&self) {
        let message = Message::fixed(lines::destination(self.cpu), self.vector);
        match self.place {
            Place::Capability(msi) => msi.set_message(&self.function, message),
            Place::Table { at, .. } => {
                write_table(at, message.address as u32);
                write_table(at + 4, (message.address >> 32) as u32);
                write_table(at + 8, u32::from(message.data));
            }
        }
    }

    fn set_mask(&mut self, masked: bool) {
        self.masked = masked;
        match self.place {
            Place::Capability(msi) => msi.set_mask(&self.function, 0, masked),
            Place::Table { at, .. } => write_table(at + 12, if masked { ENTRY_MASKED } else { 0 }),
        }
    }

    /// Writes everything again, after the device lost it or to move it. A device that can mask does so meanwhile.
    fn reprogram(&mut self) {
        let masked = self.masked;
        self.set_mask(true);
        self.program();
        self.set_mask(masked);
    }
}

fn write_table(at: u64, value: u32) {
    // SAFETY: `at` lies in an MSI-X table that `map_table` mapped for ever; the device's registers are 32 bits wide.
    unsafe { (at as *mut u32).write_volatile(value) };
}

impl State {
    fn entry(&mut self, id: MessageId) -> Option<&mut Entry> {
        self.entries.get_mut(usize::from(id.0))?.as_mut()
    }

    fn insert(&mut self, entry: Entry) -> Result<MessageId, Errno> {
        let free = self.entries.iter().position(Option::is_none);
        let index = match free {
            Some(index) => index,
            None => {
                self.entries.try_reserve(1).map_err(|_| ENOMEM)?;
                self.entries.push(None);
                self.entries.len() - 1
            }
        };
        let id = MessageId(u16::try_from(index).map_err(|_| ENOSPC)?);
        if let Some(slot) = self.entries.get_mut(index) {
            *slot = Some(entry);
        }
        Ok(id)
    }

    /// Whether entry `number` of `function` is mapped (`None`: its MSI capability).
    fn is_mapped(&self, function: Function, number: Option<u16>) -> bool {
        self.entries.iter().flatten().any(|entry| {
            entry.function == function
                && match entry.place {
                    Place::Capability(_) => number.is_none(),
                    Place::Table { number: other, .. } => number == Some(other),
                }
        })
    }

    /// Where the MSI-X table of `capability` is mapped.
    fn map_table(&mut self, function: Function, capability: &MsiX) -> Result<u64, Errno> {
        let maddr = capability.table(&function).ok_or(ENXIO)?;
        let bytes = u64::from(capability.entries) * TABLE_ENTRY;
        if let Some(&(_, _, at)) = self
            .tables
            .iter()
            .find(|(start, size, _)| *start == maddr && *size >= bytes)
        {
            return Ok(at);
        }
        // A table over RAM would be the guest's lie about a device: nothing of ours may be written so.
        let end = maddr.checked_add(bytes).ok_or(ENXIO)?;
        if crate::mm::is_ram(Maddr::new(maddr), Maddr::new(end)) {
            return Err(ENXIO);
        }
        self.tables.try_reserve(1).map_err(|_| ENOMEM)?;
        let at = ioremap(Maddr::new(maddr), bytes, Caching::Device).ok_or(ENOMEM)? as u64;
        self.tables.push((maddr, bytes, at));
        Ok(at)
    }
}

/// What to map.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// The MSI capability, one message.
    Msi,
    /// This entry of the MSI-X table.
    MsiX(u16),
}

/// Gives a message of `function` a vector and programs it, masked where that is possible.
///
/// # Errors
/// `ENODEV` without the device or the capability, `EINVAL` beyond the table, `ENXIO` when the table cannot be reached,
/// `EEXIST` if it is mapped, `ENOSPC` without a vector.
pub fn map(function: Function, wanted: Wanted) -> Result<MessageId, Errno> {
    if !is_present(&function) {
        return Err(ENODEV);
    }
    let mut state = STATE.lock();
    let (place, number) = match wanted {
        Wanted::Msi => (Place::Capability(Msi::find(&function).ok_or(ENODEV)?), None),
        Wanted::MsiX(number) => {
            let capability = MsiX::find(&function).ok_or(ENODEV)?;
            if number >= capability.entries {
                return Err(EINVAL);
            }
            if function.read(4) & MEMORY_ENABLED == 0 {
                return Err(ENXIO);
            }
            let at = state.map_table(function, &capability)? + u64::from(number) * TABLE_ENTRY;
            (
                Place::Table {
                    capability,
                    number,
                    at,
                },
                Some(number),
            )
        }
    };
    if state.is_mapped(function, number) {
        return Err(EEXIST);
    }
    let vector = lines::take_vector().ok_or(ENOSPC)?;
    let mut entry = Entry {
        function,
        place,
        vector,
        cpu: 0,
        masked: true,
    };
    entry.reprogram();
    state
        .insert(entry)
        .inspect_err(|_| lines::release_vector(vector))
}

/// Ends what [`map`] began: the device raises the message no more.
pub fn unmap(id: MessageId) {
    let mut state = STATE.lock();
    let Some(entry) = state
        .entries
        .get_mut(usize::from(id.0))
        .and_then(Option::take)
    else {
        return;
    };
    let mut last = entry;
    last.set_mask(true);
    match entry.place {
        Place::Capability(msi) => msi.enable(&entry.function, false, 0),
        Place::Table { capability, .. } => {
            let others = state
                .entries
                .iter()
                .flatten()
                .any(|other| other.function == entry.function);
            if !others {
                let control = capability.control(&entry.function) & !(MSIX_ENABLE | MSIX_MASK_ALL);
                capability.set_control(&entry.function, control);
            }
        }
    }
    dispatch::disconnect(entry.vector);
    lines::release_vector(entry.vector);
}

/// Lets the message raise `pirq` of `domain` from now on.
///
/// # Errors
/// `EINVAL` if it is not mapped.
pub fn bind(id: MessageId, domain: &'static Domain, pirq: u32) -> Result<(), Errno> {
    let mut state = STATE.lock();
    let entry = state.entry(id).ok_or(EINVAL)?;
    dispatch::connect(entry.vector, domain, pirq, None);
    entry.set_mask(false);
    Ok(())
}

/// Silences the message.
pub fn unbind(id: MessageId) {
    let mut state = STATE.lock();
    if let Some(entry) = state.entry(id) {
        entry.set_mask(true);
        dispatch::disconnect(entry.vector);
    }
}

/// Sends the message to `cpu`.
pub fn set_cpu(id: MessageId, cpu: u32) {
    let mut state = STATE.lock();
    if let Some(entry) = state.entry(id)
        && entry.cpu != cpu
    {
        entry.cpu = cpu;
        entry.reprogram();
    }
}

/// `PHYSDEVOP_restore_msi`: the device lost its registers; writes them again.
///
/// # Errors
/// `ENODEV` without the device.
pub fn restore(function: Function) -> Result<(), Errno> {
    if !is_present(&function) {
        return Err(ENODEV);
    }
    let mut state = STATE.lock();
    for entry in state
        .entries
        .iter_mut()
        .flatten()
        .filter(|entry| entry.function == function)
    {
        entry.reprogram();
        match entry.place {
            Place::Capability(msi) => msi.enable(&function, true, 0),
            Place::Table { capability, .. } => {
                let control = capability.control(&function) & !MSIX_MASK_ALL | MSIX_ENABLE;
                capability.set_control(&function, control);
            }
        }
    }
    Ok(())
}

/// Forgets every message of a device that is gone.
pub fn forget(function: Function) {
    let mut state = STATE.lock();
    for slot in &mut state.entries {
        if let Some(entry) = slot
            && entry.function == function
        {
            dispatch::disconnect(entry.vector);
            lines::release_vector(entry.vector);
            *slot = None;
        }
    }
}

/// What of the hardware domain's write of `value` to `register` of a function's configuration space goes to the device:
/// the value, changed or not, or `None` for nothing.
///
/// Where a message is mapped, its address, data and masks are ours, and writes to them are dropped.
#[inline]
pub fn filter_config_write(function: u16, register: u8, width: Width, value: u32) -> Option<u32> {
    if register < 0x40 {
        return Some(value);
    }
    filter_capability_write(Function(function), register, width, value)
}

fn filter_capability_write(
    function: Function,
    register: u8,
    width: Width,
    value: u32,
) -> Option<u32> {
    let state = STATE.lock();
    let end = u16::from(register) + width.bytes() as u16;
    for entry in state
        .entries
        .iter()
        .flatten()
        .filter(|entry| entry.function == function)
    {
        // The first four bytes are the header and the control word, which the hardware domain manages itself.
        let (first, bytes) = match entry.place {
            Place::Capability(msi) => (u16::from(msi.at), if msi.maskable { 24 } else { 14 }),
            Place::Table { capability, .. } => (u16::from(capability.at), 12),
        };
        if end > first + 4 && u16::from(register) < first + bytes {
            return None;
        }
    }
    Some(value)
}
