//! The request language: what a guest, a toolstack or the hardware may do to a machine, one request a line.
//!
//! A line is a verb and its fields, as in `pin dom=1 frame=0x2a level=4 budget=17`. Numbers are decimal or, with `0x`,
//! hexadecimal. Everything after `#` is a comment. A request stands for itself: it holds no pointer to what an earlier
//! one answered, so that any part of a trace is a trace.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// A budget of work that never runs out.
pub const UNLIMITED: u64 = u32::MAX as u64;

/// Stands for "no PFN" in requests that may have one.
pub const NO_PFN: u64 = u64::MAX;

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident = $verb:literal { $($field:ident: $about:literal),* $(,)? })*) => {
        /// One request.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Request {
            $($(#[$doc])* $name { $(#[doc = $about] $field: u64),* }),*
        }

        impl Request {
            /// Every verb, in the order of the list.
            pub const VERBS: &'static [&'static str] = &[$($verb),*];

            /// What the line begins with.
            #[must_use]
            pub fn verb(&self) -> &'static str {
                match self { $(Self::$name { .. } => $verb),* }
            }

            /// The fields, by name, so that they can be changed one by one.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                match *self { $(Self::$name { $($field),* } => vec![$((stringify!($field), $field)),*]),* }
            }

            /// A request from its verb and fields; missing fields are an error, as are unknown ones.
            pub fn from_fields(verb: &str, fields: &[(&str, u64)]) -> Result<Self, String> {
                let names: &[&str] = match verb {
                    $($verb => &[$(stringify!($field)),*],)*
                    _ => return Err(format!("there is no request {verb:?}")),
                };
                if let Some((name, _)) = fields.iter().find(|(name, _)| !names.contains(name)) {
                    return Err(format!("{verb} has no field {name:?}"));
                }
                let field = |wanted: &str| {
                    let found = fields.iter().find(|(name, _)| *name == wanted);
                    found.map(|(_, value)| *value).ok_or_else(|| format!("{verb} lacks {wanted}"))
                };
                Ok(match verb {
                    $($verb => Self::$name { $($field: field(stringify!($field))?),* },)*
                    _ => return Err(format!("there is no request {verb:?}")),
                })
            }
        }
    };
}

