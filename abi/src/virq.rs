//! Virtual interrupts (`public/xen.h`; `public/arch-x86/xen-mca.h`).

use crate::macros::numbers;

numbers! { u32;
    /// Per vCPU: time base or timer.
    TIMER = 0, "VIRQ_TIMER";
    /// Per vCPU: dump debug information.
    DEBUG = 1, "VIRQ_DEBUG";
    /// dom0: input on the emergency console.
    CONSOLE = 2, "VIRQ_CONSOLE";
    /// dom0: something happened to a domain.
    DOM_EXC = 3, "VIRQ_DOM_EXC";
    /// dom0: trace records.
    TBUF = 4, "VIRQ_TBUF";
    /// dom0: a domain paused for a debugger.
    DEBUGGER = 6, "VIRQ_DEBUGGER";
    /// Per vCPU: profiler.
    XENOPROF = 7, "VIRQ_XENOPROF";
    /// dom0: console ring has bytes.
    CON_RING = 8, "VIRQ_CON_RING";
    /// dom0: a CPU's state changed.
    PCPU_STATE = 9, "VIRQ_PCPU_STATE";
    /// dom0: a memory event.
    MEM_EVENT = 10, "VIRQ_MEM_EVENT";
    /// Argo message.
    ARGO = 11, "VIRQ_ARGO";
    /// dom0: low memory.
    ENOMEM = 12, "VIRQ_ENOMEM";
    /// Per vCPU: performance counters.
    XENPMU = 13, "VIRQ_XENPMU";
    /// dom0: machine check.
    MCA = 16, "VIRQ_MCA";
    /// Numbers in all.
    COUNT = 24, "NR_VIRQS";
}
