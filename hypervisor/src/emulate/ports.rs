//! I/O ports of a guest: what its own system allows, what we allow its domain, and the few devices that are shared.
//!
//! Keeps true: a port reaches hardware only if the domain's set has it; configuration space, the clock and the timer go
//! through here, one access at a time under their locks. What is not allowed reads as ones and swallows writes.
//! Neighbours: `irq::pci` (configuration space), `xenocryst_emulate::ports` (the sets).

use core::sync::atomic::{AtomicU8, Ordering};

use spin::Once;
use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::{ENOMEM, EOPNOTSUPP, EPERM, Errno};
use xenocryst_emulate::Width;
use xenocryst_emulate::ports::{ConfigAddress, PortSet, hardware_domain};

use super::has_io_privilege;
use crate::arch::{guest_access, io};
use crate::domain::{Domain, Vcpu};
use crate::hypercall::vm_assist::ARCHITECTURAL_IOPL;
use crate::irq::pci;
use crate::mm::heap::try_box;
use crate::sync::{Mutex, Rank};
use crate::traps::bounce::toggle_mode;

const PIT_CHANNEL_2: u16 = 0x42;
const PIT_MODE: u16 = 0x43;
const SPEAKER_GATE: u16 = 0x61;
const CLOCK_INDEX: u16 = 0x70;
const CLOCK_DATA: u16 = 0x71;
const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;

/// What a domain last wrote to index ports that it shares with others.
pub struct Latches {
    /// Register of the clock chosen by port 0x70.
    clock_index: AtomicU8,
}

impl Latches {
    /// As after reset.
    pub const fn new() -> Self {
        Self {
            clock_index: AtomicU8::new(0),
        }
    }
}

/// The hardware domain's ports.
static PORTS: Once<PortSet> = Once::new();
/// The clock's index and data port.
static CLOCK: Mutex<()> = Mutex::new(Rank::ClockChip, ());

/// Fixes which ports the hardware domain may reach: not the hypervisor's, not those of its `console`, not the power
/// management timer at `pm_timer`. Called once, before a guest runs.
pub fn init(console: Option<u16>, pm_timer: Option<u16>) {
    PORTS.call_once(|| {
        let mut ports = hardware_domain();
        if let Some(base) = console {
            ports.remove(base, base.saturating_add(7));
        }
        if let Some(base) = pm_timer {
            ports.remove(base, base.saturating_add(3));
        }
        ports
    });
}

/// Whether the guest chose to have its I/O privilege level taken as hardware takes it.
#[inline]
pub fn has_architectural_iopl(vcpu: &Vcpu) -> bool {
    vcpu.domain.vm_assist.load(Ordering::Relaxed) & ARCHITECTURAL_IOPL != 0
}

/// Whether the guest's own system lets what runs now use the ports: by privilege level or by the bitmap it gave us.
#[inline]
pub fn guest_allows(vcpu: &Vcpu, port: u16, width: Width) -> bool {
    has_io_privilege(vcpu) || bitmap_allows(vcpu, port, width)
}

#[cold]
fn bitmap_allows(vcpu: &Vcpu, port: u16, width: Width) -> bool {
    let (bitmap, limit) = vcpu.io_bitmap.get();
    if u32::from(port) + width.bytes() as u32 > limit {
        return false;
    }
    let user = !vcpu.in_kernel();
    // The bitmap is the kernel's.
    if user {
        toggle_mode(vcpu);
    }
    let mut bytes = [0xff; 2];
    let at = bitmap.wrapping_add(u64::from(port >> 3));
    // The second byte may be beyond the end of the map; unreadable means not allowed.
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = guest_access::read::<u8>(Vaddr::new(at.wrapping_add(index as u64))).unwrap_or(0xff);
    }
    if user {
        toggle_mode(vcpu);
    }
    let wanted = ((1_u32 << width.bytes()) - 1) << (port & 7);
    u32::from(u16::from_le_bytes(bytes)) & wanted == 0
}

/// Whether the domain may use the `bytes` ports from `port` directly.
#[inline]
fn domain_allows(domain: &Domain, port: u16, bytes: u32) -> bool {
    if domain.privileged {
        PORTS.get().is_some_and(|ports| ports.contains(port, bytes))
    } else {
        was_given(domain, port, bytes)
    }
}

#[cold]
fn was_given(domain: &Domain, port: u16, bytes: u32) -> bool {
    let given = domain.control.ports.lock();
    given
        .as_ref()
        .is_some_and(|ports| ports.contains(port, bytes))
}

