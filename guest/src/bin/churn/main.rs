//! A PV kernel that does nothing but what domains may do with each other's memory, as fast as it can, until it is killed:
//! grants of every kind, frames that come and go, page tables with grants in them.
//!
//! Several of these are to run side by side. Each tries the others' references, whose meaning it knows ([`table`]); every
//! answer is right, except those that would show a mistake of the hypervisor's: what is mapped or copied holds the granter's
//! marks, a grant gives no more than was granted and to nobody else, a frame that is new to a domain is empty. Such a
//! mistake ends the domain with the line `guest panic: ...`.
//!
//! Options on its command line: `seed=N`; `peer=N` (a domain to turn to often); `ops=all` or some of `map,copy,transfer,
//! balloon,exchange,table,tree`; `steady` (its grant table and records of mappings keep their size, so that frames can be
//! counted while it runs); `strict` (new frames must be empty, and a refused transfer must leave the frame: so on Xenocryst, not
//! on Xen); `beat=N` (operations from one line of counts to the next).
#![no_std]
#![no_main]

use xenocryst_guest::abi::DomId;
use xenocryst_guest::abi::grant_table::entry_flag;
use xenocryst_guest::domain::Domain;
use xenocryst_guest::rng::Rng;
use xenocryst_guest::{kernel, println};

mod arena;
mod balloon;
mod mapping;
mod moving;
mod peers;
mod table;
mod tally;
mod trees;

use arena::{Arena, GRANT_SLOTS};
use balloon::Reserve;
use mapping::Slots;
use peers::{BLOCKS, Peers};
use table::{Entry, Meaning, PART, PER_BLOCK, Table, reference};
use tally::{Kind, Tally};
use trees::{TREES, Tree};

kernel!(main);

/// Steps between two sweeps of mappings that have become old.
const SWEEP: u64 = 100;
/// Steps between two looks at the domain's own marks.
const LOOK: u64 = 500;

/// Everything the guest knows.
struct Churn<'d> {
    domain: &'d Domain,
    rng: Rng,
    peers: Peers,
    arena: Arena,
    table: Table,
    slots: Slots,
    reserve: Reserve,
    trees: [Tree; TREES],
    tally: Tally,
    /// Operations so far.
    steps: u64,
    /// Whether grants are to be written anew.
    stale: bool,
    /// Whether it must be as only Xenocryst promises.
    strict: bool,
    steady: bool,
}

/// Something that may be done: what the command line calls it, how often among a hundred it is, and how it is done.
type Operation<'d> = (&'static str, u64, fn(&mut Churn<'d>));

/// All of them.
fn operations<'d>() -> [Operation<'d>; 15] {
    [
        ("map", 14, Churn::map),
        ("map", 12, |churn| churn.unmap(false)),
        ("map", 4, Churn::replace),
        ("copy", 14, Churn::copy),
        ("copy", 2, Churn::flush),
        ("transfer", 8, Churn::transfer),
        ("transfer", 8, Churn::accept_some),
        ("balloon", 6, Churn::decrease),
        ("balloon", 5, Churn::populate),
        ("balloon", 3, Churn::increase),
        ("balloon", 2, Churn::rename),
        ("exchange", 5, Churn::exchange),
        ("table", 5, Churn::change_table),
        ("table", 4, Churn::regrant_some),
        ("tree", 8, Churn::tree),
    ]
}

fn main(domain: &Domain) -> ! {
    let seed = domain.option("seed").unwrap_or(1);
    let peers = Peers::new(domain.option("peer").map(|id| id as u16));
    let arena = Arena::new(domain, peers.me);
    let mut churn = Churn {
        domain,
        rng: Rng::new(seed, u64::from(peers.me)),
        table: Table::new(&arena),
        peers,
        arena,
        slots: [None; GRANT_SLOTS],
        reserve: Reserve::new(),
        trees: [Tree::NONE; TREES],
        tally: Tally::new(),
        steps: 0,
        stale: false,
        strict: domain.has_option("strict"),
        steady: domain.has_option("steady"),
    };
    churn.begin();
    println!("churn: begin, domain {}, seed {seed}", churn.peers.me);
    let wanted = Wanted(domain.command_line());
    let operations = operations();
    let all = operations
        .iter()
        .filter(|operation| wanted.has(operation.0))
        .map(|operation| operation.1)
        .sum();
    let beat = domain.option("beat").unwrap_or(10_000).max(1);
    loop {
        let mut at = churn.rng.below(all);
        let chosen = operations
            .iter()
            .filter(|operation| wanted.has(operation.0))
            .find(|operation| {
                let here = at < operation.1;
                at = at.wrapping_sub(operation.1);
                here
            });
        if let Some(operation) = chosen {
            operation.2(&mut churn);
        }
        churn.steps += 1;
        churn.keep_house();
        if churn.steps.is_multiple_of(beat) {
            println!("churn: beat {}{}", churn.steps, churn.tally);
        }
    }
}

