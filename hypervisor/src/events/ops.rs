//! What a domain asks of its ports: binding, closing, sending, and looking.
//!
//! Keeps true: a port's two ends change together, under both domains' locks; a physical interrupt is bound and unbound
//! outside the lock, with the port reserved meanwhile, as the interrupt code takes its own locks and may raise events.

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, Errno};
use xenocryst_abi::{DomId, virq};
use xenocryst_vcpu::port::{Binding, NoPort, Port};

use super::{Inner, is_global};
use crate::domain::Domain;
use crate::sync::MutexGuard;

/// The event locks of two domains, which may be the same one.
enum Pair {
    Same(MutexGuard<'static, Inner>),
    Different {
        local: MutexGuard<'static, Inner>,
        remote: MutexGuard<'static, Inner>,
    },
}

impl Pair {
    fn lock(local: &'static Domain, remote: &'static Domain) -> Self {
        if core::ptr::eq(local, remote) {
            return Self::Same(local.events.lock());
        }
        let (local, remote) = if local.id < remote.id {
            let local = local.events.lock();
            (local, remote.events.lock_after_lower())
        } else {
            let remote = remote.events.lock();
            (local.events.lock_after_lower(), remote)
        };
        Self::Different { local, remote }
    }

    fn local(&mut self) -> &mut Inner {
        match self {
            Self::Same(inner) => inner,
            Self::Different { local, .. } => local,
        }
    }

    fn remote(&mut self) -> &mut Inner {
        match self {
            Self::Same(inner) => inner,
            Self::Different { remote, .. } => remote,
        }
    }
}

fn same(a: &'static Domain, b: &'static Domain) -> bool {
    core::ptr::eq(a, b)
}

impl Inner {
    /// Gives out a port and binds it. A domain that is going away gets none.
    fn bind_new(
        &mut self,
        domain: &Domain,
        binding: Binding<&'static Domain>,
        vcpu: u32,
    ) -> Result<u32, Errno> {
        if domain.dying.load(Ordering::Acquire) {
            return Err(EINVAL);
        }
        let number = self.allocate().map_err(|why| match why {
            NoPort::Limit => ENOSPC,
            NoPort::Memory => ENOMEM,
        })?;
        if let Some(port) = self.ports.get_mut(number) {
            port.binding = binding;
            port.vcpu = vcpu as u16;
        }
        Ok(number)
    }

    /// The port `number`, if its channel leads to `port` of `remote`.
    fn end_of(
        &mut self,
        number: u32,
        remote: &'static Domain,
        port: u32,
    ) -> Option<&mut Port<&'static Domain>> {
        self.ports.get_mut(number).filter(|end| match end.binding {
            Binding::Interdomain {
                remote: other,
                port: there,
            } => same(other, remote) && there == port,
            _ => false,
        })
    }
}

/// `EVTCHNOP_alloc_unbound`: a port of `domain` to which `remote` may bind.
///
/// # Errors
/// `ENOSPC` and `ENOMEM` as for every allocation; `EINVAL` if the domain is going away.
pub fn alloc_unbound(domain: &'static Domain, remote: DomId) -> Result<u32, Errno> {
    domain
        .events
        .lock()
        .bind_new(domain, Binding::Unbound { remote }, 0)
}

/// `EVTCHNOP_bind_interdomain`: connects a new port of `local` to `remote_port` of `remote`, which waits for it.
///
/// # Errors
/// `EINVAL` if that port does not wait for `local`; those of [`alloc_unbound`].
pub fn bind_interdomain(
    local: &'static Domain,
    remote: &'static Domain,
    remote_port: u32,
) -> Result<u32, Errno> {
    let mut pair = Pair::lock(local, remote);
    let waits = pair
        .remote()
        .ports
        .get(remote_port)
        .map(|port| port.binding);
    if !matches!(waits, Some(Binding::Unbound { remote: wanted }) if wanted == local.id) {
        return Err(EINVAL);
    }
    let number = pair.local().bind_new(
        local,
        Binding::Interdomain {
            remote,
            port: remote_port,
        },
        0,
    )?;
    if let Some(end) = pair.remote().ports.get_mut(remote_port) {
        end.binding = Binding::Interdomain {
            remote: local,
            port: number,
        };
    }
    // What the other side sent before there was anybody to hear it is made up for by one event.
    pair.local().raise(local, number);
    Ok(number)
}