/// Lets `domain` reach ports `first` to `last`, or no longer. The caller speaks for the hardware domain, whose own ports
/// stay as they are.
///
/// # Errors
/// `EPERM` if the hardware domain has not all of them, `ENOMEM`, `EOPNOTSUPP` for taking its own away.
pub fn permit(domain: &Domain, first: u16, last: u16, allow: bool) -> Result<(), Errno> {
    let own = PORTS.get().ok_or(EPERM)?;
    if !(first..=last).all(|port| own.contains(port, 1)) {
        return Err(EPERM);
    }
    if domain.privileged {
        return if allow { Ok(()) } else { Err(EOPNOTSUPP) };
    }
    // Made before and dropped after the lock is held: nothing is taken under it.
    let mut fresh = if allow {
        Some(try_box(PortSet::none()).ok_or(ENOMEM)?)
    } else {
        None
    };
    let mut given = domain.control.ports.lock();
    if given.is_none() {
        *given = fresh.take();
    }
    match given.as_mut() {
        Some(ports) if allow => ports.add(first, last),
        Some(ports) => ports.remove(first, last),
        None => {}
    }
    drop(given);
    Ok(())
}

/// Whether an access goes to hardware whole. The configuration address is only visible to accesses of 4 bytes.
#[inline]
fn is_direct(domain: &Domain, port: u16, width: Width) -> bool {
    domain_allows(domain, port, width.bytes() as u32)
        && !(port == CONFIG_ADDRESS && width == Width::Double)
}

#[inline]
fn read_hardware(port: u16, width: Width) -> u32 {
    // SAFETY: the port is the guest's by policy: what its device does is the domain's business.
    unsafe {
        match width {
            Width::Byte => u32::from(io::inb(port)),
            Width::Word => u32::from(io::inw(port)),
            _ => io::inl(port),
        }
    }
}

#[inline]
fn write_hardware(port: u16, width: Width, value: u32) {
    // SAFETY: as in `read_hardware`.
    unsafe {
        match width {
            Width::Byte => io::outb(port, value as u8),
            Width::Word => io::outw(port, value as u16),
            _ => io::outl(port, value),
        }
    }
}

/// The widest access of at most `left` bytes from `port` that stays in its aligned 4 bytes.
fn piece(port: u16, left: u32) -> Width {
    match (port & 3, left) {
        (0, 4) => Width::Double,
        (0..=2, 2..) => Width::Word,
        _ => Width::Byte,
    }
}

/// Reads `width` from `port` for `domain`.
#[inline]
pub fn read(domain: &Domain, port: u16, width: Width) -> u32 {
    if is_direct(domain, port, width) {
        return read_hardware(port, width);
    }
    if port & 0xfffc == CONFIG_DATA && domain.privileged && u64::from(port & 3) + width.bytes() <= 4
    {
        return read_config(domain, port, width);
    }
    read_in_pieces(domain, port, width)
}

fn read_in_pieces(domain: &Domain, first: u16, width: Width) -> u32 {
    let total = width.bytes() as u32;
    let (mut value, mut at) = (0_u64, 0);
    while at < total {
        let Ok(port) = u16::try_from(u32::from(first) + at) else {
            value |= u64::MAX << (at * 8);
            break;
        };
        let (piece, bits) = read_piece(domain, port, total - at);
        value |= (u64::from(bits) & piece.mask()) << (at * 8);
        at += piece.bytes() as u32;
    }
    value as u32
}

fn read_piece(domain: &Domain, port: u16, left: u32) -> (Width, u32) {
    let byte = |value: u8| (Width::Byte, u32::from(value));
    match port {
        PIT_CHANNEL_2 | PIT_MODE | SPEAKER_GATE => byte(read_timer(domain, port)),
        CLOCK_INDEX => byte(domain.latches.clock_index.load(Ordering::Relaxed)),
        CLOCK_DATA => byte(read_clock(domain)),
        CONFIG_ADDRESS if left == 4 => (Width::Double, domain.pci_cf8.load(Ordering::Relaxed)),
        port if port & 0xfffc == CONFIG_DATA => {
            let width = piece(port, left);
            (
                width,
                if domain.privileged {
                    read_config(domain, port, width)
                } else {
                    u32::MAX
                },
            )
        }
        port if domain_allows(domain, port, 1) => {
            let width = if left > 1 && domain_allows(domain, port, 2) && port & 1 == 0 {
                Width::Word
            } else {
                Width::Byte
            };
            (width, read_hardware(port, width))
        }
        _ => byte(0xff),
    }
}

