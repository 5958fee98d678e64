//! The codes hypercalls fail with (`public/errno.h`). They are Xen's own, whatever the guest's system numbers them.

use crate::macros::numbers;

/// Why a hypercall failed: a positive number, which goes back to the guest negated.
///
/// Open: numbers without a name are allowed, so that what another hypervisor answers can be held too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// What RAX holds when a hypercall fails with this code: the negated number, sign-extended.
    pub const fn to_rax(self) -> u64 {
        -(self.0 as i64) as u64
    }

    /// The header's name without its prefix, as "EINVAL", or "E?" if it has none.
    pub fn as_str(self) -> &'static str {
        name(self)
            .and_then(|name| name.strip_prefix("XEN_"))
            .unwrap_or("E?")
    }
}

impl core::fmt::Debug for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}({})", self.as_str(), self.0)
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

numbers! { Errno;
    /// The caller may not do this.
    EPERM = Errno(1), "XEN_EPERM";
    /// The named thing does not exist.
    ENOENT = Errno(2), "XEN_ENOENT";
    /// No such domain.
    ESRCH = Errno(3), "XEN_ESRCH";
    /// Input or output failed.
    EIO = Errno(5), "XEN_EIO";
    /// No such device, or a number out of range.
    ENXIO = Errno(6), "XEN_ENXIO";
    /// The list is too long.
    E2BIG = Errno(7), "XEN_E2BIG";
    /// Not an executable image.
    ENOEXEC = Errno(8), "XEN_ENOEXEC";
    /// Bad descriptor.
    EBADF = Errno(9), "XEN_EBADF";
    /// No children.
    ECHILD = Errno(10), "XEN_ECHILD";
    /// Try again later.
    EAGAIN = Errno(11), "XEN_EAGAIN";
    /// Another name of `EAGAIN`.
    EWOULDBLOCK = Errno(11), "XEN_EWOULDBLOCK";
    /// Not enough memory.
    ENOMEM = Errno(12), "XEN_ENOMEM";
    /// Access refused (wrong interface version).
    EACCES = Errno(13), "XEN_EACCES";
    /// A guest address cannot be read or written.
    EFAULT = Errno(14), "XEN_EFAULT";
    /// In use.
    EBUSY = Errno(16), "XEN_EBUSY";
    /// Exists already.
    EEXIST = Errno(17), "XEN_EEXIST";
    /// Crosses devices.
    EXDEV = Errno(18), "XEN_EXDEV";
    /// No such device.
    ENODEV = Errno(19), "XEN_ENODEV";
    /// Not a directory.
    ENOTDIR = Errno(20), "XEN_ENOTDIR";
    /// Is a directory.
    EISDIR = Errno(21), "XEN_EISDIR";
    /// An argument is not valid.
    EINVAL = Errno(22), "XEN_EINVAL";
    /// Too many files open in all.
    ENFILE = Errno(23), "XEN_ENFILE";
    /// Too many files open by this one.
    EMFILE = Errno(24), "XEN_EMFILE";
    /// No space left.
    ENOSPC = Errno(28), "XEN_ENOSPC";
    /// Read-only.
    EROFS = Errno(30), "XEN_EROFS";
    /// Too many links.
    EMLINK = Errno(31), "XEN_EMLINK";
    /// Outside the domain of the function.
    EDOM = Errno(33), "XEN_EDOM";
    /// Result out of range.
    ERANGE = Errno(34), "XEN_ERANGE";
    /// Would deadlock.
    EDEADLK = Errno(35), "XEN_EDEADLK";
    /// Another name of `EDEADLK`.
    EDEADLOCK = Errno(35), "XEN_EDEADLOCK";
    /// The name is too long.
    ENAMETOOLONG = Errno(36), "XEN_ENAMETOOLONG";
    /// No locks left.
    ENOLCK = Errno(37), "XEN_ENOLCK";
    /// No such call or sub-call.
    ENOSYS = Errno(38), "XEN_ENOSYS";
    /// Not empty.
    ENOTEMPTY = Errno(39), "XEN_ENOTEMPTY";
    /// No data.
    ENODATA = Errno(61), "XEN_ENODATA";
    /// The time has passed.
    ETIME = Errno(62), "XEN_ETIME";
    /// Not a data message.
    EBADMSG = Errno(74), "XEN_EBADMSG";
    /// Too large for its type.
    EOVERFLOW = Errno(75), "XEN_EOVERFLOW";
    /// Illegal byte sequence.
    EILSEQ = Errno(84), "XEN_EILSEQ";
    /// Not a socket.
    ENOTSOCK = Errno(88), "XEN_ENOTSOCK";
    /// The message is too large.
    EMSGSIZE = Errno(90), "XEN_EMSGSIZE";
    /// Not supported here.
    EOPNOTSUPP = Errno(95), "XEN_EOPNOTSUPP";
    /// Address in use.
    EADDRINUSE = Errno(98), "XEN_EADDRINUSE";
    /// Address not to be had.
    EADDRNOTAVAIL = Errno(99), "XEN_EADDRNOTAVAIL";
    /// The buffer is too small.
    ENOBUFS = Errno(105), "XEN_ENOBUFS";
    /// Connected already.
    EISCONN = Errno(106), "XEN_EISCONN";
    /// Not connected.
    ENOTCONN = Errno(107), "XEN_ENOTCONN";
    /// Timed out.
    ETIMEDOUT = Errno(110), "XEN_ETIMEDOUT";
    /// Connection refused.
    ECONNREFUSED = Errno(111), "XEN_ECONNREFUSED";
}
