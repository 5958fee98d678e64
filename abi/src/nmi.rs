//! `nmi_op` and why an NMI came (`public/nmi.h`).

use crate::macros::wire;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Register a handler ([`super::NmiCallback`]).
        REGISTER_CALLBACK = 0, "XENNMI_register_callback";
        /// Unregister it.
        UNREGISTER_CALLBACK = 1, "XENNMI_unregister_callback";
    }
}

/// Bits of the shared page's `nmi_reason`.
pub mod reason {
    use crate::macros::numbers;
    numbers! { u64;
        /// I/O check.
        IO_ERROR = 1, "XEN_NMIREASON_io_error";
        /// PCI system error.
        PCI_SERR = 2, "XEN_NMIREASON_pci_serr";
        /// Not known.
        UNKNOWN = 4, "XEN_NMIREASON_unknown";
    }
}

wire! {
    /// `struct xennmi_callback`.
    NmiCallback {
        /// Code address.
        handler_address: u64,
        /// Padding.
        pad: u64,
    }
}