/// Writes `width` of `value` to `port` for `domain`.
#[inline]
pub fn write(domain: &Domain, port: u16, width: Width, value: u32) {
    if is_direct(domain, port, width) {
        return write_hardware(port, width, value);
    }
    if port == CONFIG_ADDRESS && width == Width::Double {
        return domain.pci_cf8.store(value, Ordering::Relaxed);
    }
    write_in_pieces(domain, port, width, value);
}

fn write_in_pieces(domain: &Domain, first: u16, width: Width, value: u32) {
    let total = width.bytes() as u32;
    let mut at = 0;
    while at < total {
        let Ok(port) = u16::try_from(u32::from(first) + at) else {
            return;
        };
        at += write_piece(domain, port, total - at, value >> (at * 8)).bytes() as u32;
    }
}

fn write_piece(domain: &Domain, port: u16, left: u32, value: u32) -> Width {
    match port {
        PIT_CHANNEL_2 | PIT_MODE | SPEAKER_GATE => write_timer(domain, port, value as u8),
        CLOCK_INDEX => domain
            .latches
            .clock_index
            .store(value as u8, Ordering::Relaxed),
        CLOCK_DATA => write_clock(domain, value as u8),
        port if port & 0xfffc == CONFIG_DATA => {
            let width = piece(port, left);
            if domain.privileged {
                write_config(domain, port, width, value);
            }
            return width;
        }
        port if domain_allows(domain, port, 1) => {
            let width = if left > 1 && domain_allows(domain, port, 2) && port & 1 == 0 {
                Width::Word
            } else {
                Width::Byte
            };
            write_hardware(port, width, value);
            return width;
        }
        _ => {}
    }
    Width::Byte
}

fn read_config(domain: &Domain, port: u16, width: Width) -> u32 {
    let address = ConfigAddress(domain.pci_cf8.load(Ordering::Relaxed));
    pci::read_raw(address, port, width)
}

fn write_config(domain: &Domain, port: u16, width: Width, value: u32) {
    let address = ConfigAddress(domain.pci_cf8.load(Ordering::Relaxed));
    let value = value & width.mask() as u32;
    if !address.enabled() {
        return pci::write_raw(address, port, width, value);
    }
    if let Some(value) = crate::irq::msi::filter_config_write(
        address.function(),
        address.register(port),
        width,
        value,
    ) {
        pci::write_raw(address, port, width, value);
    }
}

/// Channel 2 of the timer and its gate are the hardware domain's: it measures the CPU with them. The rest is ours.
fn read_timer(domain: &Domain, port: u16) -> u8 {
    if !domain.privileged || port == PIT_MODE {
        return 0xff;
    }
    read_hardware(port, Width::Byte) as u8
}

fn write_timer(domain: &Domain, port: u16, value: u8) {
    const SELECT: u8 = 0xc0;
    const READ_BACK: u8 = 0xc0;
    const CHANNEL_2: u8 = 0x80;
    const READ_BACK_CHANNEL_2: u8 = 0x08;
    const GATE_AND_SPEAKER: u8 = 3;
    if !domain.privileged {
        return;
    }
    match port {
        PIT_MODE => match value & SELECT {
            // Latches channel 2 alone.
            READ_BACK if value & READ_BACK_CHANNEL_2 != 0 => {
                write_hardware(PIT_MODE, Width::Byte, u32::from(value & 0xf8));
            }
            CHANNEL_2 => write_hardware(PIT_MODE, Width::Byte, u32::from(value)),
            _ => {}
        },
        SPEAKER_GATE => {
            let kept = read_hardware(SPEAKER_GATE, Width::Byte) as u8 & !GATE_AND_SPEAKER;
            write_hardware(
                SPEAKER_GATE,
                Width::Byte,
                u32::from(kept | value & GATE_AND_SPEAKER),
            );
        }
        _ => write_hardware(port, Width::Byte, u32::from(value)),
    }
}

/// Bit 7 of the index would switch non-maskable interrupts off: it never reaches hardware.
fn read_clock(domain: &Domain) -> u8 {
    if !domain.privileged {
        return 0xff;
    }
    let _guard = CLOCK.lock();
    let index = domain.latches.clock_index.load(Ordering::Relaxed) & 0x7f;
    write_hardware(CLOCK_INDEX, Width::Byte, u32::from(index));
    read_hardware(CLOCK_DATA, Width::Byte) as u8
}

fn write_clock(domain: &Domain, value: u8) {
    if !domain.privileged {
        return;
    }
    let _guard = CLOCK.lock();
    let index = domain.latches.clock_index.load(Ordering::Relaxed) & 0x7f;
    write_hardware(CLOCK_INDEX, Width::Byte, u32::from(index));
    write_hardware(CLOCK_DATA, Width::Byte, u32::from(value));
}