requests! {
    /// One element of `mmu_update`.
    Update = "update" {
        dom: "who calls", tables: "whose tables", pages: "whose frames (3: `DOMID_IO`)",
        at: "address of the entry; low bits are the command", value: "the entry, or the PFN", budget: "work allowed",
    }
    /// `update_va_mapping` on the kernel root of a vCPU.
    Va = "va" { dom: "who calls", vcpu: "its vCPU", pages: "whose frames", address: "linear", value: "the entry" }
    /// `MMUEXT_PIN_Ln_TABLE`.
    Pin = "pin" { dom: "who calls", frame: "the table", level: "1 to 4", budget: "work allowed" }
    /// `MMUEXT_UNPIN_TABLE`.
    Unpin = "unpin" { dom: "who calls", frame: "the table", budget: "work allowed" }
    /// `MMUEXT_NEW_BASEPTR` and `MMUEXT_NEW_USER_BASEPTR`: the new root is taken, then the old one given back.
    Root = "root" { dom: "who calls", vcpu: "its vCPU", user: "1 for the user root", frame: "the L4", budget: "work allowed" }
    /// Gives a root back: a vCPU goes down, or a user root is set to nothing.
    DropRoot = "drop-root" { dom: "whose", vcpu: "its vCPU", user: "1 for the user root", budget: "work allowed" }
    /// Carries on what an interrupted operation left to unwind.
    Finish = "finish" { dom: "whose", budget: "work allowed" }
    /// `MMUEXT_CLEAR_PAGE`.
    Clear = "clear" { dom: "who calls", frame: "what is cleared" }
    /// `MMUEXT_COPY_PAGE`.
    Copy = "copy" { dom: "who calls", to: "target", from: "source" }
    /// A plain store to a page that is mapped read-only because it is an L1 table.
    Store = "store" {
        dom: "whose", vcpu: "its vCPU", fault: "CR2", address: "where the store goes", width: "bytes", value: "stored",
    }
    /// A compare-exchange to such a page.
    Exchange8 = "cmpxchg" {
        dom: "whose", vcpu: "its vCPU", fault: "CR2", address: "where the store goes", width: "bytes",
        expected: "compared with", value: "stored",
    }
    /// Takes a frame as descriptor page of a window slot, and gives the former one back.
    Window = "window" { dom: "who calls", vcpu: "its vCPU", slot: "0 to 3", frame: "the page" }
    /// Gives the descriptor page of a window slot back.
    Unwindow = "unwindow" { dom: "whose", vcpu: "its vCPU", slot: "0 to 3" }
    /// `update_descriptor`.
    Descriptor = "descriptor" { dom: "who calls", at: "machine address", value: "the descriptor" }
    /// The hypervisor takes a reference of a request's own on a frame.
    Hold = "hold" { dom: "whose frame", frame: "which", writable: "1 for a writable type reference too" }
    /// And gives it back.
    Release = "release" { dom: "whose frame", frame: "which", writable: "as it was taken" }
    /// Makes the counts of a frame stand near their limits, as though so many held it.
    Weigh = "weigh" { dom: "whose frame", frame: "which", general: "references", typed: "uses of its type" }
    /// Takes all that weight off.
    Unweigh = "unweigh" { frame: "which" }
    /// A store by the guest to memory of its own, where nothing forbids it to have a writable mapping.
    Write = "write" { dom: "who stores", frame: "where", slot: "which word", value: "what" }
    /// The CPU sets Accessed or Dirty in a live entry.
    Mark = "mark" { frame: "the table", slot: "which entry", bits: "what is set" }
    /// One extent of `XENMEM_populate_physmap`, or of `XENMEM_increase_reservation` if there is no PFN.
    Populate = "populate" { dom: "who calls", order: "size", bits: "address limit", pfn: "or 2^64-1" }
    /// One extent of `XENMEM_decrease_reservation`.
    Decrease = "decrease" { dom: "who calls", frame: "the first", order: "size" }
    /// One chunk of `XENMEM_exchange`.
    Exchange = "exchange" {
        dom: "who calls", first: "first frame given", inputs: "extents given", in_order: "their size",
        blocks: "extents wanted", order: "their size", bits: "address limit", pfn: "first PFN",
        end: "0: as it should, 1: abandoned, 2: the domain dies meanwhile",
    }
    /// The most frames a domain may own.
    Limit = "limit" { dom: "whose", frames: "how many" }
    /// Whether not-present entries are checked for L1TF.
    L1tf = "l1tf" { dom: "whose", on: "0 or 1" }
    /// The hypervisor shares a frame of its own with a domain.
    Share = "share" { dom: "with whom", writable: "0 or 1" }
    /// The hypervisor takes a shared frame back and frees it.
    Unshare = "unshare" { dom: "from whom", frame: "which" }
    /// A domain dies: its vCPUs give back what they hold.
    Die = "die" { dom: "who" }
    /// One slice of a dying domain's teardown.
    Relinquish = "relinquish" { dom: "who", budget: "work allowed" }
    /// A new domain by the number of one that is quite gone.
    Birth = "birth" { dom: "who" }
    /// A range of I/O frames that a domain may map from now on, or may not (`XEN_DOMCTL_iomem_permission`).
    Io = "io" { dom: "whose right", frame: "the first", last: "the last", allow: "0 or 1" }
    /// `GNTTABOP_setup_table`: at least so many frames.
    GrantSetup = "grant-setup" { dom: "whose table", frames: "how many" }
    /// `GNTTABOP_set_version`.
    GrantVersion = "grant-version" { dom: "whose table", version: "1 or 2" }
    /// `GNTTABOP_swap_grant_ref`.
    GrantSwap = "grant-swap" { dom: "whose table", reference: "one entry", other: "the other" }
    /// `GNTTABOP_map_grant_ref`.
    GrantMap = "grant-map" {
        dom: "who maps", vcpu: "its vCPU", granter: "whose grant", reference: "which", flags: "GNTMAP_*", host: "host_addr",
    }
    /// One element of `GNTTABOP_unmap_grant_ref`, or of `GNTTABOP_unmap_and_replace` if `new` is not 0. What it held is
    /// let go by `grant-release` only.
    GrantUnmap = "grant-unmap" {
        dom: "who maps", vcpu: "its vCPU", handle: "which mapping", host: "host_addr, or 0", bus: "dev_bus_addr, or 0",
        new: "new_addr, or 0",
    }
    /// The end of a batch of unmappings: the flush, and what they held.
    GrantRelease = "grant-release" { dom: "who maps" }
    /// `GNTTABOP_copy`.
    GrantCopy = "grant-copy" {
        dom: "who copies", source: "from whose grant (3: a frame of one's own)", from: "the grant, or the frame",
        from_offset: "first byte", target: "to whose grant (3: a frame of one's own)", to: "the grant, or the frame",
        to_offset: "first byte", length: "bytes",
    }
    /// `GNTTABOP_transfer`.
    GrantTransfer = "grant-transfer" { dom: "who gives", frame: "which", granter: "to whom", reference: "by which entry" }
    /// Lets go of mappings of a dying domain.
    GrantLetGo = "grant-let-go" { dom: "who dies", mappings: "how many" }
    /// Takes the table and the track of a dying domain away, as far as nobody uses them.
    GrantDestroy = "grant-destroy" { dom: "who dies" }
    /// A CPU switches to the address space of a domain, flushing its TLB.
    Switch = "switch" { cpu: "which", dom: "to whom" }
}

