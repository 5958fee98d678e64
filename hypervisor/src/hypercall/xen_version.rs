//! `HYPERVISOR_xen_version`: what this is and what it can do.
//!
//! Keeps true: an unprivileged guest learns what it needs to run and nothing about the host's set-up.

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EINVAL, ENODATA, ENOSYS, EPERM};
use xenocryst_abi::layout::HYPERVISOR_VIRT_START;
use xenocryst_abi::version::{
    CAPABILITIES_LEN, CHANGESET_LEN, COMMANDLINE_LEN, CompileInfo, EXTRAVERSION_LEN, FeatureInfo,
    PlatformParameters, feature, op,
};
use xenocryst_abi::{PAGE_SIZE, Vaddr};

use super::{Answer, Call};
use crate::arch::guest_access;
use crate::domain::Domain;
use crate::options;

/// The version of the interface: 4.17.
pub const VERSION: u64 = 4 << 16 | 17;
/// What follows it, as guests print it.
pub const EXTRAVERSION: &str = ".0-xenocryst";
/// Kinds of guest that can be started.
pub const CAPABILITIES: &str = "xen-3.0-x86_64 ";
/// What an unprivileged guest gets in place of a text that is none of its business.
const DENIED: &str = "<denied>";
/// `VMASST_TYPE_pae_extended_cr3`.
const PAE_EXTENDED_CR3: u64 = 1 << 3;
/// Bytes of a domain's UUID.
const HANDLE_LEN: usize = 16;

/// Text in a field of fixed size, ending in zeros.
fn text<const N: usize>(from: &str) -> [u8; N] {
    let mut field = [0; N];
    let length = from.len().min(N - 1);
    if let (Some(to), Some(from)) = (field.get_mut(..length), from.as_bytes().get(..length)) {
        to.copy_from_slice(from);
    }
    field
}

/// `xen_version(cmd, arg)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [command, argument, ..] = call.args;
    // Guests ask for this one to have their pending events looked at, often.
    if command as u32 == op::VERSION {
        return Ok(VERSION);
    }
    other(call.vcpu.domain, command as u32, Vaddr::new(argument))
}

fn other(domain: &'static Domain, command: u32, at: Vaddr) -> Answer {
    match command {
        op::EXTRAVERSION => guest_access::write(at, &text::<EXTRAVERSION_LEN>(EXTRAVERSION))?,
        op::COMPILE_INFO => guest_access::write(at, &compile_info())?,
        op::CAPABILITIES => guest_access::write(at, &text::<CAPABILITIES_LEN>(CAPABILITIES))?,
        op::CHANGESET => guest_access::write(at, &text::<CHANGESET_LEN>(""))?,
        op::PLATFORM_PARAMETERS => {
            guest_access::write(
                at,
                &PlatformParameters {
                    virt_start: HYPERVISOR_VIRT_START,
                },
            )?;
        }
        op::GET_FEATURES => {
            let mut info: FeatureInfo = guest_access::read(at)?;
            if info.submap_idx != 0 {
                return Err(EINVAL.into());
            }
            info.submap = features(domain);
            guest_access::write(at, &info)?;
        }
        op::PAGESIZE if at.raw() == 0 => return Ok(PAGE_SIZE),
        op::PAGESIZE => return Err(EINVAL.into()),
        // No domain has a UUID before tools give it one.
        op::GUEST_HANDLE => guest_access::write(at, &[0_u8; HANDLE_LEN])?,
        op::COMMANDLINE if domain.privileged => {
            guest_access::write(at, &text::<COMMANDLINE_LEN>(options::command_line()))?;
        }
        op::COMMANDLINE => guest_access::copy_to(at, &text::<{ DENIED.len() + 1 }>(DENIED))?,
        op::BUILD_ID if domain.privileged => return Err(ENODATA.into()),
        op::BUILD_ID => return Err(EPERM.into()),
        _ => return Err(ENOSYS.into()),
    }
    Ok(0)
}

fn compile_info() -> CompileInfo {
    CompileInfo {
        compiler: text("rustc"),
        compile_by: text("cargo"),
        compile_domain: text("xenocryst"),
        compile_date: text(""),
    }
}

/// Feature bits as `domain` has them now.
fn features(domain: &Domain) -> u32 {
    let mut bits = 1 << feature::MMU_PT_UPDATE_PRESERVE_AD
        | 1 << feature::HIGHMEM_ASSIST
        | 1 << feature::GNTTAB_MAP_AVAIL_BITS
        | 1 << feature::MEMORY_OP_VNODE_SUPPORTED
        | 1 << feature::DIRECT_MAPPED;
    if domain.vm_assist.load(Ordering::Relaxed) & PAE_EXTENDED_CR3 != 0 {
        bits |= 1 << feature::PAE_PGDIR_ABOVE_4GB;
    }
    if domain.privileged {
        bits |= 1 << feature::DOM0;
    }
    bits
}
