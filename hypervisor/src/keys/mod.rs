//! Debug keys: what the hypervisor tells of itself when asked, on the serial console (Ctrl-A three times, then the key) or
//! by `xl debug-keys`. The letters are Xen's where Xen has the key; `f` and [`AUDIT`] are our own.
//!
//! Keeps true: handlers run while the machine is quiet (see `quiet`), so that what they read stands still.
//! Neighbours: `quiet` (runs them), `console` and `hypercall::sysctl` (where keys come from), `audit`.

mod dumps;
#[cfg(debug_assertions)]
mod overflow;

use crate::arch::power;
use crate::audit;
use crate::console::say;
use crate::mm::snapshot;

/// The key of the audit of all frames. Xen has none of this letter.
pub const AUDIT: u8 = b'k';

/// One key.
pub struct Key {
    key: u8,
    help: &'static str,
    /// Whether `*` includes it.
    tells: bool,
    handle: fn(),
}

/// Every key, in the order of the list that `h` prints.
const KEYS: &[Key] = &[
    Key {
        key: b'*',
        help: "print all of what follows that only tells",
        tells: false,
        handle: all,
    },
    Key {
        key: b'0',
        help: "registers of dom0's vCPUs",
        tells: true,
        handle: dumps::dom0,
    },
    Key {
        key: b'R',
        help: "restart the machine",
        tells: false,
        handle: restart,
    },
    Key {
        key: b'd',
        help: "registers of what each CPU runs",
        tells: true,
        handle: dumps::cpus,
    },
    Key {
        key: b'f',
        help: "list all frames, for a map (cargo xtask map)",
        tells: false,
        handle: snapshot::print,
    },
    Key {
        key: b'h',
        help: "this list",
        tells: false,
        handle: help,
    },
    Key {
        key: AUDIT,
        help: "audit all frames",
        tells: true,
        handle: audit_all,
    },
    Key {
        key: b'm',
        help: "memory",
        tells: true,
        handle: dumps::memory,
    },
    #[cfg(debug_assertions)]
    Key {
        key: b'o',
        help: "run off the stack, to see that it is noticed (only where assertions are)",
        tells: false,
        handle: overflow::run,
    },
    Key {
        key: b'q',
        help: "domains and their vCPUs",
        tells: true,
        handle: dumps::domains,
    },
    Key {
        key: b'r',
        help: "run queues",
        tells: true,
        handle: dumps::run_queues,
    },
];

/// What `key` stands for.
pub fn find(key: u8) -> Option<&'static Key> {
    KEYS.iter().find(|known| known.key == key)
}

/// Handles `key`. The machine is quiet.
pub fn handle(key: u8) {
    if let Some(known) = find(key) {
        (known.handle)();
    }
}

fn help() {
    say!("Keys:");
    for known in KEYS {
        say!(" '{}': {}", char::from(known.key), known.help);
    }
}

fn all() {
    for known in KEYS.iter().filter(|known| known.tells) {
        say!("'{}': {}", char::from(known.key), known.help);
        (known.handle)();
    }
}

fn restart() {
    say!("Restarting the machine");
    power::reboot()
}

fn audit_all() {
    audit::run();
}
