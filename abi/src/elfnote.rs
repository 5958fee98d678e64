//! ELF notes by which a kernel says how it wants to be started (`public/elfnote.h`). Their owner is "Xen".

use crate::macros::numbers;

/// The notes' name.
pub const NAME: &str = "Xen";

numbers! { u32;
    /// Free text.
    INFO = 0, "XEN_ELFNOTE_INFO";
    /// Address of the entry point.
    ENTRY = 1, "XEN_ELFNOTE_ENTRY";
    /// Address of the page to fill with hypercall stubs.
    HYPERCALL_PAGE = 2, "XEN_ELFNOTE_HYPERCALL_PAGE";
    /// Virtual address where the domain's memory begins.
    VIRT_BASE = 3, "XEN_ELFNOTE_VIRT_BASE";
    /// What the ELF physical addresses are offset by.
    PADDR_OFFSET = 4, "XEN_ELFNOTE_PADDR_OFFSET";
    /// Version of the interface it was made for: "xen-3.0".
    XEN_VERSION = 5, "XEN_ELFNOTE_XEN_VERSION";
    /// Name of the system.
    GUEST_OS = 6, "XEN_ELFNOTE_GUEST_OS";
    /// Version of the system.
    GUEST_VERSION = 7, "XEN_ELFNOTE_GUEST_VERSION";
    /// Loader wanted: "generic".
    LOADER = 8, "XEN_ELFNOTE_LOADER";
    /// 32-bit: PAE.
    PAE_MODE = 9, "XEN_ELFNOTE_PAE_MODE";
    /// Features wanted, text.
    FEATURES = 10, "XEN_ELFNOTE_FEATURES";
    /// Symbol table wanted.
    BSD_SYMTAB = 11, "XEN_ELFNOTE_BSD_SYMTAB";
    /// Lowest address the hypervisor may begin at.
    HV_START_LOW = 12, "XEN_ELFNOTE_HV_START_LOW";
    /// Mask and value that tell a valid L1 entry from one that is not.
    L1_MFN_VALID = 13, "XEN_ELFNOTE_L1_MFN_VALID";
    /// A suspend may be cancelled.
    SUSPEND_CANCEL = 14, "XEN_ELFNOTE_SUSPEND_CANCEL";
    /// Virtual address where the P2M is wanted.
    INIT_P2M = 15, "XEN_ELFNOTE_INIT_P2M";
    /// The module may be left unmapped, given by PFN.
    MOD_START_PFN = 16, "XEN_ELFNOTE_MOD_START_PFN";
    /// Features the kernel knows, a bitmap ([`crate::version::feature`]).
    SUPPORTED_FEATURES = 17, "XEN_ELFNOTE_SUPPORTED_FEATURES";
    /// PVH entry point.
    PHYS32_ENTRY = 18, "XEN_ELFNOTE_PHYS32_ENTRY";
}
