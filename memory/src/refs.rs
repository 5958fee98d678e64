//! References as values: whoever holds one must give it back to the engine.
//!
//! They are neither `Clone` nor `Copy`. Dropping one without giving it back leaks the reference (the frame then
//! stays allocated), which is safe. Neighbours: taken and given back by methods of `Engine` only.

use xenocryst_abi::Mfn;

macro_rules! reference {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[must_use = "a reference must be given back to the engine"]
        #[derive(PartialEq, Eq, Debug)]
        pub struct $name(pub(crate) Mfn);

        impl $name {
            /// The frame that is held.
            pub const fn mfn(&self) -> Mfn {
                self.0
            }
        }
    };
}

reference!(
    /// A general reference: the frame can be neither freed nor change owner. It may change type.
    PageRef
);
reference!(
    /// A general and a writable type reference: the frame cannot become a table while this is held.
    WritableRef
);
reference!(
    /// A general and an L4 type reference: what a vCPU holds on each root that it may load.
    RootRef
);
impl RootRef {
    /// Puts `new` in force in place of what `slot` holds: `load` makes CPUs run on it. Hands out the old one, which
    /// nobody runs on any more and which is to be given back; there is no other way to get at it (I44).
    #[must_use = "a reference must be given back to the engine"]
    pub fn replace(slot: &mut Option<Self>, new: Self, load: impl FnOnce(Mfn)) -> Option<Self> {
        load(new.mfn());
        slot.replace(new)
    }
}

reference!(
    /// A general and a descriptor type reference: what a GDT or LDT window holds on a frame it maps.
    DescriptorRef
);
