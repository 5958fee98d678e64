//! What a refused request is told, as the rules say it: an error number of the ABI and the stable code of the rule.
//!
//! Written down once more, on purpose: `docs/refusals.md` lists what the engine says, this what it must say.

use xenocryst_abi::Errno;
use xenocryst_abi::hypercall::errno::{
    EACCES, EBUSY, EINVAL, ENOMEM, ENOSYS, EOPNOTSUPP, EPERM, ERANGE,
};

/// A refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct No {
    /// The error number.
    pub errno: Errno,
    /// The code of the rule.
    pub code: &'static str,
}

macro_rules! no {
    ($($name:ident = $errno:ident $code:literal $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: No = No { errno: $errno, code: $code };)*
    };
}

no! {
    NOT_OWNED = EINVAL "FR-001" "The frame is not the domain's.";
    COUNT_FULL = EINVAL "FR-002" "No further reference can be counted.";
    TYPE_CONFLICT = EINVAL "FR-003" "The frame is used otherwise.";
    TYPE_FULL = EINVAL "FR-004" "No further use of the type can be counted.";
    SPECIAL = EINVAL "FR-005" "The hypervisor shares the frame.";
    IN_USE = EINVAL "FR-006" "Something beside the allocation holds the frame.";
    NOT_ALLOCATED = EINVAL "FR-007" "The allocation was given back before.";
    FLAGS = EINVAL "PT-001" "Bits that are not legal at this level.";
    TABLE_NOT_OWNED = EINVAL "PT-002" "The table named is not the domain's.";
    TABLE_CONFLICT = EINVAL "PT-003" "The frame named cannot be a table of that level.";
    LINEAR_WRITABLE = EINVAL "PT-004" "A linear entry with RW.";
    LINEAR_TARGET = EINVAL "PT-005" "A linear entry that names no validated table.";
    LINEAR_DEPTH = EINVAL "PT-006" "A chain of linear entries.";
    HYPERVISOR_SLOT = EINVAL "PT-007" "The slot is the hypervisor's.";
    FOREIGN_UPPER = EINVAL "PT-008" "Foreign frames above L1.";
    L1TF = EINVAL "PT-009" "A not-present entry that a CPU would speculate through.";
    TOO_WIDE = EPERM "PT-010" "An address the CPU cannot have.";
    TARGET_OWNER = EBUSY "PT-011" "Memory of somebody else.";
    NOT_WRITABLE = EBUSY "PT-012" "A writable mapping of what must not be written.";
    SPECIAL_CACHING = EACCES "PT-013" "A shared frame with a memory type.";
    IO_FORBIDDEN = EPERM "PT-014" "An I/O frame without permission.";
    INVALID_FRAME = EINVAL "PT-015" "The invalid frame number.";
    DYING = EINVAL "PT-016" "The domain is dying.";
    NOT_A_TABLE = EINVAL "MU-001" "Neither a validated table nor writable memory.";
    UNKNOWN_COMMAND = ENOSYS "MU-002" "No such command.";
    FOREIGN_TABLES = EPERM "MU-003" "An M2P update with foreign tables.";
    MISALIGNED = EINVAL "MU-004" "A misaligned address.";
    BAD_ADDRESS = EINVAL "VA-001" "An address that is not the guest's to map.";
    NO_L1 = EINVAL "VA-002" "No L1 table covers the address.";
    BAD_STORE = EINVAL "EM-001" "A store that is misaligned, too wide, or beside the page.";
    PINNED = EINVAL "PN-001" "Pinned before.";
    NOT_PINNED = EINVAL "PN-002" "Not pinned.";
    ROOT_TYPE = EINVAL "RT-001" "The root can be no L4 table of the domain.";
    BAD_DESCRIPTOR = EINVAL "SD-001" "A descriptor that a guest may not have.";
    DESCRIPTOR_FRAME = EINVAL "SD-002" "The frame can hold no descriptors.";
    ORDER = EPERM "RS-001" "The extent is too large.";
    FULL = ENOMEM "RS-002" "The domain may own no more.";
    OUT_OF_MEMORY = ENOMEM "RS-003" "There is no such block.";
    GRANT_REFERENCE = EINVAL "GR-001" "No such entry.";
    GRANT_NOT_PERMITTED = EINVAL "GR-002" "The entry does not permit this to the domain that asks.";
    GRANT_CHANGED = EBUSY "GR-003" "The entry no longer says what its present users were told.";
    GRANT_PINS = EBUSY "GR-004" "Used too often at once.";
    GRANT_PART = EINVAL "GR-005" "Part of a page cannot be mapped.";
    GRANT_TRANSITIVE = EOPNOTSUPP "GR-006" "Stands for another's grant.";
    GRANT_FRAME = EINVAL "GR-007" "The frame is not the granter's, or not the caller's.";
    GRANT_NOT_WRITABLE = EBUSY "GR-008" "The frame is used as what must not be written.";
    GRANT_KIND = EINVAL "GR-009" "A mapping for nobody.";
    GRANT_HANDLES = ENOMEM "GR-010" "No handle is left.";
    GRANT_HANDLE = EINVAL "GR-011" "No such mapping.";
    GRANT_BUS = EINVAL "GR-012" "The bus address is not the mapping's.";
    GRANT_ADDRESS = EINVAL "GR-013" "The address names no entry of an L1 table of the domain.";
    GRANT_ENTRY = EINVAL "GR-014" "The entry is not the mapping's.";
    GRANT_REPLACE = EINVAL "GR-015" "A mapping made in an entry cannot be replaced.";
    GRANT_DYING = EINVAL "GR-016" "The granter is dying.";
    GRANT_COPY_RANGE = EINVAL "GR-017" "A copy across a page.";
    GRANT_COPY_PART = EINVAL "GR-018" "A copy of what was not granted.";
    GRANT_IN_USE = EBUSY "GR-020" "An entry in use cannot be swapped.";
    GRANT_TABLE_IN_USE = EBUSY "GR-021" "The table is used in its present version.";
    GRANT_VERSION = EINVAL "GR-022" "No such version.";
    GRANT_VERSION_LIMIT = ENOSYS "GR-023" "Not for this domain.";
    GRANT_CONTENTS = ERANGE "GR-024" "A reserved entry cannot be said in version 1.";
    GRANT_SIZE = EINVAL "GR-025" "More frames than the table may have.";
    GRANT_TRANSFER = EINVAL "GR-026" "The entry accepts no transfer from the giver.";
}
