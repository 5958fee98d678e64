//! The numbers to compare: every module of them, and constants that stand alone.

use xenocryst_abi::*;

use crate::header::Question;

/// A number as 64 bits, sign-extended if it is signed.
trait Value: Copy {
    fn value(self) -> u64;
}

macro_rules! value {
    ($($ty:ty)*) => { $(impl Value for $ty { fn value(self) -> u64 { self as i64 as u64 } })* };
}
value!(u8 u16 u32 u64 usize i16 i32);

impl Value for Errno {
    fn value(self) -> u64 {
        self.0.value()
    }
}

/// One constant: the C expression and our value of it.
fn question<T: Value>(c: &str, ours: T) -> Question {
    Question {
        what: c.to_owned(),
        expression: c.to_owned(),
        ours: ours.value(),
    }
}

macro_rules! modules {
    ($all:ident: $($($module:ident)::+,)*) => {
        $($all.extend($($module)::+::NAMES.iter().map(|(name, value)| question(name, *value)));)*
    };
}

/// Everything to compare.
pub fn questions() -> Vec<Question> {
    let mut all = standing_alone();
    modules! { all:
        assist::command,
        assist::kind,
        callback::op,
        callback::kind,
        callback::flag,
        console,
        cpuid,
        domctl::op,
        domctl::create_flag,
        domctl::info_flag,
        domctl::frame_info,
        domctl::shadow,
        domctl::shadow::mode,
        domctl::affinity,
        domctl::scheduler,
        domctl::trigger,
        elfnote,
        event_channel::op,
        event_channel::status,
        event_channel::fifo,
        grant_table::op,
        grant_table::entry_flag,
        grant_table::map_flag,
        grant_table::copy_flag,
        grant_table::cache_flag,
        grant_table::status,
        hvm::op,
        hypercall::errno,
        hypercall::number,
        hypfs::op,
        hypfs::kind,
        hypfs::encoding,
        mca::op,
        mca,
        memory_op::op,
        memory_op::flag,
        memory_op::space,
        memory_op::resource,
        memory_op::resource::grant_table_id,
        mmu::command,
        mmu::mmuext,
        mmu::uvmf,
        nmi::op,
        nmi::reason,
        physdev::op,
        physdev::irq_status,
        physdev::map_kind,
        physdev::pci_flag,
        physdev::dbgp,
        platform::op,
        platform::firmware,
        platform::pcpu_flag,
        platform,
        platform::power::pm,
        pmu::op,
        sched::op,
        sched::shutdown,
        segment,
        segment::gdt,
        segment::base,
        shared_info,
        start_info::flag,
        start_info::video,
        sysctl::op,
        sysctl::physcap,
        sysctl::cpupool,
        sysctl::hotplug,
        sysctl::featureset,
        sysctl::policy,
        vcpu_context::flag,
        vcpu_op::op,
        vcpu_op::runstate,
        version::op,
        version::feature,
        virq,
    }
    all
}

