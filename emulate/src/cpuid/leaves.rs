//! A policy as tools read and write it: a list of leaves, and the words of its features.
//!
//! Keeps true: what tools write never shows a guest more than the policy it is written over; no leaf is stored outside
//! the tables. The order of the list and of the words is that of Xen 4.17.
//! Neighbours: `hypervisor`'s `sysctl` (reads the host's policies) and `domctl` (reads and writes a domain's).

use super::features::{HYPERVISOR, PV_DA1, XSAVE};
use super::{HYPERVISOR_BASE, Leaf, MAX_BASIC, MAX_EXTENDED_AMD, MAX_FEATURE, Policy};

/// Subleaf of a leaf that has none (`XEN_CPUID_NO_SUBLEAF`).
pub const NO_SUBLEAF: u32 = u32::MAX;
/// First leaf of a second hypervisor interface, which is never offered.
const SECOND_HYPERVISOR_BASE: u32 = 0x4000_0100;
/// Subleaves of the topology leaf in a list.
const TOPOLOGY: u32 = 2;
/// States of XSAVE that a list can hold.
const XSTATES: u32 = 63;
/// Feature words of a policy.
pub const FEATURE_WORDS: usize = 18;
/// The most leaves a list has: each table in full, without those four that stand for a table of their own.
pub const MAX_LEAVES: u32 =
    (MAX_BASIC + 1 - 4) + (MAX_FEATURE + 1) + 6 + TOPOLOGY + XSTATES + 0x22 + 2;

/// Why a list of leaves was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WrongLeaf {
    /// There is no such leaf.
    Unknown {
        /// The leaf.
        leaf: u32,
        /// Its subleaf.
        subleaf: u32,
    },
    /// It offers more leaves than the policy that it is written over.
    Incompatible {
        /// The leaf that gives the number.
        leaf: u32,
        /// Its subleaf.
        subleaf: u32,
    },
}

/// Gives `emit` each leaf that `source` has, with its subleaf or [`NO_SUBLEAF`], until it fails.
///
/// # Errors
/// Those of `emit`.
pub fn each_leaf<E>(
    source: &impl Fn(u32, u32) -> Leaf,
    emit: &mut impl FnMut(u32, u32, Leaf) -> Result<(), E>,
) -> Result<(), E> {
    for leaf in 0..=source(0, 0).a.min(MAX_BASIC) {
        match leaf {
            4 => until_empty(source, emit, 4, 6, |found| found.a & 0x1f)?,
            7 => {
                for subleaf in 0..=source(7, 0).a.min(MAX_FEATURE) {
                    emit(7, subleaf, source(7, subleaf))?;
                }
            }
            0xb => until_empty(source, emit, 0xb, TOPOLOGY, |found| found.c & 0xff00)?,
            0xd => each_state(source, emit)?,
            _ => emit(leaf, NO_SUBLEAF, source(leaf, 0))?,
        }
    }
    emit(HYPERVISOR_BASE, NO_SUBLEAF, Leaf::EMPTY)?;
    emit(SECOND_HYPERVISOR_BASE, NO_SUBLEAF, Leaf::EMPTY)?;
    let extended = source(0x8000_0000, 0).a & 0xffff;
    for index in 0..=extended.min(MAX_EXTENDED_AMD & 0xffff) {
        let leaf = 0x8000_0000 | index;
        emit(leaf, NO_SUBLEAF, source(leaf, 0))?;
    }
    Ok(())
}

/// The subleaves of `leaf`, up to and with the first whose type is 0, `most` of them.
fn until_empty<E>(
    source: &impl Fn(u32, u32) -> Leaf,
    emit: &mut impl FnMut(u32, u32, Leaf) -> Result<(), E>,
    leaf: u32,
    most: u32,
    kind: impl Fn(Leaf) -> u32,
) -> Result<(), E> {
    for subleaf in 0..most {
        let found = source(leaf, subleaf);
        emit(leaf, subleaf, found)?;
        if kind(found) == 0 {
            break;
        }
    }
    Ok(())
}

fn each_state<E>(
    source: &impl Fn(u32, u32) -> Leaf,
    emit: &mut impl FnMut(u32, u32, Leaf) -> Result<(), E>,
) -> Result<(), E> {
    let first = source(0xd, 0);
    emit(0xd, 0, first)?;
    let second = source(0xd, 1);
    emit(0xd, 1, second)?;
    let states = u64::from(first.a | second.c) | u64::from(first.d | second.d) << 32;
    let highest = u64::BITS - states.leading_zeros();
    for state in 2..highest.min(XSTATES) {
        emit(0xd, state, source(0xd, state))?;
    }
    Ok(())
}

/// The feature words of what `source` shows, with the two halves of MSR `ARCH_CAPABILITIES`.
pub fn feature_words(
    source: &impl Fn(u32, u32) -> Leaf,
    arch_capabilities: u64,
) -> [u32; FEATURE_WORDS] {
    let basic = |leaf: u32, subleaf: u32| {
        if leaf <= source(0, 0).a {
            source(leaf, subleaf)
        } else {
            Leaf::EMPTY
        }
    };
    let extended = |leaf: u32| {
        if leaf <= source(0x8000_0000, 0).a {
            source(leaf, 0)
        } else {
            Leaf::EMPTY
        }
    };
    let feature = |subleaf: u32| {
        if subleaf <= basic(7, 0).a {
            basic(7, subleaf)
        } else {
            Leaf::EMPTY
        }
    };
    let has_xsave = basic(1, 0).c & XSAVE != 0;
    [
        basic(1, 0).d,
        basic(1, 0).c,
        extended(0x8000_0001).d,
        extended(0x8000_0001).c,
        if has_xsave { basic(0xd, 1).a } else { 0 },
        feature(0).b,
        feature(0).c,
        extended(0x8000_0007).d,
        extended(0x8000_0008).b,
        feature(0).d,
        feature(1).a,
        extended(0x8000_0021).a,
        feature(1).b,
        feature(2).d,
        feature(1).c,
        feature(1).d,
        arch_capabilities as u32,
        (arch_capabilities >> 32) as u32,
    ]
}