/// `EVTCHNOP_bind_virq`: a port for virtual interrupt `virq` of `vcpu`.
///
/// # Errors
/// `EINVAL` for an unknown interrupt, or one the domain has once on another vCPU than 0; `ENOENT` without that vCPU;
/// `EEXIST` if it is bound; those of [`alloc_unbound`].
pub fn bind_virq(domain: &'static Domain, virq: u32, vcpu: u32) -> Result<u32, Errno> {
    if virq >= virq::COUNT || (is_global(virq) && vcpu != 0) {
        return Err(EINVAL);
    }
    let target = domain.vcpu(vcpu).ok_or(ENOENT)?;
    let mut inner = domain.events.lock();
    let slot = target.events.virq(virq).ok_or(EINVAL)?;
    if slot.load(Ordering::Relaxed) != 0 {
        return Err(EEXIST);
    }
    let number = inner.bind_new(domain, Binding::Virq(virq), vcpu)?;
    slot.store(number, Ordering::Relaxed);
    Ok(number)
}

/// `EVTCHNOP_bind_ipi`: a port by which the domain's vCPUs notify `vcpu`.
///
/// # Errors
/// `ENOENT` without that vCPU; those of [`alloc_unbound`].
pub fn bind_ipi(domain: &'static Domain, vcpu: u32) -> Result<u32, Errno> {
    domain.vcpu(vcpu).ok_or(ENOENT)?;
    domain.events.lock().bind_new(domain, Binding::Ipi, vcpu)
}

/// `EVTCHNOP_bind_pirq`: a port for physical interrupt `pirq`, which others may use too if `shared`.
///
/// # Errors
/// `EEXIST` if it is bound; those of `irq::bind` and [`alloc_unbound`].
pub fn bind_pirq(domain: &'static Domain, pirq: u32, shared: bool) -> Result<u32, Errno> {
    crate::irq::check_pirq(domain, pirq)?;
    let number = {
        let mut inner = domain.events.lock();
        let slot = pirq as usize;
        if inner.pirqs.len() <= slot {
            let more = slot + 1 - inner.pirqs.len();
            inner.pirqs.try_reserve(more).map_err(|_| ENOMEM)?;
            inner.pirqs.resize(slot + 1, 0);
        }
        if inner.pirqs[slot] != 0 {
            return Err(EEXIST);
        }
        let number = inner.bind_new(domain, Binding::Reserved, 0)?;
        inner.pirqs[slot] = number;
        number
    };
    let bound = crate::irq::bind(domain, pirq, shared);
    let mut inner = domain.events.lock();
    match bound {
        Ok(()) => {
            if let Some(port) = inner.ports.get_mut(number) {
                port.binding = Binding::Pirq(pirq);
            }
            Ok(number)
        }
        Err(errno) => {
            inner.pirqs[pirq as usize] = 0;
            inner.free(domain, number);
            Err(errno)
        }
    }
}

/// `EVTCHNOP_close`: frees `number`. The other end of a channel waits for a new peer.
///
/// # Errors
/// `EINVAL` if there is no such port in use.
pub fn close(domain: &'static Domain, number: u32) -> Result<(), Errno> {
    let mut inner = domain.events.lock();
    let port = inner.ports.get_mut(number).ok_or(EINVAL)?;
    match port.binding {
        Binding::Free | Binding::Reserved => return Err(EINVAL),
        Binding::Unbound { .. } | Binding::Ipi => {}
        Binding::Virq(virq) => {
            let owner = if is_global(virq) {
                0
            } else {
                u32::from(port.vcpu)
            };
            if let Some(slot) = domain.vcpu(owner).and_then(|vcpu| vcpu.events.virq(virq)) {
                slot.store(0, Ordering::Relaxed);
            }
        }
        Binding::Pirq(pirq) => {
            port.binding = Binding::Reserved;
            drop(inner);
            crate::irq::unbind(domain, pirq);
            inner = domain.events.lock();
            if let Some(slot) = inner.pirqs.get_mut(pirq as usize) {
                *slot = 0;
            }
        }
        Binding::Interdomain {
            remote,
            port: there,
        } => {
            drop(inner);
            return close_interdomain(domain, number, remote, there);
        }
    }
    inner.free(domain, number);
    Ok(())
}

