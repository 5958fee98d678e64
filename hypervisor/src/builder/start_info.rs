//! The start info page: what a domain is told at its start (`public/xen.h`, `struct start_info`).

use core::mem::size_of;

use xenocryst_abi::PAGE_SIZE;
use xenocryst_abi::start_info::{StartInfo, VgaLfbInfo, VgaTextInfo, flag, video};
use xenocryst_boot::info::{ColourField, Display};
use xenocryst_boot::layout::Layout;
use xenocryst_boot::notes::PvKernel;
use zerocopy::{FromZeros, IntoBytes};

use super::Files;
use super::frames::Frames;
use crate::domain::Domain;

/// What a 64-bit Xen calls itself.
const MAGIC: &[u8] = b"xen-3.0-x86_64";
/// And what it adds for kernels that say they can have page directories above 4 GiB, needless as that is with 64 bits.
const MAGIC_PAE: &[u8] = b"xen-3.0-x86_64p";

/// Writes the page.
pub fn write(
    domain: &Domain,
    frames: &Frames,
    layout: &Layout,
    kernel: &PvKernel<'_>,
    files: &Files<'_>,
    nr_pages: u64,
    display: Option<Display>,
) {
    let mut info = StartInfo::new_zeroed();
    let magic = if kernel.notes.pae_extended {
        MAGIC_PAE
    } else {
        MAGIC
    };
    info.magic[..magic.len()].copy_from_slice(magic);
    info.nr_pages = nr_pages;
    info.shared_info = domain.shared_info_mfn().maddr().raw();
    info.flags = flag::PRIVILEGED | flag::INITDOMAIN;
    info.pt_base = layout.tables;
    info.nr_pt_frames = layout.nr_tables();
    info.mfn_list = layout.p2m_address;
    if kernel.notes.init_p2m.is_some() {
        info.first_p2m_pfn = layout.p2m_pfn;
        info.nr_p2m_frames = layout.nr_p2m_frames();
    }
    let initrd_bytes = files.initrd.bytes().len() as u64;
    if initrd_bytes != 0 {
        info.mod_len = initrd_bytes;
        if kernel.notes.mod_start_pfn {
            info.flags |= flag::MOD_START_PFN;
            info.mod_start = layout.initrd_pfn;
        } else {
            info.mod_start = layout.start + layout.initrd_pfn * PAGE_SIZE;
        }
    }
    let screen = screen(display);
    // The union's form for dom0: where the screen's description is from the page's start, and its size.
    info.console_mfn = size_of::<StartInfo>() as u64 | (screen.len() as u64) << 32;
    // Its length was checked.
    for (to, byte) in info.cmd_line.iter_mut().zip(files.command_line.bytes()) {
        *to = byte;
    }
    let at = layout.start_info - layout.start;
    frames.zero(at, PAGE_SIZE);
    frames.write(at, info.as_bytes());
    frames.write(at + size_of::<StartInfo>() as u64, &screen);
}

/// The screen as the loader leaves it; without word from it, as the firmware does: VGA text mode, 80 by 25.
fn screen(display: Option<Display>) -> [u8; size_of::<VgaTextInfo>()] {
    match display {
        Some(Display::Graphics {
            address,
            pitch,
            width,
            height,
            depth,
            red,
            green,
            blue,
        }) => {
            let mut screen = VgaLfbInfo::new_zeroed();
            screen.video_type = video::EFI_LFB;
            screen.width = width as u16;
            screen.height = height as u16;
            screen.bytes_per_line = pitch as u16;
            screen.bits_per_pixel = depth.into();
            screen.lfb_base = address as u32;
            screen.ext_lfb_base = (address >> 32) as u32;
            screen.lfb_size = (u64::from(pitch) * u64::from(height)).div_ceil(1 << 16) as u32;
            let field = |colour: ColourField| [colour.position, colour.size];
            (screen.red, screen.green, screen.blue) = (field(red), field(green), field(blue));
            zerocopy::transmute!(screen)
        }
        Some(Display::Text { columns, rows, .. }) => text_screen(columns as u16, rows as u16),
        None => text_screen(80, 25),
    }
}

fn text_screen(columns: u16, rows: u16) -> [u8; size_of::<VgaTextInfo>()] {
    let mut screen = VgaTextInfo::new_zeroed();
    screen.video_type = video::TEXT_MODE_3;
    screen.font_height = 16;
    (screen.columns, screen.rows) = (columns, rows);
    zerocopy::transmute!(screen)
}
