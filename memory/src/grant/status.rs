//! What the guest is told of a refusal, element by element: `GNTST_*` (`public/grant_table.h`).
//!
//! Keeps true: every refusal is negative (I63).

use crate::refusal::{Refusal, Rule};
use xenocryst_abi::grant_table::status as s;

impl Rule {
    /// The status of an element of a grant-table batch that this rule refused.
    pub const fn grant_status(self) -> i16 {
        match self {
            Self::GrantReference | Self::GrantMapKind => s::BAD_GNTREF,
            Self::GrantFrame | Self::FrameNotOwned | Self::FrameInUse | Self::SpecialFrame => {
                s::BAD_PAGE
            }
            Self::GrantHandles => s::NO_SPACE,
            Self::GrantHandle => s::BAD_HANDLE,
            Self::GrantBusAddress => s::BAD_DEV_ADDR,
            Self::GrantDying => s::BAD_DOMAIN,
            Self::GrantCopyRange => s::BAD_COPY_ARG,
            Self::GrantCopyByFrame => s::PERMISSION_DENIED,
            Self::GrantInUse => s::EAGAIN,
            _ => s::GENERAL_ERROR,
        }
    }
}

impl Refusal {
    /// The status of the element that was refused.
    pub const fn grant_status(&self) -> i16 {
        self.rule.grant_status()
    }
}
