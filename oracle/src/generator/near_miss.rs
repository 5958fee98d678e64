//! Spoiling one field of a request.

use super::{pick, with_field};
use crate::random::Choices;
use crate::request::{Request, UNLIMITED};

/// The request with one field changed to something close, or to nonsense.
pub fn spoil(request: &Request, c: &mut impl Choices) -> Request {
    let fields = request.fields();
    if fields.is_empty() {
        return *request;
    }
    let (name, old) = c.pick(&fields);
    let new = match name {
        "frame" | "first" | "to" | "from" | "last" => match c.below(3) {
            0 => old ^ 1,
            1 => old.wrapping_add(1),
            _ => pick::nonsense(c),
        },
        "value" | "expected" => match c.below(4) {
            0 => old ^ 1 << c.below(64),
            1 => old & 0xfff | pick::nonsense(c) << 12,
            2 => old ^ 1 << 12,
            _ => old ^ c.pick(&[1, 2, 4, 0x80, 0x100, 1 << 63]),
        },
        "at" => match c.below(3) {
            0 => old ^ c.pick(&[1, 2, 3, 4, 5, 7]),
            1 => old & 0xfff | pick::nonsense(c) << 12,
            _ => old & !0xff8 | c.pick(&pick::SLOTS) << 3,
        },
        "host" | "new" if c.once_in(2) => old ^ c.pick(&[1, 4, 8, 16, 0x1000, 1 << 47]),
        "reference" | "other" | "handle" => match c.below(3) {
            0 => c.pick(&[254, 255, 256, 511, 512, 1023, 1024, 0xffff_ffff]),
            1 => old ^ 1,
            _ => c.below(12),
        },
        "bus" => old.wrapping_add(c.pick(&[8, 0x1000])),
        "flags" => old ^ c.pick(&[1, 2, 4, 8, 16]),
        "from_offset" | "to_offset" | "length" => c.pick(&[0, 1, 8, 255, 2048, 4095, 4096, 0xffff]),
        "source" | "target" | "pages" => c.below(4),
        "address" | "fault" | "host" | "new" => match c.below(3) {
            0 => old ^ 1 << c.below(64),
            1 => c.pick(&[
                0xffff_8000_0000_0000,
                0xffff_87ff_ffff_f000,
                0x8000_0000_0000,
                u64::MAX,
            ]),
            _ => old.wrapping_add(c.pick(&[1, 4, 8, 0x1000])),
        },
        "level" => 1 + c.below(4),
        "width" => c.pick(&[1, 2, 3, 4, 8, 16]),
        "order" | "in_order" => c.below(8),
        "bits" => c.pick(&[12, 16, 17, 18, 19, 63]),
        "blocks" | "inputs" => c.below(5),
        "slot" => c.pick(&pick::SLOTS),
        "budget" => c.pick(&[1, 2, UNLIMITED]),
        "pfn" => c.below(200),
        _ => c.below(3),
    };
    with_field(request, name, new)
}
