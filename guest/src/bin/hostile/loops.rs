//! Requests that would keep a CPU for minutes if they were carried out in one go (I79), and what a kernel does to them
//! between two pieces (I82).

use xenocryst_guest::abi::DomId;
use xenocryst_guest::abi::grant_table::op as grant;
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::mmuext;
use xenocryst_guest::domain::{Domain, pfn_of};

use crate::page::Pages;
use crate::tables::{self, TABLE, WRITABLE};
use crate::tell::tell;
use crate::ticks::Ticks;

/// A third-level table, a second-level, a first-level one, and the page that each of their entries leads to.
static ALIAS: Pages<4> = Pages::new();
/// Where they are mapped: a gibibyte of one page.
const BASE: u64 = 1 << 39;
/// The page of the list.
const LIST: usize = 3;
/// Fewer events than these in a long call are those of its beginning and its end.
const ROOM: u64 = 3;

/// A long list: what it is called, the hypercall, its arguments with the list's address and length left out, where these go,
/// the length, and the words that each element of it is made of.
struct Long<'a> {
    name: &'a str,
    call: u64,
    arguments: [u64; 5],
    places: (usize, usize),
    count: u64,
    words: &'a [u64],
}

/// Everything of this file.
pub fn all(domain: &Domain) {
    let frame = |n: usize| domain.mfn(pfn_of(ALIAS.address(n)));
    let Some(ticks) = map(domain).then(Ticks::start).flatten() else {
        tell("loops", format_args!("address space and timer"), "refused");
        return;
    };
    ticks.leave_alone();
    let own = u64::from(DomId::SELF.0);
    let same = [
        frame(2).maddr().raw() | 8,
        frame(LIST).maddr().raw() | WRITABLE,
    ];
    let m2p = [
        frame(LIST).maddr().raw() | 1,
        pfn_of(ALIAS.address(LIST)).raw(),
    ];
    // Whose number nobody has.
    let grants = [0, 0, 0x7000, 0];
    let lists = [
        Long {
            name: "multicall",
            call: number::MULTICALL,
            arguments: [0; 5],
            places: (0, 1),
            count: 1 << 18,
            words: &[number::XEN_VERSION, 0, 0, 0, 0, 0, 0, 0],
        },
        Long {
            name: "mmu_update of an entry",
            call: number::MMU_UPDATE,
            arguments: [0, 0, 0, own, 0],
            places: (0, 1),
            count: 1 << 19,
            words: &same,
        },
        Long {
            name: "mmu_update of the m2p",
            call: number::MMU_UPDATE,
            arguments: [0, 0, 0, own, 0],
            places: (0, 1),
            count: 1 << 19,
            words: &m2p,
        },
        Long {
            name: "mmuext_op",
            call: number::MMUEXT_OP,
            arguments: [0, 0, 0, own, 0],
            places: (0, 1),
            count: 1 << 18,
            // Elements do not begin on pages, so all words are the same: command and address.
            words: &[mmuext::INVLPG_LOCAL as u64],
        },
        Long {
            name: "grant mappings",
            call: number::GRANT_TABLE_OP,
            arguments: [grant::MAP_GRANT_REF as u64, 0, 0, 0, 0],
            places: (1, 2),
            count: 1 << 17,
            words: &grants,
        },
    ];
    for list in &lists {
        let (answer, events) = list.ask(&ticks);
        let room = if events >= ROOM { "room" } else { "no room" };
        tell(
            "loops",
            format_args!("{} of {:x}", list.name, list.count),
            format_args!("{answer}, {room} made for events"),
        );
    }
    changed(&ticks, &lists[0]);
    replaced(&ticks, &lists);
}

impl Long<'_> {
    /// Makes the call; its answer, and how many events there were.
    fn ask(&self, ticks: &Ticks) -> (i64, u64) {
        for slot in 0..512 {
            ALIAS.set(LIST, slot, self.words[slot % self.words.len()]);
        }
        let mut arguments = self.arguments;
        arguments[self.places.0] = BASE;
        arguments[self.places.1] = self.count;
        // SAFETY: what is asked for changes nothing, or does to the list's page what is written there.
        unsafe { ticks.call(self.call, arguments) }
    }
}

/// A batch whose elements become others while it is under way.
fn changed(ticks: &Ticks, list: &Long<'_>) {
    // Every other event makes them batches in a batch, which there are not.
    // SAFETY: the page is reached by address only.
    unsafe { ticks.change(ALIAS.address(LIST), number::XEN_VERSION ^ number::MULTICALL) };
    let (answer, events) = list.ask(ticks);
    ticks.leave_alone();
    let room = if events >= ROOM { "room" } else { "no room" };
    tell(
        "loops",
        format_args!("{} with other elements", list.name),
        format_args!("{answer}, {room} made for events"),
    );
}

/// Calls whose arguments become others while they are under way.
fn replaced(ticks: &Ticks, lists: &[Long<'_>]) {
    let own = u64::from(DomId::SELF.0);
    let forbidden = 0xffff_8300_0000_0000;
    let other = [
        ("nothing", [0, 0, 0, own, 0]),
        ("a list in the direct map", [forbidden, 4, 0, own, 0]),
        ("a list that is none", [1 << 47, 0x8000_0004, 0, own, 0]),
        ("a list at the end", [u64::MAX - 7, u64::MAX, 0, own, 0]),
        (
            "a count in the direct map",
            [BASE, 0x8000_0002, forbidden, own, 0],
        ),
        ("words of ones", [u64::MAX; 5]),
        ("no such domain", [BASE, 0x8000_0002, 0, 0x7000, 0]),
    ];
    for list in lists {
        for (name, arguments) in other {
            // Without a mark for what goes on, this would be an endless list that begins anew at each event.
            if list.call == number::MULTICALL && arguments[0] == BASE {
                continue;
            }
            ticks.replace(Some(arguments));
            let (answer, events) = list.ask(ticks);
            ticks.replace(None);
            let met = if events > 0 { "met" } else { "not met" };
            tell(
                "loops",
                format_args!("{} becomes {name}", list.name),
                format_args!("{answer}, {met}"),
            );
        }
    }
}

/// Maps the gibibyte.
fn map(domain: &Domain) -> bool {
    let frame = |n: usize| domain.mfn(pfn_of(ALIAS.address(n))).maddr().raw();
    ALIAS.set(0, 0, frame(1) | TABLE);
    for slot in 0..512 {
        ALIAS.set(1, slot, frame(2) | TABLE);
        ALIAS.set(2, slot, frame(LIST) | WRITABLE);
    }
    let root = domain.mfn(domain.root());
    (0..LIST).all(|level| tables::protect(domain, ALIAS.address(level)))
        && tables::write(root, (BASE >> 39) as usize, frame(0) | TABLE)
}
