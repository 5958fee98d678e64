//! The lines of the I/O interrupt controllers: how each is triggered, which vector it has, who has it.
//!
//! Keeps true: everything about lines is behind one lock; a line raises a vector only while it is bound.

use xenocryst_abi::hypercall::errno::{EBUSY, EEXIST, EINVAL, ENOSPC, Errno};
use xenocryst_emulate::vectors::Vectors;

use super::dispatch;
use crate::arch::{apic, ioapic};
use crate::domain::Domain;
use crate::sync::{Mutex, Rank};

/// The most lines that are served; machines have 24 to a few hundred.
pub(super) const MAX_LINES: usize = 256;
/// Lines of the ISA bus, edge-triggered and active high unless firmware or the hardware domain says otherwise.
const ISA_LINES: u32 = 16;

/// One line.
#[derive(Clone, Copy)]
struct Line {
    /// The hardware domain, or the hypervisor for itself, has said how it is triggered.
    registered: bool,
    level: bool,
    active_low: bool,
    vector: Option<u8>,
    cpu: u32,
    bound: bool,
    /// It is the hypervisor's.
    own: bool,
}

struct Lines {
    lines: [Line; MAX_LINES],
    vectors: Vectors,
}

const UNUSED: Line = Line {
    registered: false,
    level: false,
    active_low: false,
    vector: None,
    cpu: 0,
    bound: false,
    own: false,
};

static LINES: Mutex<Lines> = Mutex::new(
    Rank::Lines,
    Lines {
        lines: [UNUSED; MAX_LINES],
        vectors: Vectors::new(),
    },
);

/// The number of lines there are.
pub(super) fn count() -> u32 {
    ioapic::gsi_count().min(MAX_LINES as u32)
}

/// Takes a free vector.
pub(super) fn take_vector() -> Option<u8> {
    LINES.lock().vectors.take()
}

/// Gives a vector back.
pub(super) fn release_vector(vector: u8) {
    LINES.lock().vectors.release(vector);
}

/// The destination for `cpu`, as interrupt messages and routing entries name it. CPUs with numbers above 8 bits get none:
/// the boot CPU has a small one.
pub(super) fn destination(cpu: u32) -> u8 {
    apic::id_of(cpu)
        .and_then(|id| u8::try_from(id).ok())
        .unwrap_or_else(|| apic::id_of(0).unwrap_or(0) as u8)
}

impl Lines {
    fn line(&mut self, gsi: u32) -> Result<&mut Line, Errno> {
        if gsi >= count() {
            return Err(EINVAL);
        }
        let line = self.lines.get_mut(gsi as usize).ok_or(EINVAL)?;
        if !line.registered && gsi >= ISA_LINES {
            // PCI interrupts are level-triggered and active low.
            (line.level, line.active_low) = (true, true);
        }
        Ok(line)
    }

    /// Takes a vector for `gsi` if it has none, and writes the routing.
    fn route(&mut self, gsi: u32) -> Result<(u8, Line), Errno> {
        let line = *self.line(gsi)?;
        let vector = match line.vector {
            Some(vector) => vector,
            None => self.vectors.take().ok_or(ENOSPC)?,
        };
        let line = Line {
            vector: Some(vector),
            ..line
        };
        *self.line(gsi)? = line;
        ioapic::route(
            gsi,
            ioapic::Route {
                vector,
                destination: destination(line.cpu),
                level: line.level,
                active_low: line.active_low,
                masked: !line.bound,
            },
        );
        Ok((vector, line))
    }
}

/// `PHYSDEVOP_setup_gsi`: how line `gsi` is triggered. The first word stands.
///
/// # Errors
/// `EINVAL` for no line, `EEXIST` for one that was registered before or is in use.
pub fn register_gsi(gsi: u32, level: bool, active_low: bool) -> Result<(), Errno> {
    let mut lines = LINES.lock();
    let line = lines.line(gsi)?;
    if line.registered || line.bound {
        return Err(EEXIST);
    }
    (line.registered, line.level, line.active_low) = (true, level, active_low);
    Ok(())
}

/// Takes line `gsi`, edge-triggered, for the hypervisor: it raises `bits` of `percpu::work`.
///
/// # Errors
/// `EINVAL` for no line, `EBUSY` for one in use, `ENOSPC` without a vector.
pub fn claim_for_hypervisor(gsi: u32, bits: u32) -> Result<(), Errno> {
    let mut lines = LINES.lock();
    let line = lines.line(gsi)?;
    if line.bound {
        return Err(EBUSY);
    }
    *line = Line {
        registered: true,
        bound: true,
        own: true,
        ..UNUSED
    };
    let vector = lines.vectors.take().ok_or(ENOSPC)?;
    lines.line(gsi)?.vector = Some(vector);
    dispatch::connect_own(vector, bits);
    lines.route(gsi).map(|_| ())
}

/// Lets line `gsi` raise `pirq` of `domain` from now on. The answer is whether it is level-triggered.
///
/// # Errors
/// `EINVAL` for no line, `EBUSY` for one in use, `ENOSPC` without a vector.
pub(super) fn bind(gsi: u32, domain: &'static Domain, pirq: u32) -> Result<bool, Errno> {
    let mut lines = LINES.lock();
    let line = lines.line(gsi)?;
    if line.bound {
        return Err(EBUSY);
    }
    let (vector, line) = lines.route(gsi)?;
    dispatch::connect(vector, domain, pirq, line.level.then_some(gsi));
    lines.line(gsi)?.bound = true;
    lines.route(gsi)?;
    Ok(line.level)
}

/// Silences line `gsi`.
pub(super) fn unbind(gsi: u32) {
    let mut lines = LINES.lock();
    let Ok(line) = lines.line(gsi) else { return };
    if line.own {
        return;
    }
    line.bound = false;
    if let Some(vector) = line.vector.take() {
        ioapic::set_masked(gsi, true);
        dispatch::disconnect(vector);
        lines.vectors.release(vector);
    }
}

/// Lets line `gsi` fire again, after its domain dealt with it.
pub(super) fn end(gsi: u32) {
    let mut lines = LINES.lock();
    if lines
        .line(gsi)
        .is_ok_and(|line| line.bound && line.level && !line.own)
    {
        ioapic::set_masked(gsi, false);
    }
}

/// Sends line `gsi` to `cpu`.
pub(super) fn set_cpu(gsi: u32, cpu: u32) {
    let mut lines = LINES.lock();
    let Ok(line) = lines.line(gsi) else { return };
    if line.cpu == cpu || line.own {
        return;
    }
    line.cpu = cpu;
    if line.bound {
        ioapic::set_destination(gsi, destination(cpu));
    }
}
