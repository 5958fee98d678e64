//! What a domain finds at start of day (`public/xen.h`, `struct start_info`).

use crate::address::Mfn;
use crate::macros::wire;

/// Bytes of the command line, with its terminating zero.
pub const MAX_GUEST_CMDLINE: usize = 1024;

/// Bits of [`StartInfo::flags`].
pub mod flag {
    use crate::macros::numbers;
    numbers! { u32;
        /// The domain is privileged.
        PRIVILEGED = 1 << 0, "SIF_PRIVILEGED";
        /// The domain is the first control domain.
        INITDOMAIN = 1 << 1, "SIF_INITDOMAIN";
        /// `mod_start` is a list of modules ([`super::ModuleEntry`]).
        MULTIBOOT_MOD = 1 << 2, "SIF_MULTIBOOT_MOD";
        /// `mod_start` is a PFN.
        MOD_START_PFN = 1 << 3, "SIF_MOD_START_PFN";
        /// The tools can read a virtually mapped P2M.
        VIRT_P2M_4TOOLS = 1 << 4, "SIF_VIRT_P2M_4TOOLS";
        /// A byte of power management options.
        PM_MASK = 0xff << 8, "SIF_PM_MASK";
    }
}

wire! {
    /// The page RSI points at when a PV kernel starts (`struct start_info`).
    StartInfo {
        /// "xen-3.0-x86_64", zero-terminated.
        magic: [u8; 32],
        /// Pages the domain has.
        nr_pages: u64,
        /// Machine address of the shared info page.
        shared_info: u64,
        /// [`flag`] bits.
        flags: u32,
        /// Padding.
        pad0: u32,
        /// Frame of the xenstore page.
        store_mfn: Mfn,
        /// Xenstore's event channel.
        store_evtchn: u32,
        /// Padding.
        pad1: u32,
        /// Console, as a union of 16 bytes: for a guest the frame of the console page; for dom0 the offset of the
        /// video information from this structure (low 32 bits) and its size (high 32 bits).
        console_mfn: u64,
        /// For a guest the console's event channel; unused for dom0.
        console_evtchn: u32,
        /// Padding.
        pad2: u32,
        /// Virtual address of the page-table root.
        pt_base: u64,
        /// Page-table frames at start.
        nr_pt_frames: u64,
        /// Virtual address of the P2M.
        mfn_list: u64,
        /// Virtual address of the module, or its PFN (`MOD_START_PFN`); 0 if none.
        mod_start: u64,
        /// Bytes in the module.
        mod_len: u64,
        /// Command line, zero-terminated.
        cmd_line: [u8; MAX_GUEST_CMDLINE],
        /// First PFN of the P2M, when the kernel asked for it outside its first mapping.
        first_p2m_pfn: u64,
        /// Frames of the P2M there.
        nr_p2m_frames: u64,
    }
    /// One module of several (`struct xen_multiboot_mod_list`); the list is at `mod_start`.
    ModuleEntry {
        /// Address of the first byte.
        mod_start: u32,
        /// Address of the last byte.
        mod_end: u32,
        /// Address of its zero-terminated command line.
        cmdline: u32,
        /// Zero.
        pad: u32,
    }
    /// What dom0 needs to use a screen that is in text mode (`dom0_vga_console_info`, member `text_mode_3`).
    VgaTextInfo {
        /// [`video::TEXT_MODE_3`].
        video_type: u8,
        /// Padding.
        pad0: [u8; 3],
        /// Font height, pixels.
        font_height: u16,
        /// Cursor column.
        cursor_x: u16,
        /// Cursor row.
        cursor_y: u16,
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
        /// Padding, to the size of the graphics form.
        pad1: [u8; 26],
    }
    /// The same for a linear frame buffer (`dom0_vga_console_info`, member `vesa_lfb`).
    VgaLfbInfo {
        /// [`video::VESA_LFB`] or [`video::EFI_LFB`].
        video_type: u8,
        /// Padding.
        pad0: [u8; 3],
        /// Width, pixels.
        width: u16,
        /// Height, pixels.
        height: u16,
        /// Bytes per line.
        bytes_per_line: u16,
        /// Bits per pixel.
        bits_per_pixel: u16,
        /// Physical address, low 32 bits.
        lfb_base: u32,
        /// Size in units of 64 KiB.
        lfb_size: u32,
        /// Red: position and size in bits.
        red: [u8; 2],
        /// Green: position and size in bits.
        green: [u8; 2],
        /// Blue: position and size in bits.
        blue: [u8; 2],
        /// Reserved: position and size in bits.
        rsvd: [u8; 2],
        /// VESA capabilities.
        gbl_caps: u32,
        /// VESA mode attributes.
        mode_attrs: u16,
        /// Padding.
        pad1: u16,
        /// Physical address, high 32 bits.
        ext_lfb_base: u32,
    }
}

/// Kinds of screen: the first byte of the video information.
pub mod video {
    use crate::macros::numbers;
    numbers! { u8;
        /// VGA text mode 3.
        TEXT_MODE_3 = 0x03, "XEN_VGATYPE_TEXT_MODE_3";
        /// VESA linear frame buffer.
        VESA_LFB = 0x23, "XEN_VGATYPE_VESA_LFB";
        /// EFI linear frame buffer.
        EFI_LFB = 0x70, "XEN_VGATYPE_EFI_LFB";
    }
}