impl Policy {
    /// The leaf as it is kept: without what depends on who asks and when.
    pub fn stored(&self, leaf: u32, subleaf: u32) -> Leaf {
        let table: &[Leaf] = match leaf {
            4 => &self.cache,
            7 => &self.feature,
            0xd => &self.xstate,
            0..=MAX_BASIC => return self.basic[leaf as usize],
            0x8000_0000..=MAX_EXTENDED_AMD => return self.extended[(leaf & 0xffff) as usize],
            _ => return Leaf::EMPTY,
        };
        table.get(subleaf as usize).copied().unwrap_or_default()
    }

    /// Writes one leaf as tools give it. The result is fit for a guest only after [`Policy::limit`].
    ///
    /// # Errors
    /// [`WrongLeaf::Unknown`].
    pub fn store(&mut self, leaf: u32, subleaf: u32, value: Leaf) -> Result<(), WrongLeaf> {
        let unknown = WrongLeaf::Unknown { leaf, subleaf };
        let (table, index): (&mut [Leaf], u32) = match (leaf, subleaf) {
            (4, _) => (&mut self.cache, subleaf),
            (7, _) => (&mut self.feature, subleaf),
            (0xd, 0..XSTATES) => (&mut self.xstate, subleaf),
            // Known, but never shown to a guest.
            (0xb, 0..TOPOLOGY) | (HYPERVISOR_BASE | SECOND_HYPERVISOR_BASE, NO_SUBLEAF) => {
                return Ok(());
            }
            (0..=MAX_BASIC, NO_SUBLEAF) => (&mut self.basic, leaf),
            (0x8000_0000..=MAX_EXTENDED_AMD, NO_SUBLEAF) => (&mut self.extended, leaf & 0xffff),
            _ => return Err(unknown),
        };
        let slot = table.get_mut(index as usize).ok_or(unknown)?;
        *slot = value;
        Ok(())
    }

    /// Takes away everything that `most` does not have.
    ///
    /// # Errors
    /// [`WrongLeaf::Incompatible`] where it has more leaves.
    pub fn limit(mut self, most: &Self) -> Result<Self, WrongLeaf> {
        let highest = [
            (0, NO_SUBLEAF, self.basic[0].a, most.basic[0].a),
            (7, 0, self.feature[0].a, most.feature[0].a),
            (
                0x8000_0000,
                NO_SUBLEAF,
                self.extended[0].a,
                most.max_extended,
            ),
        ];
        for (leaf, subleaf, wanted, offered) in highest {
            if wanted > offered {
                return Err(WrongLeaf::Incompatible { leaf, subleaf });
            }
        }
        self.max_extended = self.extended[0].a.max(0x8000_0000);
        self.limit_basic(most);
        self.limit_extended(most);
        self.remove_dependents();
        let compaction = self.xstate[1].a & most.xstate[1].a & PV_DA1;
        self.xstate = [Leaf::EMPTY; _];
        self.set_xstate(&|_, subleaf| match subleaf {
            1 => Leaf::new(compaction, 0, 0, 0),
            _ => most
                .xstate
                .get(subleaf as usize)
                .copied()
                .unwrap_or_default(),
        });
        Ok(self)
    }

    fn limit_basic(&mut self, most: &Self) {
        let highest = self.basic[0].a;
        let past = self.basic.iter_mut().skip(highest as usize + 1);
        past.for_each(|leaf| *leaf = Leaf::EMPTY);
        self.basic[0] = Leaf {
            a: highest,
            ..most.basic[0]
        };
        // The hypervisor fills in who asks.
        self.basic[1].b &= 0x00ff_ffff;
        self.basic[1].c = self.basic[1].c & most.basic[1].c | HYPERVISOR;
        self.basic[1].d &= most.basic[1].d;
        for leaf in [3, 5, 6, 8, 9, 0xa, 0xb, 0xc] {
            self.basic[leaf] = Leaf::EMPTY;
        }
        if highest < 4 {
            self.cache = [Leaf::EMPTY; _];
        }
        let subleaves = if highest < 7 { 0 } else { self.feature[0].a };
        for (index, (leaf, limit)) in self.feature.iter_mut().zip(&most.feature).enumerate() {
            let shown = highest >= 7 && index as u32 <= subleaves;
            *leaf = if shown { leaf.and(limit) } else { Leaf::EMPTY };
        }
        self.feature[0].a = subleaves;
    }

    fn limit_extended(&mut self, most: &Self) {
        let highest = self.max_extended & 0xffff;
        let past = self.extended.iter_mut().skip(highest as usize + 1);
        past.for_each(|leaf| *leaf = Leaf::EMPTY);
        self.extended[0] = Leaf {
            a: self.max_extended,
            ..most.extended[0]
        };
        for index in 1..self.extended.len() {
            let (leaf, limit) = (&mut self.extended[index], most.extended[index]);
            match index {
                // The name, which is free, and caches, which are what they are.
                2..=6 => {}
                1 => {
                    leaf.c &= limit.c;
                    leaf.d &= limit.d;
                }
                8 => {
                    leaf.a = limit.a;
                    leaf.b &= limit.b;
                }
                _ => *leaf = leaf.and(&limit),
            }
        }
    }
}

impl Leaf {
    fn and(&self, other: &Self) -> Self {
        Self::new(
            self.a & other.a,
            self.b & other.b,
            self.c & other.c,
            self.d & other.d,
        )
    }
}
