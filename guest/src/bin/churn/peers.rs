//! Which domains there may be to share memory with, and which references are meant for whom.
//!
//! All of these guests lay their grants out in the same way, so that nobody needs to be told: references come in
//! blocks, one for each remainder of a domain's number divided by [`BLOCKS`], and one for the partner that the command line
//! names. A block is granted to the highest number that fits and is at most a few above the highest known to exist.

use xenocryst_guest::abi::DomId;
use xenocryst_guest::abi::event_channel::{self, AllocUnbound, Status};
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::hypercall;
use xenocryst_guest::rng::Rng;

/// Blocks that go by numbers; the one behind them is the partner's.
pub const BLOCKS: u32 = 16;
/// Numbers above the highest known to exist that are granted to.
const AHEAD: u16 = 4;
/// How far above the highest known to exist a domain is looked for.
const SEARCH: u16 = 24;

/// The domains that a guest tries.
pub struct Peers {
    /// This domain's number.
    pub me: u16,
    /// The one that the command line names.
    pub partner: Option<u16>,
    front: u16,
}

impl Peers {
    /// Knowing nobody yet.
    pub fn new(partner: Option<u16>) -> Self {
        let me = own_number();
        Self {
            me,
            partner,
            front: me,
        }
    }

    /// One to try next.
    pub fn pick(&self, rng: &mut Rng) -> u16 {
        if let Some(partner) = self.partner
            && rng.chance(40)
        {
            return partner;
        }
        match rng.below(100) {
            0 => 0,
            1..4 => self.me,
            4..10 => self.front + 1 + rng.below(u64::from(SEARCH)) as u16,
            10..30 => (self.front + AHEAD).saturating_sub(rng.below(u64::from(BLOCKS)) as u16),
            _ => (self.front + 1).saturating_sub(rng.below(5) as u16),
        }
    }

    /// Learns that a domain exists. True if what is granted to whom changes by it.
    pub fn exists(&mut self, id: u16) -> bool {
        let newer = id > self.front && id - self.front <= SEARCH;
        if newer {
            self.front = id;
        }
        newer
    }

    /// Whom a block is granted to.
    pub fn of_block(&self, block: u32) -> Option<u16> {
        if block == BLOCKS {
            return self.partner;
        }
        let highest = u32::from(self.front + AHEAD);
        highest
            .checked_sub((highest + BLOCKS - block) % BLOCKS)
            .map(|id| id as u16)
    }

    /// A block of another's references to try: mostly one that may be meant for this domain.
    pub fn block(&self, rng: &mut Rng) -> u32 {
        match rng.below(100) {
            0..4 => rng.below(u64::from(BLOCKS)) as u32,
            4..35 => BLOCKS,
            _ => u32::from(self.me) % BLOCKS,
        }
    }

    /// Whether a block of another's can only be meant for somebody else.
    pub fn is_foreign(&self, block: u32) -> bool {
        block != BLOCKS && block != u32::from(self.me) % BLOCKS
    }
}

/// The number of this domain: who may bind to a port that it offers to itself.
fn own_number() -> u16 {
    let mut offer = AllocUnbound {
        dom: DomId::SELF,
        remote_dom: DomId::SELF,
        port: 0,
    };
    event(event_channel::op::ALLOC_UNBOUND, &raw mut offer as u64);
    let mut status = Status {
        dom: DomId::SELF,
        pad: 0,
        port: offer.port,
        status: 0,
        vcpu: 0,
        bound_to: 0,
        remote_port: 0,
    };
    event(event_channel::op::STATUS, &raw mut status as u64);
    status.bound_to as u16
}

/// Makes a call about event channels that must succeed.
fn event(command: u32, argument: u64) {
    // SAFETY: the argument is the structure of the command.
    let answer = unsafe {
        hypercall::call(
            number::EVENT_CHANNEL_OP,
            [u64::from(command), argument, 0, 0, 0],
        )
    };
    assert_eq!(answer, 0, "event channel command {command}");
}