/// Constants outside the modules of numbers.
fn standing_alone() -> Vec<Question> {
    vec![
        question("HYPERVISOR_VIRT_START", layout::HYPERVISOR_VIRT_START),
        question("HYPERVISOR_VIRT_END", layout::HYPERVISOR_VIRT_END),
        question("MACH2PHYS_VIRT_START", layout::MACH2PHYS_VIRT_START),
        question("MACH2PHYS_VIRT_END", layout::MACH2PHYS_VIRT_END),
        question("MACH2PHYS_NR_ENTRIES", layout::MACH2PHYS_NR_ENTRIES),
        question("DOMID_FIRST_RESERVED", DomId::FIRST_RESERVED.0),
        question("DOMID_SELF", DomId::SELF.0),
        question("DOMID_IO", DomId::IO.0),
        question("DOMID_XEN", DomId::XEN.0),
        question("DOMID_COW", DomId::COW.0),
        question("DOMID_INVALID", DomId::INVALID.0),
        question("DOMID_IDLE", DomId::IDLE.0),
        question("MAX_GUEST_CMDLINE", start_info::MAX_GUEST_CMDLINE),
        question("XEN_LEGACY_MAX_VCPUS", shared_info::LEGACY_MAX_VCPUS),
        question("EVTCHN_2L_NR_CHANNELS", event_channel::TWO_LEVEL_CHANNELS),
        question("BIND_PIRQ__WILL_SHARE", event_channel::BIND_PIRQ_WILL_SHARE),
        question("XEN_RUNSTATE_UPDATE", vcpu_op::RUNSTATE_UPDATE),
        question("VCPU_SSHOTTMR_future", vcpu_op::SINGLESHOT_FUTURE),
        question("XEN_EXTRAVERSION_LEN", version::EXTRAVERSION_LEN),
        question("XEN_CAPABILITIES_INFO_LEN", version::CAPABILITIES_LEN),
        question("XEN_CHANGESET_INFO_LEN", version::CHANGESET_LEN),
        question("sizeof(xen_commandline_t)", version::COMMANDLINE_LEN),
        question("GNTTAB_NR_RESERVED_ENTRIES", grant_table::RESERVED_ENTRIES),
        question("GNTTAB_RESERVED_CONSOLE", grant_table::RESERVED_CONSOLE),
        question("GNTTAB_RESERVED_XENSTORE", grant_table::RESERVED_XENSTORE),
        question("XEN_PCI_MMCFG_RESERVED", physdev::PCI_MMCFG_RESERVED),
        question("XENPF_INTERFACE_VERSION", platform::INTERFACE_VERSION),
        question("offsetof(struct xen_platform_op, u)", platform::HEADER_LEN),
        question(
            "sizeof(((struct xen_platform_op *)0)->u)",
            platform::UNION_LEN,
        ),
        question("XEN_MCA_INTERFACE_VERSION", mca::INTERFACE_VERSION),
        question("sizeof(struct xen_mc)", mca::MC_LEN),
        question("HVM_NR_PARAMS", hvm::NR_PARAMS),
        question("XEN_HYPFS_MAX_PATHLEN", hypfs::MAX_PATHLEN),
        question("XEN_HYPFS_VERSION", hypfs::VERSION),
        question("XEN_FLASK_INTERFACE_VERSION", xsm::FLASK_INTERFACE_VERSION),
        question("XEN_DOMCTL_INTERFACE_VERSION", domctl::INTERFACE_VERSION),
        question("XEN_INVALID_MAX_VCPU_ID", domctl::INVALID_MAX_VCPU_ID),
        question("XEN_SYSCTL_INTERFACE_VERSION", sysctl::INTERFACE_VERSION),
        question("XEN_INVALID_NODE_ID", sysctl::INVALID_ID),
        question("XEN_INVALID_DEV", sysctl::INVALID_DEV),
    ]
}

/// Numbers whose names begin alike and of which none may be missing.
pub struct Family {
    /// What the names begin with.
    pub prefix: &'static str,
    /// The names that are in the crate.
    pub known: Vec<&'static str>,
    /// What may follow the prefix in a name that is none of the family.
    pub except: &'static [&'static str],
    /// Names whose rest does not begin in lower case are none of the family.
    pub lower_case_only: bool,
}

