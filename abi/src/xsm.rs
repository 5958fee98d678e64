//! `xsm_op`: the security modules' hypercall (`public/xsm/flask_op.h`). Without a module every call ends in `ENOSYS`.

/// Interface version of the only module that has calls.
pub const FLASK_INTERFACE_VERSION: u32 = 1;
