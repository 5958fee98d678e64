//! What a boot loader says, in one form whichever protocol it spoke.
//!
//! Keeps true: strings and tables are borrowed from physical memory as the loader left it, so all of it must be used or copied
//! before that memory is handed out. Neighbours: [`crate::multiboot1`], [`crate::multiboot2`].

use crate::memory_map::MemoryMap;

/// The most modules that are taken note of.
pub const MAX_MODULES: usize = 16;

/// A file the boot loader put in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Module<'a> {
    /// Physical address of its first byte.
    pub start: u64,
    /// Physical address after its last byte.
    pub end: u64,
    /// Its command line, as the loader gives it: with QEMU and GRUB's Multiboot 1 the first word is the file's name.
    pub command_line: &'a str,
}

impl Module<'_> {
    /// Its size in bytes.
    pub const fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// Where one colour sits in a pixel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ColourField {
    /// Lowest bit.
    pub position: u8,
    /// Number of bits.
    pub size: u8,
}

/// The display as the loader left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Display {
    /// EGA text mode.
    Text {
        /// Physical address of the character cells.
        address: u64,
        /// Characters a line.
        columns: u32,
        /// Lines.
        rows: u32,
    },
    /// A linear frame buffer with direct colour.
    Graphics {
        /// Physical address of the first pixel.
        address: u64,
        /// Bytes a line.
        pitch: u32,
        /// Pixels a line.
        width: u32,
        /// Lines.
        height: u32,
        /// Bits a pixel.
        depth: u8,
        /// Red.
        red: ColourField,
        /// Green.
        green: ColourField,
        /// Blue.
        blue: ColourField,
    },
}

/// What the boot loader says.
#[derive(Clone, Debug, Default)]
pub struct BootInfo<'a> {
    /// The loader's name; empty when it gives none.
    pub loader: &'a str,
    /// The hypervisor's own command line, as given. See [`BootInfo::options`].
    pub raw_command_line: &'a str,
    /// The machine's memory.
    pub memory: MemoryMap,
    modules: [Module<'a>; MAX_MODULES],
    module_count: usize,
    /// Physical address of the ACPI root pointer structure (possibly a copy), if the loader tells it.
    pub rsdp: Option<u64>,
    /// The display, if the loader describes it.
    pub display: Option<Display>,
    /// Physical address of the EFI system table, when booted from 64-bit EFI.
    pub efi_system_table: Option<u64>,
    /// Modules, map entries or strings that were left out because they were malformed or too many.
    pub left_out: u32,
}

impl<'a> BootInfo<'a> {
    /// The modules, in the loader's order.
    pub fn modules(&self) -> &[Module<'a>] {
        self.modules.get(..self.module_count).unwrap_or(&[])
    }

    /// The hypervisor's options: the command line without the file's own name, which some loaders put first.
    pub fn options(&self) -> &'a str {
        if self.loader_omits_names() {
            self.raw_command_line.trim()
        } else {
            after_first_word(self.raw_command_line)
        }
    }

    /// Module `index`'s command line without the file's own name, which some loaders put first.
    pub fn module_options(&self, index: usize) -> Option<&'a str> {
        let module = self.modules().get(index)?;
        Some(if self.loader_omits_names() {
            module.command_line.trim()
        } else {
            after_first_word(module.command_line)
        })
    }

    /// Takes note of a module, or counts it as left out.
    pub(crate) fn add_module(&mut self, module: Module<'a>) {
        match self.modules.get_mut(self.module_count) {
            Some(slot) if module.start <= module.end => {
                *slot = module;
                self.module_count += 1;
            }
            _ => self.left_out += 1,
        }
    }

    /// GRUB 2 calls itself "GRUB 2.x" (its betas "GRUB 1.9x") and, unlike GRUB 0.9x and QEMU, gives arguments only.
    fn loader_omits_names(&self) -> bool {
        self.loader
            .split_once("GRUB ")
            .is_some_and(|(_, version)| !version.is_empty() && !version.starts_with('0'))
    }
}

/// `line` without its first word and the blanks around it.
fn after_first_word(line: &str) -> &str {
    line.trim_start()
        .split_once(char::is_whitespace)
        .map_or("", |(_, rest)| rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info<'a>(loader: &'a str, line: &'a str) -> BootInfo<'a> {
        BootInfo {
            loader,
            raw_command_line: line,
            ..BootInfo::default()
        }
    }

    #[test]
    fn the_files_name_is_dropped_unless_the_loader_is_grub_2() {
        assert_eq!(
            info("qemu", "xen.elf console=com1  x").options(),
            "console=com1  x"
        );
        assert_eq!(info("GNU GRUB 0.97", "/xen.gz  a").options(), "a");
        assert_eq!(
            info("GRUB 2.06-13", "placeholder a ").options(),
            "placeholder a"
        );
        assert_eq!(info("", "xen").options(), "");
    }

    #[test]
    fn modules_beyond_the_limit_are_counted() {
        let mut info = BootInfo::default();
        for n in 0..20 {
            info.add_module(Module {
                start: n,
                end: n + 1,
                command_line: "",
            });
        }
        info.add_module(Module {
            start: 5,
            end: 4,
            command_line: "",
        });
        assert_eq!(info.modules().len(), MAX_MODULES);
        assert_eq!(info.left_out, 5);
    }
}