/// The operations that the command line asks for.
struct Wanted<'l>(&'l str);

impl Wanted<'_> {
    /// Whether those called `name` are among them.
    fn has(&self, name: &str) -> bool {
        self.0
            .split_ascii_whitespace()
            .find_map(|word| word.strip_prefix("ops="))
            .is_none_or(|list| list.split(',').any(|word| word == name || word == "all"))
    }
}

impl Churn<'_> {
    /// Grants for the first time, with a table of a random layout.
    fn begin(&mut self) {
        if self.steady {
            assert!(self.table.grow(&self.arena, 4), "a larger table");
        }
        if self.steady || self.rng.chance(50) {
            assert!(self.table.change_version(&self.arena), "version 2");
            self.table.grow(&self.arena, 2);
        }
        self.regrant();
        if self.steady {
            self.fill_records();
        }
    }

    /// What is done every now and then whatever is asked for.
    fn keep_house(&mut self) {
        if core::mem::take(&mut self.stale) {
            self.regrant();
        }
        if self.steps.is_multiple_of(SWEEP) {
            self.unmap(true);
            for tree in 0..TREES {
                if self.rng.chance(20) {
                    self.fell(tree);
                }
            }
            self.forget_granted();
        }
        if self.steps.is_multiple_of(LOOK) {
            self.arena.check_own();
        }
    }

    /// Writes all grants as they are to be now.
    fn regrant(&mut self) {
        for block in 0..=BLOCKS {
            self.regrant_block(block);
        }
    }

    /// Those of one block.
    fn regrant_block(&mut self, block: u32) {
        let Some(domain) = self.peers.of_block(block) else {
            return;
        };
        for n in 0..PER_BLOCK {
            let reference = reference(block, n);
            if !self.table.has(reference) {
                continue;
            }
            let entry = match Meaning::of(n) {
                Meaning::Read(page) => self.page(page, domain, entry_flag::READONLY, 0),
                Meaning::Write(page) => self.page(page, domain, 0, 0),
                Meaning::Part(_) if self.table.version() == 1 => continue,
                Meaning::Part(page) => {
                    let flags = entry_flag::READONLY | entry_flag::SUB_PAGE;
                    self.page(page, domain, flags, PART)
                }
                Meaning::Passing => {
                    self.grant_passing(block);
                    continue;
                }
                Meaning::Accept => {
                    self.accept(block);
                    if self.table.is_accepting(reference) {
                        continue;
                    }
                    Entry {
                        flags: entry_flag::ACCEPT_TRANSFER,
                        domain,
                        frame: xenocryst_guest::abi::Mfn::new(0),
                        part: 0,
                    }
                }
            };
            self.table.grant(reference, &entry);
        }
    }

    /// The entry that grants a page of the image.
    fn page(&self, page: usize, domain: u16, flags: u16, part: u16) -> Entry {
        Entry {
            flags: entry_flag::PERMIT_ACCESS | flags,
            domain,
            frame: self.arena.shared(page),
            part,
        }
    }

    /// Ends the access of a block, and grants it anew.
    fn regrant_some(&mut self) {
        let block = self.rng.below(u64::from(BLOCKS) + 1) as u32;
        self.regrant_block(block);
    }

    /// Takes the frames that have come by some block.
    fn accept_some(&mut self) {
        for block in 0..=BLOCKS {
            self.accept(block);
        }
    }

    /// Changes the table as a whole: its layout, its size, its status frames.
    fn change_table(&mut self) {
        match self.rng.below(4) {
            0 if !self.steady => {
                self.accept_some();
                let changed = self.table.change_version(&self.arena);
                self.tally.one(Kind::Version, changed);
                self.stale |= changed;
            }
            1 if !self.steady => {
                let frames = 1 + self.rng.below(4) as usize;
                let grown = self.table.grow(&self.arena, frames);
                self.tally.one(Kind::Table, grown);
                self.stale |= grown;
            }
            2 => {
                let wanted = self.rng.chance(60);
                let mapped = self.table.map_statuses(&self.arena, wanted);
                self.tally.one(Kind::Table, mapped);
            }
            _ => {
                let id = if self.rng.chance(50) {
                    DomId::SELF
                } else {
                    DomId(self.peers.pick(&mut self.rng))
                };
                self.tally.one(Kind::Size, Table::query_size(id) == 0);
            }
        }
    }
}
