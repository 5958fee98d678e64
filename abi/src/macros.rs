//! How a number or a structure of the interface is written down, once, so that each carries its C name with it.
//!
//! Keeps true: every number made here can be named in a log line and is compared with the header by the layout
//! test; every structure made here is free of hidden padding, so it can be read from and written to a guest's
//! bytes without exposing uninitialised ones.

/// Defines constants of one kind, the list `NAMES` of them (C name, value), and `name`, which finds a value's C name.
macro_rules! numbers {
    ($ty:ty; $($(#[$meta:meta])* $name:ident = $value:expr, $c:literal;)*) => {
        $(
            $(#[$meta])*
            #[doc = concat!("\n\n`", $c, "`")]
            pub const $name: $ty = $value;
        )*

        /// Every number of this module with its name in the public header, in the header's order.
        pub const NAMES: &[(&str, $ty)] = &[$(($c, $name)),*];

        /// The header's name of `number`, the first that fits; `None` if the number is not in the header.
        pub fn name(number: $ty) -> Option<&'static str> {
            NAMES.iter().find(|(_, value)| *value == number).map(|(name, _)| *name)
        }
    };
}

/// Defines structures as they lie in guest memory: C layout, readable from any bytes, writable as bytes.
macro_rules! wire {
    ($($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
            pub struct $name {
                $($(#[$fmeta])* pub $field: $ty,)*
            }
        )*
    };
}

pub(crate) use {numbers, wire};
