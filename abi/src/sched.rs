//! `sched_op`: giving up the CPU and stopping (`public/sched.h`).

use crate::address::Vaddr;
use crate::domid::DomId;
use crate::macros::wire;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Let others run.
        YIELD = 0, "SCHEDOP_yield";
        /// Unmask events and wait for one.
        BLOCK = 1, "SCHEDOP_block";
        /// Stop the domain ([`super::SchedShutdown`]).
        SHUTDOWN = 2, "SCHEDOP_shutdown";
        /// Wait for one of some events, even if masked ([`super::SchedPoll`]).
        POLL = 3, "SCHEDOP_poll";
        /// Say that another domain stopped ([`super::SchedRemoteShutdown`]).
        REMOTE_SHUTDOWN = 4, "SCHEDOP_remote_shutdown";
        /// Record why the domain will stop ([`super::SchedShutdown`]).
        SHUTDOWN_CODE = 5, "SCHEDOP_shutdown_code";
        /// Set, kick or stop a watchdog ([`super::SchedWatchdog`]).
        WATCHDOG = 6, "SCHEDOP_watchdog";
        /// Bind the vCPU to a CPU for a while ([`super::SchedPinOverride`]).
        PIN_OVERRIDE = 7, "SCHEDOP_pin_override";
    }
}

/// Why a domain stopped.
pub mod shutdown {
    use crate::macros::numbers;
    numbers! { u32;
        /// It finished.
        POWEROFF = 0, "SHUTDOWN_poweroff";
        /// It wants to start again.
        REBOOT = 1, "SHUTDOWN_reboot";
        /// It is ready to be saved.
        SUSPEND = 2, "SHUTDOWN_suspend";
        /// It crashed.
        CRASH = 3, "SHUTDOWN_crash";
        /// Its watchdog expired.
        WATCHDOG = 4, "SHUTDOWN_watchdog";
        /// It wants all its state with the hypervisor reset.
        SOFT_RESET = 5, "SHUTDOWN_soft_reset";
    }
}

wire! {
    /// `SCHEDOP_shutdown` and `SCHEDOP_shutdown_code` (`struct sched_shutdown`).
    SchedShutdown {
        /// [`shutdown`].
        reason: u32,
    }
    /// `SCHEDOP_poll` (`struct sched_poll`).
    SchedPoll {
        /// Array of ports (u32).
        ports: Vaddr,
        /// Ports.
        nr_ports: u32,
        /// Padding.
        pad: u32,
        /// System time to give up at, ns; 0 for never.
        timeout: u64,
    }
    /// `SCHEDOP_remote_shutdown` (`struct sched_remote_shutdown`).
    SchedRemoteShutdown {
        /// Which domain.
        domain_id: DomId,
        /// Padding.
        pad: u16,
        /// [`shutdown`].
        reason: u32,
    }
    /// `SCHEDOP_watchdog` (`struct sched_watchdog`).
    SchedWatchdog {
        /// Which, 1 or 2; 0 for a new one.
        id: u32,
        /// Seconds; 0 to stop it.
        timeout: u32,
    }
    /// `SCHEDOP_pin_override` (`struct sched_pin_override`).
    SchedPinOverride {
        /// CPU; negative to undo.
        pcpu: i32,
    }
}
