//! Hypercalls: from registers to a handler, and from its answer back to registers.
//!
//! Keeps true: a handler sees arguments once, as values; what it needs of guest memory it copies once through
//! `arch::guest_access`; it answers with a value, an errno, or a request to be called again with changed arguments.
//! Neighbours: `arch::entry` calls [`dispatch`]; each handler lives in a file named after the hypercall.

pub mod bitmap;
pub mod console_io;
pub mod cpu_policy;
pub mod cpu_state;
pub mod descriptors;
pub mod domctl;
pub mod event_channel_op;
pub mod grant_table_op;
pub mod hypfs_op;
mod iret;
pub mod mca;
pub mod memory_op;
pub mod mmu_update;
pub mod mmuext_op;
mod multicall;
mod not_here;
pub mod owners;
pub mod physdev_op;
pub mod platform_op;
pub mod sched_op;
pub mod set_timer_op;
pub mod sysctl;
pub mod tlb;
pub mod trap_table;
pub mod vcpu_op;
pub mod vm_assist;
pub mod xen_version;
mod xenocryst_op;
pub mod xenpmu_op;
pub mod xsm_op;

use xenocryst_abi::hypercall::errno::{ENOSYS, Errno};
use xenocryst_abi::hypercall::number;

use crate::arch::guest_access;
use crate::domain::{self, Domain, Vcpu};
use crate::mm::engine;
use xenocryst_memory::{Consequence, Refusal};

use crate::console::{Level, Source, log};
use crate::percpu::{GuestRegs, this_cpu, work};

/// One call: who makes it and with what.
pub struct Call {
    /// The calling vCPU; it is loaded on this CPU and in kernel mode.
    pub vcpu: &'static Vcpu,
    /// The arguments: RDI, RSI, RDX, R10, R8, R9.
    pub args: [u64; 6],
}

impl Call {
    /// Leaves the rest of the work to the same call with `args`.
    #[cold]
    pub fn continue_with(&self, args: [u64; 6]) -> Stop {
        self.vcpu.continuation.set(args);
        Stop::Continue
    }
}

/// Why a handler did not finish with a value.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// The request was refused.
    Errno(Errno),
    /// Part of the work was done: the call is to be made again, after events were looked at, with the arguments given to
    /// [`Call::continue_with`], the only place that makes this.
    Continue,
    /// The vCPU must not go on (it yields, blocks, or its domain was stopped); the guest later sees 0.
    Reschedule,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Stop::Errno(errno)
    }
}

/// What a handler answers. A value goes to RAX as it is.
pub type Answer = Result<u64, Stop>;

/// Carries out the hypercall whose number and arguments stand in `regs`.
#[inline]
pub fn dispatch(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    guest_access::next_request();
    if regs.rax == number::IRET {
        return iret::iret(regs, vcpu);
    }
    let call = Call {
        vcpu,
        args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
    };
    match invoke(regs.rax, &call) {
        Ok(value) => regs.rax = value,
        Err(Stop::Errno(errno)) => regs.rax = errno_word(errno),
        Err(Stop::Continue) => {
            // Back onto the two-byte SYSCALL, with what is left to do. No call takes six arguments, and guests rely on R9
            // to be as it was.
            regs.rip = regs.rip.wrapping_sub(2);
            [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, _] = vcpu.continuation.get();
        }
        Err(Stop::Reschedule) => {
            regs.rax = 0;
            this_cpu().raise(work::SCHEDULE);
        }
    }
}

/// An errno as the guest sees it: negative, in 64 bits.
#[inline]
fn errno_word(errno: Errno) -> u64 {
    (-i64::from(errno.0)) as u64
}

