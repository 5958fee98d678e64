//! Where Xenocryst answers otherwise than Xen on purpose: each with the reason.
//!
//! Keeps true: a row is about lines of the scripted part, which are printed whole; random requests must all agree; each row is
//! about a difference that there is.

/// A deliberate difference.
pub struct Known {
    /// The scripted lines it is about: what they begin with.
    pub line: &'static str,
    /// What Xen answers: the line's end.
    pub xen: &'static str,
    /// What Xenocryst answers: the line's end.
    pub ours: &'static str,
    /// Why.
    pub reason: &'static str,
}

const INTERRUPT_CONTROLLER: &str = "The interrupt controllers are the hypervisor's, and nobody else can do anything with reading them.";
const LOW_RAM: &str = "What is RAM in the first MiB is the hypervisor's: CPUs start there. Xen lets dom0 write to it.";
const HPET: &str = "Nothing in the hypervisor relies on the HPET after start-up, so dom0 may have it; Xen may still use it.";
const NO_PROFILING: &str = "There is no profiling; Xen looks at the argument before it refuses.";

const TRANSLATED_ONLY: &str = "For domains with translated memory, of which there are none; Xen looks at the argument before it refuses.";

const NO_PORT: &str = "Xen's table of ports begins with 64, which it knows though nobody was given them; a port that nobody has is none here.";

const NO_PORT_YET: &str = "Tables of ports grow in other steps, so other free ports are known.";

const NESTED_TASK: &str =
    "NT is not loaded by `iret`: it means nothing in 64-bit mode but a fault at the next IRET.";

/// Every deliberate difference.
pub const KNOWN: &[Known] = &[
    Known {
        line: "script tables: map 30=m10|",
        xen: "",
        ours: "-16",
        reason: LOW_RAM,
    },
    Known {
        line: "script tables: map 30=D|65",
        xen: "A[30]=D|165",
        ours: "-> 0",
        reason: "It follows from the line before: what was refused need not be undone.",
    },
    Known {
        line: "script tables: map 30=mfec00|",
        xen: "",
        ours: "-1",
        reason: INTERRUPT_CONTROLLER,
    },
    Known {
        line: "script tables: map 30=mfed00|",
        xen: "d",
        ours: "f",
        reason: HPET,
    },
    Known {
        line: "script windows: or T0[1]+2=0",
        xen: "-> done",
        ours: "-> fault 14 error 3",
        reason: "A store to a table that is not aligned is none that can be carried out, also where it would put back what is there.",
    },
    Known {
        line: "script reservation: decrease R4 again",
        xen: "-> 1",
        ours: "-> 0",
        reason: "A frame is given back once (FR-007); Xen counts it again while it is still mapped somewhere.",
    },
    Known {
        line: "script memory-op: 25 XENMEM_machphys_compat_mfn_list",
        xen: "-95",
        ours: "-38",
        reason: "There are no 32-bit guests.",
    },
    Known {
        line: "script memory-op: 21 XENMEM_access_op",
        xen: "",
        ours: "-38",
        reason: TRANSLATED_ONLY,
    },
    Known {
        line: "script memory-op: 27 XENMEM_reserved_device_memory_map zeros",
        xen: "-> 0",
        ours: "-38",
        reason: "There is no IOMMU, so no device has memory of its own in a domain's.",
    },
    Known {
        line: "script memory-op: 27 XENMEM_reserved_device_memory_map null",
        xen: "-14",
        ours: "-38",
        reason: "As above.",
    },
    Known {
        line: "script unknown: hypercall 37",
        xen: "-38",
        ours: "-> 0",
        reason: "A hypercall of our own: the control domain has all frames audited.",
    },
    Known {
        line: "script unknown: hypercall 1f",
        xen: "-14",
        ours: "-38",
        reason: NO_PROFILING,
    },
    Known {
        line: "hostile iret: NT,",
        xen: "flags then 4200 -> fault 6 error 0 rip +2",
        ours: "flags then 200 -> fault 6 error 0 rip +2",
        reason: NESTED_TASK,
    },
    Known {
        line: "hostile user: NT,",
        xen: "flags then 4200 -> fault 6 error 0 rip +0",
        ours: "flags then 200 -> fault 6 error 0 rip +0",
        reason: NESTED_TASK,
    },
    Known {
        line: "script version: 10 null",
        xen: "20",
        ours: "-61",
        reason: "The image has no build id.",
    },
    Known {
        line: "script version: 10 zeros",
        xen: "-22",
        ours: "-61",
        reason: "The image has no build id.",
    },
    Known {
        line: "hostile channels: xsa_221 poll, send on, unmask, close 0 ",
        xen: "[-22, -22, 0, -22]",
        ours: "[-22, -22, -22, -22]",
        reason: NO_PORT,
    },
    Known {
        line: "hostile channels: priority before any block",
        xen: "[-38, -22, -22]",
        ours: "[-22, -22, -22]",
        reason: NO_PORT,
    },
    Known {
        line: "hostile channels: priority with a block",
        xen: "[-13, -22, -22]",
        ours: "[-22, -22, -22]",
        reason: NO_PORT,
    },
    Known {
        line: "hostile batch: iret to user mode",
        xen: "then in user mode -> fault 6 error 0",
        ours: "then in kernel mode -> fault 6 error 0",
        reason: "A batch cannot return by a frame: nothing behind that would be done anyway, and no kernel does it.",
    },
    Known {
        line: "hostile indices: port of event 9",
        xen: "2: 0, 40: -22",
        ours: "2: 0, 80: -22",
        reason: NO_PORT_YET,
    },
    Known {
        line: "hostile indices: port of event 13",
        xen: "2: -38, 40: -22",
        ours: "2: -38, 80: -22",
        reason: NO_PORT_YET,
    },
    Known {
        line: "hostile indices: port of status",
        xen: "2: 0, 40: -22",
        ours: "2: 0, 80: -22",
        reason: NO_PORT_YET,
    },
    Known {
        line: "hostile edges: run forced cpuid without its end",
        xen: "fault 14 error 0 at 800000000000 rip +0",
        ours: "fault 6 error 0 rip +0",
        reason: "A prefix with nothing to be fetched behind it is no instruction.",
    },
    Known {
        line: "hostile frames: transfer to",
        xen: "named -22",
        ours: "named 0",
        reason: "A refusal changes nothing: the frame stays the giver's. Xen has taken it by then, and frees it.",
    },
];
