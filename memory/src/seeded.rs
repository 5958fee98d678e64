//! Faults on purpose: what a test can tell the engine to do wrong, to see that the tests would notice.
//!
//! What it keeps true: without the feature `seeded-faults` no fault can be committed and no code for it exists: the
//! question `Engine::commits` is then the constant `false`. One fault at a time.

use crate::engine::Engine;
use crate::frame::{Frame, OwnerTag};
use crate::machine::MachineMemory;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A fault that the engine can commit.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Fault] = &[$(Fault::$name),*];
        }
    };
}

faults! {
    /// An L1 entry may name anybody's memory.
    L1Owner,
    /// An L1 entry may map for writing what is used otherwise.
    L1Type,
    /// What a replaced L1 entry held is not given back.
    L1Release,
    /// What the entries of a refused L1 table held is not given back.
    FailedL1Release,
    /// RW may be added to an L1 entry without asking.
    FastPathRw,
    /// Accessed and Dirty are lost when they should be kept.
    AccessedDirty,
    /// I/O frames may be mapped without permission.
    IoPermission,
    /// Not-present entries are not checked.
    L1tf,
    /// An entry above L1 may name anybody's memory.
    TableOwner,
    /// An entry above L1 may name a frame of any type.
    TableType,
    /// Superpages are legal.
    PageSize,
    /// The hypervisor's L4 slots can be updated.
    HypervisorSlot,
    /// What a replaced entry above L1 held is not given back.
    UpperRelease,
    /// No flush is owed for a changed entry above L1.
    FlushOwed,
    /// Linear entries may be writable.
    LinearWritable,
    /// Linear entries may name tables that are not validated.
    LinearTarget,
    /// Linear entries may form chains.
    LinearDepth,
    /// A table can be pinned twice.
    PinTwice,
    /// An unpinned table keeps the references of its pin.
    UnpinRelease,
    /// A refused promotion is not unwound.
    FailedPromotionRelease,
    /// Unwinding forgets the half validated table at its cursor.
    UnwindingNested,
    /// No flush before a frame becomes a table.
    FlushOnPromotion,
    /// No flush before a frame becomes writable.
    FlushOnWritable,
    /// No flush before a frame becomes a descriptor page.
    FlushOnDescriptors,
    /// No flush before a freed frame gets another owner.
    FlushOnReuse,
    /// No flush of frames that come back from a failed exchange.
    FlushOnAbandon,
    /// A writable mapping of a frame by another domain than its owner is not noted.
    Lending,
    /// The M2P entry of anybody's frame can be set.
    M2pOwner,
    /// Descriptors are not looked at.
    DescriptorAudit,
    /// Frames that are mapped or pinned can be exchanged.
    StealHeld,
    /// A domain may own more than its maximum.
    MaxPages,
    /// Frames are not cleared before they are given away.
    Scrub,
    /// The teardown leaves pins.
    TeardownPin,
    /// A reference can be taken on anybody's frame: for grants, copies, and clearing.
    PageOwner,
    /// A grant serves others than its peer.
    GrantPeer,
    /// A grant for reading serves for writing.
    GrantWrite,
    /// A grant that changed while it was used goes on as it is remembered.
    GrantChanged,
    /// The table's version can change while grants are used.
    GrantVersionPinned,
    /// An entry is removed without a look at what it maps.
    GrantEntry,
    /// What was unmapped from a grant is not given back.
    GrantRelease,
    /// What was unmapped from a grant stays pinned.
    GrantUnpin,
    /// The marks of a grant outlive its uses.
    GrantMarks,
    /// No flush before what was unmapped is given back.
    FlushOnUnmap,
    /// A writable mapping of a grant is not noted.
    GrantLending,
    /// What a dying domain's mappings for devices held is not given back.
    GrantDeath,
    /// A frame that comes back from a refused transfer has lost its record of having been a table.
    TransferType,
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Whether the engine was told to commit `fault`.
    #[inline(always)]
    pub(crate) fn commits(&self, fault: Fault) -> bool {
        #[cfg(feature = "seeded-faults")]
        return self.fault.load(core::sync::atomic::Ordering::Relaxed) == fault as u8;
        #[cfg(not(feature = "seeded-faults"))]
        {
            let _ = fault;
            false
        }
    }

    /// Whose a frame must be: `owner`'s, or, if `fault` is committed, whoever's it is.
    #[inline(always)]
    pub(crate) fn demanded(&self, fault: Fault, frame: &Frame, owner: OwnerTag) -> OwnerTag {
        if self.commits(fault) {
            frame.owner_word().whose()
        } else {
            owner
        }
    }

    /// From now on the engine commits this fault, or none.
    #[cfg(feature = "seeded-faults")]
    pub fn commit(&self, fault: Option<Fault>) {
        let number = fault.map_or(u8::MAX, |fault| fault as u8);
        self.fault
            .store(number, core::sync::atomic::Ordering::Relaxed);
    }
}
