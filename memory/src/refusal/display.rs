//! The one readable line of a refusal.

use super::Refusal;
use core::fmt::{Display, Formatter, Result};

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let c = &self.context;
        write!(f, "{}:", self.rule)?;
        if let (Some(level), Some(table), Some(slot)) = (c.level, c.table, c.slot) {
            write!(f, " {level} table {table} slot {slot}")?;
        }
        if let Some(value) = c.value {
            write!(f, " value {value:#018x}")?;
        }
        if let Some(frame) = c.frame {
            write!(f, ", frame {frame}")?;
        }
        match c.found {
            Some(i) if !i.is_ram => f.write_str(" is no RAM")?,
            Some(i) if i.is_free => f.write_str(" is free")?,
            Some(i) if i.is_hypervisors => f.write_str(" is the hypervisor's")?,
            Some(i) => {
                match i.owner {
                    Some(owner) => write!(f, " belongs to {owner}")?,
                    None => f.write_str(" belongs to nobody")?,
                }
                write!(
                    f,
                    ", is {} used {} times, {} references",
                    i.frame_type, i.type_count, i.general_count
                )?;
                if i.pinned {
                    f.write_str(", pinned")?;
                }
                if let Some(cursor) = i.partial {
                    write!(f, ", half validated ({cursor} of 512)")?;
                }
                if i.special {
                    f.write_str(", shared by the hypervisor")?;
                }
            }
            None => {}
        }
        if let Some(owner) = c.wanted_owner {
            write!(f, "; wanted a frame of {owner}")?;
        }
        if let Some(t) = c.wanted_type {
            write!(f, "; wanted as {t}")?;
        }
        write!(f, ". {}", self.rule.sentence())
    }
}
