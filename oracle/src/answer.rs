//! What a request answers.

use crate::no::No;
use std::fmt::{self, Display, Formatter};

/// An answer, of the engine or of the rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Done, and nothing more to say.
    Done,
    /// Done; whether the local TLB must be flushed.
    Flush(bool),
    /// Done; the first frame of what was given.
    Frame(u64),
    /// Done; the first frames of the blocks given.
    Frames(Vec<u64>),
    /// A grant was mapped.
    Mapped {
        /// The mapping's handle.
        handle: u64,
        /// The granted frame.
        frame: u64,
    },
    /// A store was carried out.
    Written,
    /// The comparison failed; what was found.
    Found(u64),
    /// A fault of the guest's own.
    NotATable,
    /// The budget ran out.
    Preempted,
    /// Refused.
    Refused(No),
    /// Refused by the hypervisor's own book-keeping, without a reason.
    False,
    /// The request means nothing in this state, and nobody was asked.
    Void,
}

impl Answer {
    /// Whether the request did what it asked for.
    #[must_use]
    pub fn is_success(&self) -> bool {
        !matches!(
            self,
            Self::Preempted | Self::Refused(_) | Self::False | Self::Void | Self::NotATable
        )
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Flush(true) => f.write_str("done, flush the local TLB"),
            Self::Flush(false) => f.write_str("done, nothing to flush"),
            Self::Frame(first) => write!(f, "gave frame {first:#x}"),
            Self::Frames(firsts) => write!(f, "gave frames {firsts:#x?}"),
            Self::Mapped { handle, frame } => {
                write!(f, "mapped frame {frame:#x}, handle {handle}")
            }
            Self::Written => f.write_str("written"),
            Self::Found(found) => write!(f, "not written, found {found:#x}"),
            Self::NotATable => f.write_str("the guest's own fault"),
            Self::Preempted => f.write_str("preempted"),
            Self::Refused(no) => write!(f, "refused: {} {}", no.errno, no.code),
            Self::False => f.write_str("no"),
            Self::Void => f.write_str("means nothing here"),
        }
    }
}