/// Names of a module of numbers.
fn names<T>(list: &[(&'static str, T)]) -> Vec<&'static str> {
    list.iter().map(|(name, _)| *name).collect()
}

/// The families.
pub fn families() -> Vec<Family> {
    let family = |prefix, known, except: &'static [&'static str]| Family {
        prefix,
        known,
        except,
        lower_case_only: false,
    };
    let lower = |prefix, known| Family {
        prefix,
        known,
        except: &[],
        lower_case_only: true,
    };
    vec![
        family(
            "__HYPERVISOR_",
            names(hypercall::number::NAMES),
            &["VIRT_", "arch_0"],
        ),
        family("MMU_", names(mmu::command::NAMES), &[]),
        family("MMUEXT_", names(mmu::mmuext::NAMES), &[]),
        family("UVMF_", names(mmu::uvmf::NAMES), &[]),
        family("VMASST_CMD_", names(assist::command::NAMES), &[]),
        family("VMASST_TYPE_", names(assist::kind::NAMES), &[]),
        family("VIRQ_", names(virq::NAMES), &["ARCH_"]),
        family("CONSOLEIO_", names(console::NAMES), &[]),
        family("SIF_", names(start_info::flag::NAMES), &[]),
        family("CALLBACKOP_", names(callback::op::NAMES), &[]),
        family("CALLBACKTYPE_", names(callback::kind::NAMES), &[]),
        family(
            "XENMEM_",
            names(memory_op::op::NAMES),
            &[
                "access_op_",
                "paging_op_",
                "sharing_op_",
                "resource_",
                "SHARING_",
                "FORK_",
                "RDM_",
            ],
        ),
        family("SCHEDOP_", names(sched::op::NAMES), &[]),
        family("SHUTDOWN_", names(sched::shutdown::NAMES), &["MAX"]),
        family("EVTCHNOP_", names(event_channel::op::NAMES), &[]),
        family("EVTCHNSTAT_", names(event_channel::status::NAMES), &[]),
        family("EVTCHN_FIFO_", names(event_channel::fifo::NAMES), &[]),
        family("VCPUOP_", names(vcpu_op::op::NAMES), &[]),
        family("RUNSTATE_", names(vcpu_op::runstate::NAMES), &[]),
        family("XENVER_", names(version::op::NAMES), &[]),
        family("XENFEAT_", names(version::feature::NAMES), &["NR_SUBMAPS"]),
        family(
            "PHYSDEVOP_",
            names(physdev::op::NAMES),
            &["DBGP_", "pirq_eoi_gmfn"],
        ),
        family(
            "XENPF_",
            names(platform::op::NAMES),
            &["INTERFACE_VERSION", "ACPI_SLEEP_EXTENDED", "settime"],
        ),
        family("GNTTABOP_", names(grant_table::op::NAMES), &["error_msgs"]),
        family("GNTST_", names(grant_table::status::NAMES), &[]),
        family("GNTMAP_", names(grant_table::map_flag::NAMES), &[]),
        family("GTF_", names(grant_table::entry_flag::NAMES), &[]),
        family(
            "XEN_ELFNOTE_",
            names(elfnote::NAMES),
            &["MAX", "CRASH_", "DUMPCORE_"],
        ),
        family(
            "XENPMU_",
            names(pmu::op::NAMES),
            &["VER_", "MODE_", "FEATURE_", "REGS_", "CTXT_"],
        ),
        family("XEN_HYPFS_OP_", names(hypfs::op::NAMES), &[]),
        lower("XEN_MC_", names(mca::op::NAMES)),
        Family {
            prefix: "XEN_DOMCTL_",
            known: names(domctl::op::NAMES),
            except: &[
                "vmtrace_enable",
                "vmtrace_disable",
                "vmtrace_reset",
                "vmtrace_output",
                "vmtrace_get",
                "vmtrace_set",
            ],
            lower_case_only: true,
        },
        Family {
            prefix: "XEN_SYSCTL_",
            known: names(sysctl::op::NAMES),
            except: &["cpu_featureset_", "cpu_policy_", "pm_op_"],
            lower_case_only: true,
        },
        family("XEN_DOMINF_", names(domctl::info_flag::NAMES), &[]),
        family(
            "XEN_DOMCTL_CDF_",
            names(domctl::create_flag::NAMES),
            &["MAX"],
        ),
        family(
            "XEN_DOMCTL_PFINFO_",
            names(domctl::frame_info::NAMES),
            &["LTAB_SHIFT"],
        ),
    ]
}
