//! `event_channel_op` and the two event ABIs (`public/event_channel.h`).

use crate::address::Gfn;
use crate::domid::DomId;
use crate::macros::wire;

/// Channels of the two-level ABI.
pub const TWO_LEVEL_CHANNELS: u32 = 4096;
/// Flag of [`BindPirq`]: the line may be shared.
pub const BIND_PIRQ_WILL_SHARE: u32 = 1;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// [`super::BindInterdomain`].
        BIND_INTERDOMAIN = 0, "EVTCHNOP_bind_interdomain";
        /// [`super::BindVirq`].
        BIND_VIRQ = 1, "EVTCHNOP_bind_virq";
        /// [`super::BindPirq`].
        BIND_PIRQ = 2, "EVTCHNOP_bind_pirq";
        /// [`super::Close`].
        CLOSE = 3, "EVTCHNOP_close";
        /// [`super::Send`].
        SEND = 4, "EVTCHNOP_send";
        /// [`super::Status`].
        STATUS = 5, "EVTCHNOP_status";
        /// [`super::AllocUnbound`].
        ALLOC_UNBOUND = 6, "EVTCHNOP_alloc_unbound";
        /// [`super::BindIpi`].
        BIND_IPI = 7, "EVTCHNOP_bind_ipi";
        /// [`super::BindVcpu`].
        BIND_VCPU = 8, "EVTCHNOP_bind_vcpu";
        /// [`super::Unmask`].
        UNMASK = 9, "EVTCHNOP_unmask";
        /// [`super::Reset`].
        RESET = 10, "EVTCHNOP_reset";
        /// [`super::InitControl`].
        INIT_CONTROL = 11, "EVTCHNOP_init_control";
        /// [`super::ExpandArray`].
        EXPAND_ARRAY = 12, "EVTCHNOP_expand_array";
        /// [`super::SetPriority`].
        SET_PRIORITY = 13, "EVTCHNOP_set_priority";
    }
}

/// What a channel is bound to: [`Status::status`].
pub mod status {
    use crate::macros::numbers;
    numbers! { u32;
        /// Not in use.
        CLOSED = 0, "EVTCHNSTAT_closed";
        /// Waiting for a peer.
        UNBOUND = 1, "EVTCHNSTAT_unbound";
        /// Connected to a peer.
        INTERDOMAIN = 2, "EVTCHNSTAT_interdomain";
        /// A physical interrupt.
        PIRQ = 3, "EVTCHNSTAT_pirq";
        /// A virtual interrupt.
        VIRQ = 4, "EVTCHNSTAT_virq";
        /// Between vCPUs of the domain.
        IPI = 5, "EVTCHNSTAT_ipi";
    }
}

wire! {
    /// `struct evtchn_alloc_unbound`.
    AllocUnbound {
        /// Who gets the port.
        dom: DomId,
        /// Who may bind to it.
        remote_dom: DomId,
        /// Out: the port.
        port: u32,
    }
    /// `struct evtchn_bind_interdomain`.
    BindInterdomain {
        /// Whose port to bind to.
        remote_dom: DomId,
        /// Padding.
        pad: u16,
        /// That port.
        remote_port: u32,
        /// Out: the caller's port.
        local_port: u32,
    }
    /// `struct evtchn_bind_virq`.
    BindVirq {
        /// [`crate::virq`].
        virq: u32,
        /// vCPU to notify.
        vcpu: u32,
        /// Out: the port.
        port: u32,
    }
    /// `struct evtchn_bind_pirq`.
    BindPirq {
        /// Physical interrupt as the domain numbers it.
        pirq: u32,
        /// [`BIND_PIRQ_WILL_SHARE`].
        flags: u32,
        /// Out: the port.
        port: u32,
    }
    /// `struct evtchn_bind_ipi`.
    BindIpi {
        /// vCPU to notify.
        vcpu: u32,
        /// Out: the port.
        port: u32,
    }
    /// `struct evtchn_close`.
    Close {
        /// The caller's port.
        port: u32,
    }
    /// `struct evtchn_send`.
    Send {
        /// The caller's port.
        port: u32,
    }
    /// `struct evtchn_status`. The union at its end is given as two words.
    Status {
        /// Whose port.
        dom: DomId,
        /// Padding.
        pad: u16,
        /// Which port.
        port: u32,
        /// Out: [`status`].
        status: u32,
        /// Out: vCPU notified.
        vcpu: u32,
        /// Out: the peer's domain (bits 15:0), the pirq, or the virq.
        bound_to: u32,
        /// Out: the peer's port.
        remote_port: u32,
    }
    /// `struct evtchn_bind_vcpu`.
    BindVcpu {
        /// The caller's port.
        port: u32,
        /// vCPU to notify.
        vcpu: u32,
    }
    /// `struct evtchn_unmask`.
    Unmask {
        /// The caller's port.
        port: u32,
    }
    /// `struct evtchn_reset`.
    Reset {
        /// Whose channels.
        dom: DomId,
    }
    /// `struct evtchn_init_control`.
    InitControl {
        /// Frame of the control block.
        control_gfn: Gfn,
        /// Its offset in the frame.
        offset: u32,
        /// Whose control block.
        vcpu: u32,
        /// Out: bits of a link ([`fifo::LINK_BITS`]).
        link_bits: u8,
        /// Padding.
        pad: [u8; 7],
    }
    /// `struct evtchn_expand_array`.
    ExpandArray {
        /// Frame of event words to add.
        array_gfn: Gfn,
    }
    /// `struct evtchn_set_priority`.
    SetPriority {
        /// The caller's port.
        port: u32,
        /// 0 (highest) to 15.
        priority: u32,
    }
}

/// The FIFO ABI: one 32-bit word a channel, one control block a vCPU.
pub mod fifo {
    use crate::macros::{numbers, wire};

    numbers! { u32;
        /// Highest priority.
        PRIORITY_MAX = 0, "EVTCHN_FIFO_PRIORITY_MAX";
        /// Priority a channel begins with.
        PRIORITY_DEFAULT = 7, "EVTCHN_FIFO_PRIORITY_DEFAULT";
        /// Lowest priority.
        PRIORITY_MIN = 15, "EVTCHN_FIFO_PRIORITY_MIN";
        /// Queues of a vCPU.
        MAX_QUEUES = 16, "EVTCHN_FIFO_MAX_QUEUES";
        /// Event word: number of the pending bit.
        PENDING = 31, "EVTCHN_FIFO_PENDING";
        /// Event word: number of the mask bit.
        MASKED = 30, "EVTCHN_FIFO_MASKED";
        /// Event word: number of the "in a queue" bit.
        LINKED = 29, "EVTCHN_FIFO_LINKED";
        /// Event word: number of the busy bit.
        BUSY = 28, "EVTCHN_FIFO_BUSY";
        /// Event word: bits of the link to the next port.
        LINK_BITS = 17, "EVTCHN_FIFO_LINK_BITS";
        /// Event word: mask of the link.
        LINK_MASK = (1 << 17) - 1, "EVTCHN_FIFO_LINK_MASK";
        /// Channels.
        NR_CHANNELS = 1 << 17, "EVTCHN_FIFO_NR_CHANNELS";
    }

    wire! {
        /// One vCPU's queues (`struct evtchn_fifo_control_block`).
        ControlBlock {
            /// Bit per queue: it has events.
            ready: u32,
            /// Reserved.
            rsvd: u32,
            /// First port of each queue.
            head: [u32; MAX_QUEUES as usize],
        }
    }
}