fn close_interdomain(
    local: &'static Domain,
    number: u32,
    remote: &'static Domain,
    remote_port: u32,
) -> Result<(), Errno> {
    let mut pair = Pair::lock(local, remote);
    // The port may have been closed, and even bound again, while no lock was held.
    pair.local()
        .end_of(number, remote, remote_port)
        .ok_or(EINVAL)?;
    pair.local().free(local, number);
    if let Some(end) = pair.remote().end_of(remote_port, local, number) {
        end.binding = Binding::Unbound { remote: local.id };
    }
    Ok(())
}

/// `EVTCHNOP_send`: raises the event at the other end of `number`.
///
/// # Errors
/// `EINVAL` if it is no port to send on.
#[inline]
pub fn send(local: &'static Domain, number: u32) -> Result<(), Errno> {
    let mut inner = local.events.lock();
    match inner.ports.get(number).ok_or(EINVAL)?.binding {
        Binding::Ipi => {
            inner.raise(local, number);
            Ok(())
        }
        Binding::Interdomain { remote, port } => {
            drop(inner);
            let mut inner = remote.events.lock();
            // Closed from the other side in between: there is nobody to hear it.
            if inner.end_of(port, local, number).is_some() {
                inner.raise(remote, port);
            }
            Ok(())
        }
        Binding::Unbound { .. } => Ok(()),
        _ => Err(EINVAL),
    }
}

/// What `EVTCHNOP_status` tells of a port.
pub struct Status {
    /// What it is bound to; `Free` also for a reserved port.
    pub binding: Binding<&'static Domain>,
    /// The vCPU that is notified.
    pub vcpu: u32,
}

/// `EVTCHNOP_status`.
///
/// # Errors
/// `EINVAL` for a number that was never given out.
pub fn status(domain: &'static Domain, number: u32) -> Result<Status, Errno> {
    if number == 0 {
        // Reserved from the start; the guest's tools see it as closed.
        return Ok(Status {
            binding: Binding::Free,
            vcpu: 0,
        });
    }
    let inner = domain.events.lock();
    let port = inner.ports.get(number).ok_or(EINVAL)?;
    Ok(Status {
        binding: port.binding,
        vcpu: u32::from(port.vcpu),
    })
}

/// `EVTCHNOP_bind_vcpu`: events of `number` go to `vcpu` from now on.
///
/// # Errors
/// `ENOENT` without that vCPU; `EINVAL` without that port, or if what it is bound to belongs to one vCPU.
pub fn bind_vcpu(domain: &'static Domain, number: u32, vcpu: u32) -> Result<(), Errno> {
    let target = domain.vcpu(vcpu).ok_or(ENOENT)?;
    let mut inner = domain.events.lock();
    let port = inner.ports.get_mut(number).ok_or(EINVAL)?;
    let pirq = match port.binding {
        Binding::Virq(virq) if is_global(virq) => None,
        Binding::Unbound { .. } | Binding::Interdomain { .. } => None,
        Binding::Pirq(pirq) => Some(pirq),
        _ => return Err(EINVAL),
    };
    port.vcpu = vcpu as u16;
    drop(inner);
    if let Some(pirq) = pirq {
        crate::irq::set_affinity(domain, pirq, target.processor.load(Ordering::Relaxed));
    }
    Ok(())
}

/// `EVTCHNOP_unmask`: clears the mask of `number` and delivers what it held back.
///
/// # Errors
/// `EINVAL` for a number that was never given out.
pub fn unmask(domain: &'static Domain, number: u32) -> Result<(), Errno> {
    let mut inner = domain.events.lock();
    inner.ports.get(number).ok_or(EINVAL)?;
    inner.unmask(domain, number);
    Ok(())
}
