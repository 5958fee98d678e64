//! `HYPERVISOR_platform_op`: what the control domain asks of the machine: time, power, firmware facts, CPUs.
//!
//! Keeps true: only the control domain is heard; the request is copied once, and only the part that answers goes back.

use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::{EACCES, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESRCH, Errno};
use xenocryst_abi::platform::power::{SetProcessorPminfo, pm};
use xenocryst_abi::platform::{
    CoreParking, CpuOl, EnterAcpiSleep, FirmwareInfo, HEADER_LEN, INTERFACE_VERSION, PcpuInfo,
    PcpuVersion, PlatformOp, ResourceOp, Settime32, Settime64, firmware, op, pcpu_flag,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Answer, Call, Stop};
use crate::arch::{apic, cpu, guest_access, power, smp};
use crate::console::say;
use crate::time;

/// `CORE_PARKING_GET`.
const PARKING_GET: u32 = 2;
/// The sleep state that means "off".
const SLEEP_OFF: u32 = 5;
/// Nanoseconds in a second.
const NS_PER_SECOND: u32 = 1_000_000_000;

/// One request.
struct Request {
    at: Vaddr,
    copy: PlatformOp,
}

impl Request {
    /// Its own part, as the operation has it.
    fn part<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, Errno> {
        T::read_from_prefix(self.copy.data.as_bytes())
            .map(|(part, _)| part)
            .map_err(|_| EINVAL)
    }

    /// Gives the guest its part back, changed.
    fn answer<T: IntoBytes + Immutable>(&self, part: &T) -> Answer {
        guest_access::write(self.at.wrapping_add(HEADER_LEN as u64), part)?;
        Ok(0)
    }
}

/// `platform_op(op)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let at = Vaddr::new(call.args[0]);
    let request = Request {
        at,
        copy: guest_access::read(at)?,
    };
    if request.copy.interface_version != INTERFACE_VERSION {
        return Err(EACCES.into());
    }
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    match request.copy.cmd {
        op::SETTIME64 => {
            let part: Settime64 = request.part()?;
            if part.mbz != 0 {
                return Err(EINVAL.into());
            }
            set_time(part.secs, part.nsecs, part.system_time)
        }
        op::SETTIME32 => {
            let part: Settime32 = request.part()?;
            set_time(u64::from(part.secs), part.nsecs, part.system_time)
        }
        op::FIRMWARE_INFO => firmware_info(&request),
        op::ENTER_ACPI_SLEEP => enter_acpi_sleep(&request.part()?),
        op::GET_CPUINFO => cpu_info(&request),
        op::GET_CPU_VERSION => cpu_version(&request),
        op::CPU_ONLINE => cpu_online(request.part()?),
        op::CPU_OFFLINE => cpu_offline(request.part()?),
        op::CORE_PARKING => core_parking(&request),
        op::SET_PROCESSOR_PMINFO => processor_power(request.part()?),
        op::RESOURCE_OP => {
            let part: ResourceOp = request.part()?;
            if part.nr_entries == 0 {
                Ok(0)
            } else {
                Err(ENOSYS.into())
            }
        }
        // No loader for microcode; no register ranges to hand out.
        op::MICROCODE_UPDATE
        | op::READ_MEMTYPE
        | op::ADD_MEMTYPE
        | op::DEL_MEMTYPE
        | op::PLATFORM_QUIRK => Err(EINVAL.into()),
        _ => Err(ENOSYS.into()),
    }
}

fn set_time(seconds: u64, nanoseconds: u32, at: u64) -> Answer {
    // Beyond this the nanoseconds since 1970 do not fit into 64 bits.
    const LAST_SECOND: u64 = u64::MAX / 1_000_000_000 - 1;
    time::set_wall_clock(seconds.min(LAST_SECOND), nanoseconds % NS_PER_SECOND, at);
    Ok(0)
}

/// There was no BIOS call at boot, so nothing but the keyboard's resting state is known.
fn firmware_info(request: &Request) -> Answer {
    let mut part: FirmwareInfo = request.part()?;
    match part.kind {
        firmware::DISK_INFO | firmware::DISK_MBR_SIGNATURE | firmware::VBEDDC_INFO => {
            Err(ESRCH.into())
        }
        firmware::KBD_SHIFT_FLAGS if part.index == 0 => {
            part.data[0] &= !0xff;
            request.answer(&part)
        }
        firmware::KBD_SHIFT_FLAGS => Err(ESRCH.into()),
        firmware::EFI_INFO => Err(ENOSYS.into()),
        _ => Err(EINVAL.into()),
    }
}

fn enter_acpi_sleep(part: &EnterAcpiSleep) -> Answer {
    if part.sleep_state != SLEEP_OFF {
        // Suspending the machine is not supported.
        return Err(EOPNOTSUPP.into());
    }
    say!("Entering ACPI S5 state");
    power::enter_sleep(part.val_a, part.val_b);
    // Still here: the machine did not go off by the values given.
    power::power_off()
}

fn cpu_info(request: &Request) -> Answer {
    let mut part: PcpuInfo = request.part()?;
    part.max_present = smp::cpu_count().saturating_sub(1);
    match apic::id_of(part.xen_cpuid) {
        Some(id) => {
            part.apic_id = id;
            part.acpi_id = smp::acpi_id(part.xen_cpuid).unwrap_or(part.xen_cpuid);
            part.flags = pcpu_flag::ONLINE;
        }
        None => part.flags = pcpu_flag::INVALID,
    }
    request.answer(&part)
}

fn cpu_version(request: &Request) -> Answer {
    let mut part: PcpuVersion = request.part()?;
    part.max_present = smp::cpu_count().saturating_sub(1);
    (part.vendor_id, part.family, part.model, part.stepping) = ([0; 12], 0, 0, 0);
    if apic::id_of(part.xen_cpuid).is_some() {
        let features = cpu::features();
        part.vendor_id = features.vendor;
        (part.family, part.model, part.stepping) =
            (features.family, features.model, features.stepping);
    }
    request.answer(&part)
}

fn cpu_online(part: CpuOl) -> Answer {
    // Every CPU there is was started at boot.
    if apic::id_of(part.cpuid).is_some() {
        Ok(0)
    } else {
        Err(EINVAL.into())
    }
}

fn cpu_offline(part: CpuOl) -> Answer {
    match part.cpuid {
        0 => Err(EOPNOTSUPP.into()),
        cpu if apic::id_of(cpu).is_some() => Err(EOPNOTSUPP.into()),
        _ => Err(EINVAL.into()),
    }
}

fn core_parking(request: &Request) -> Answer {
    let mut part: CoreParking = request.part()?;
    if part.kind != PARKING_GET {
        return Err(EINVAL.into());
    }
    part.idle_nums = 0;
    request.answer(&part)
}

/// Idle states and frequencies are left to the hardware, as on a Xen with `cpufreq=none` and no C-states. The
/// capability words go back as they are: nothing is claimed on top of what the control domain claims.
fn processor_power(part: SetProcessorPminfo) -> Answer {
    match part.kind {
        pm::PDC => Ok(0),
        pm::CX | pm::PX | pm::TX => Err(ENOSYS.into()),
        _ => Err(Stop::Errno(EINVAL)),
    }
}
