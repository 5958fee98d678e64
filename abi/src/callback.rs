//! `callback_op`: where the hypervisor enters a PV kernel (`public/callback.h`).

use crate::macros::wire;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Register ([`super::CallbackRegister`]).
        REGISTER = 0, "CALLBACKOP_register";
        /// Unregister ([`super::CallbackUnregister`]).
        UNREGISTER = 1, "CALLBACKOP_unregister";
    }
}

/// Kinds of callback.
pub mod kind {
    use crate::macros::numbers;
    numbers! { u16;
        /// An event arrived.
        EVENT = 0, "CALLBACKTYPE_event";
        /// The guest's state could not be restored.
        FAILSAFE = 1, "CALLBACKTYPE_failsafe";
        /// SYSCALL by 64-bit user code.
        SYSCALL = 2, "CALLBACKTYPE_syscall";
        /// Old number of sysenter.
        SYSENTER_DEPRECATED = 3, "CALLBACKTYPE_sysenter_deprecated";
        /// An NMI.
        NMI = 4, "CALLBACKTYPE_nmi";
        /// SYSENTER.
        SYSENTER = 5, "CALLBACKTYPE_sysenter";
        /// SYSCALL by 32-bit user code.
        SYSCALL32 = 7, "CALLBACKTYPE_syscall32";
    }
}

/// Bits of [`CallbackRegister::flags`].
pub mod flag {
    use crate::macros::numbers;
    numbers! { u16;
        /// The callback starts with events masked.
        MASK_EVENTS = 1, "CALLBACKF_mask_events";
    }
}

wire! {
    /// `CALLBACKOP_register`.
    CallbackRegister {
        /// Which ([`kind`]).
        kind: u16,
        /// [`flag`] bits.
        flags: u16,
        /// Padding.
        pad: u32,
        /// Code address.
        address: u64,
    }
    /// `CALLBACKOP_unregister`.
    CallbackUnregister {
        /// Which ([`kind`]).
        kind: u16,
        /// Unused.
        unused: u16,
    }
}