impl Request {
    /// The work allowed, if it is limited.
    #[must_use]
    pub fn budget(&self) -> Option<u64> {
        self.field("budget").filter(|&budget| budget < UNLIMITED)
    }

    /// A field by its name.
    #[must_use]
    pub fn field(&self, wanted: &str) -> Option<u64> {
        self.fields()
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|&(_, value)| value)
    }

    /// The domain whose tables are worked on.
    #[must_use]
    pub fn tables(&self) -> usize {
        self.field("tables").or(self.field("dom")).unwrap_or(0) as usize
    }
}

impl Display for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())?;
        for (name, value) in self.fields() {
            if value < 10 || name == "budget" || name == "pfn" {
                write!(f, " {name}={value}")?;
            } else {
                write!(f, " {name}={value:#x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Request {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let verb = words.next().ok_or("an empty line")?;
        let fields = words.map(field).collect::<Result<Vec<_>, _>>()?;
        Self::from_fields(verb, &fields)
    }
}

fn field(word: &str) -> Result<(&str, u64), String> {
    let (name, value) = word
        .split_once('=')
        .ok_or_else(|| format!("{word:?} is no field"))?;
    let number = match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => value.parse(),
    };
    Ok((name, number.map_err(|_| format!("{value:?} is no number"))?))
}

/// Reads a trace: a request a line.
pub fn parse(text: &str) -> Result<Vec<Request>, String> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number, line.split('#').next().unwrap_or("").trim()))
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            line.parse()
                .map_err(|error| format!("line {}: {error}", number + 1))
        })
        .collect()
}

/// Writes a trace.
#[must_use]
pub fn print(trace: &[Request]) -> String {
    trace.iter().map(|request| format!("{request}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_trace_reads_back_as_itself() {
        let trace = [
            Request::Pin {
                dom: 1,
                frame: 0x2a,
                level: 4,
                budget: UNLIMITED,
            },
            Request::Populate {
                dom: 2,
                order: 0,
                bits: 0,
                pfn: NO_PFN,
            },
        ];
        assert_eq!(parse(&print(&trace)), Ok(trace.to_vec()));
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number() {
        let error = parse("# nothing\nbirth dom=1\npin dom=1 frame=2 level=1").unwrap_err();
        assert!(
            error.contains("line 3") && error.contains("budget"),
            "{error}"
        );
        assert!(parse("jump dom=1").is_err() && parse("birth dom=1 x=2").is_err());
    }
}