/// Calls the handler of hypercall `op`: the frequent ones directly, so that they pay for nobody else's stack frame.
#[inline(always)]
fn invoke(op: u64, call: &Call) -> Answer {
    match op {
        number::MMU_UPDATE => mmu_update::handle(call),
        number::UPDATE_VA_MAPPING => mmu_update::update_va_mapping(call),
        number::MMUEXT_OP => mmuext_op::handle(call),
        number::MULTICALL => multicall::handle(call),
        number::STACK_SWITCH => cpu_state::stack_switch(call),
        number::SET_SEGMENT_BASE => cpu_state::set_segment_base(call),
        number::SCHED_OP => sched_op::handle(call),
        number::EVENT_CHANNEL_OP => event_channel_op::handle(call),
        _ => invoke_other(op, call),
    }
}

/// Calls the handler of any other hypercall.
#[inline(never)]
fn invoke_other(op: u64, call: &Call) -> Answer {
    match op {
        number::VCPU_OP => vcpu_op::handle(call),
        number::SET_TIMER_OP => set_timer_op::handle(call),
        number::XEN_VERSION => xen_version::handle(call),
        number::CONSOLE_IO => console_io::handle(call),
        number::FPU_TASKSWITCH => cpu_state::fpu_taskswitch(call),
        number::PHYSDEV_OP => physdev_op::handle(call),
        number::MEMORY_OP => memory_op::handle(call),
        number::GRANT_TABLE_OP => grant_table_op::handle(call),
        number::UPDATE_VA_MAPPING_OTHERDOMAIN => mmu_update::update_va_mapping_other(call),
        number::SET_TRAP_TABLE => trap_table::set_trap_table(call),
        number::SET_GDT => descriptors::set_gdt(call),
        number::UPDATE_DESCRIPTOR => descriptors::update_descriptor(call),
        number::SET_CALLBACKS => trap_table::set_callbacks(call),
        number::CALLBACK_OP => trap_table::callback_op(call),
        number::NMI_OP => trap_table::nmi_op(call),
        number::SET_DEBUGREG => cpu_state::set_debugreg(call),
        number::GET_DEBUGREG => cpu_state::get_debugreg(call),
        number::VM_ASSIST => vm_assist::handle(call),
        number::PLATFORM_OP => platform_op::handle(call),
        number::MCA => mca::handle(call),
        number::XENPMU_OP => xenpmu_op::handle(call),
        number::XSM_OP => xsm_op::handle(call),
        number::HYPFS_OP => hypfs_op::handle(call),
        number::SYSCTL => sysctl::handle(call),
        number::DOMCTL => domctl::handle(call),
        number::KEXEC_OP => not_here::kexec_op(call),
        number::DM_OP => not_here::dm_op(call),
        number::HVM_OP => not_here::hvm_op(call),
        number::ARCH_1 => not_here::shadow_continued(call),
        number::ARCH_7 => xenocryst_op::handle(call),
        _ => Err(ENOSYS.into()),
    }
}

/// Turns the engine's refusal into what the guest gets: its errno, a line on the console, and a crash where the rule says so.
#[cold]
pub fn refused(call: &Call, refusal: &Refusal) -> Stop {
    report_refusal(call.vcpu, refusal);
    Stop::Errno(refusal.errno().into())
}

/// Logs a refusal, and crashes the domain at fault if that is the refusal's consequence.
#[cold]
pub fn report_refusal(vcpu: &'static Vcpu, refusal: &Refusal) {
    log!(
        Source::Guest,
        Level::Warning,
        "{}v{}: {}",
        vcpu.domain.id,
        vcpu.id,
        refusal
    );
    if refusal.consequence() == Consequence::CrashDomain {
        at_fault(vcpu, refusal).crash(format_args!("{refusal}"));
    }
}

/// The domain in whose table the refused entry is: not the caller where that is the control domain, which pins what a guest,
/// or the image of one, has written.
fn at_fault(vcpu: &'static Vcpu, refusal: &Refusal) -> &'static Domain {
    let owner = refusal
        .context
        .table
        .and_then(|table| engine().frame_info(table).owner);
    owner.and_then(domain::find).unwrap_or(vcpu.domain)
}
