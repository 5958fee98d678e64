//! What domains with hardware help are asked by: `hvm_op` and `dm_op` (`public/hvm/hvm_op.h`, `public/hvm/dm_op.h`), as far
//! as it takes to refuse them.

use crate::macros::wire;
use crate::{DomId, Vaddr};

/// Parameters that such a domain has.
pub const NR_PARAMS: u32 = 39;

/// Sub-calls of `hvm_op` that look at who calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Set a parameter ([`super::Param`]).
        SET_PARAM = 0, "HVMOP_set_param";
        /// Get a parameter ([`super::Param`]).
        GET_PARAM = 1, "HVMOP_get_param";
        /// Flush the TLBs of all vCPUs.
        FLUSH_TLBS = 5, "HVMOP_flush_tlbs";
        /// Set a vCPU's vector for events.
        SET_EVTCHN_UPCALL_VECTOR = 23, "HVMOP_set_evtchn_upcall_vector";
    }
}

wire! {
    /// `struct xen_hvm_param`.
    Param {
        /// Whose.
        domid: DomId,
        /// Padding.
        pad: u16,
        /// Which, below [`NR_PARAMS`].
        index: u32,
        /// The value.
        value: u64,
    }
    /// `struct xen_dm_op_buf`: one of a `dm_op`'s buffers.
    DmOpBuf {
        /// Where it is.
        h: Vaddr,
        /// Bytes of it.
        size: u64,
    }
}
