//! `hypfs_op`: the hypervisor's parameters as a file system (`public/hypfs.h`).

use crate::macros::wire;

/// Bytes of a path, with its terminating zero.
pub const MAX_PATHLEN: usize = 1024;
/// The version `GET_VERSION` answers.
pub const VERSION: u32 = 1;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Answer: the version.
        GET_VERSION = 0, "XEN_HYPFS_OP_get_version";
        /// Read an entry.
        READ = 1, "XEN_HYPFS_OP_read";
        /// Write an entry.
        WRITE_CONTENTS = 2, "XEN_HYPFS_OP_write_contents";
    }
}

/// Kinds of entry.
pub mod kind {
    use crate::macros::numbers;
    numbers! { u8;
        /// Directory.
        DIR = 0, "XEN_HYPFS_TYPE_DIR";
        /// Bytes.
        BLOB = 1, "XEN_HYPFS_TYPE_BLOB";
        /// Text.
        STRING = 2, "XEN_HYPFS_TYPE_STRING";
        /// Unsigned number.
        UINT = 3, "XEN_HYPFS_TYPE_UINT";
        /// Signed number.
        INT = 4, "XEN_HYPFS_TYPE_INT";
        /// Truth value, one byte.
        BOOL = 5, "XEN_HYPFS_TYPE_BOOL";
    }
}

/// Encodings of an entry.
pub mod encoding {
    use crate::macros::numbers;
    numbers! { u8;
        /// As it is.
        PLAIN = 0, "XEN_HYPFS_ENC_PLAIN";
        /// Compressed.
        GZIP = 1, "XEN_HYPFS_ENC_GZIP";
    }
}

wire! {
    /// `struct xen_hypfs_direntry`; the contents follow.
    DirEntry {
        /// [`kind`].
        kind: u8,
        /// [`encoding`].
        encoding: u8,
        /// Zero.
        pad: u16,
        /// Bytes of contents.
        content_len: u32,
        /// Bytes that may be written; 0 if none.
        max_write_len: u32,
    }
    /// `struct xen_hypfs_dirlistentry`; the name follows, zero-terminated, padded.
    DirListEntry {
        /// The entry.
        entry: DirEntry,
        /// Bytes to the next; 0 for the last.
        off_next: u16,
        /// The first bytes of the name.
        name: [u8; 2],
    }
}
