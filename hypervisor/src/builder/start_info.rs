//! The start info page: what a domain is told at its start (`public/xen.h`, `struct start_info`).

use core::mem::size_of;

use xenocryst_abi::PAGE_SIZE;
use xenocryst_abi::start_info::{StartInfo, VgaTextInfo, flag, video};
use xenocryst_boot::layout::Layout;
use xenocryst_boot::notes::PvKernel;
use zerocopy::{FromZeros, IntoBytes};

use super::frames::Frames;
use crate::domain::Domain;

/// What a 64-bit Xen calls itself.
const MAGIC: &[u8] = b"xen-3.0-x86_64\0";

/// Writes the page.
pub fn write(
    domain: &Domain,
    frames: &Frames,
    layout: &Layout,
    initrd_bytes: u64,
    command_line: &str,
    kernel: &PvKernel<'_>,
) {
    let mut info = StartInfo::new_zeroed();
    info.magic[..MAGIC.len()].copy_from_slice(MAGIC);
    info.nr_pages = frames.count();
    info.shared_info = domain.shared_info_mfn().maddr().raw();
    info.flags = flag::PRIVILEGED | flag::INITDOMAIN;
    info.pt_base = layout.tables;
    info.nr_pt_frames = layout.nr_tables();
    info.mfn_list = layout.p2m_address;
    if kernel.notes.init_p2m.is_some() {
        info.first_p2m_pfn = layout.p2m_pfn;
        info.nr_p2m_frames = layout.nr_p2m_frames();
    }
    if initrd_bytes != 0 {
        info.mod_len = initrd_bytes;
        if kernel.notes.mod_start_pfn {
            info.flags |= flag::MOD_START_PFN;
            info.mod_start = layout.initrd_pfn;
        } else {
            info.mod_start = layout.start + layout.initrd_pfn * PAGE_SIZE;
        }
    }
    // The union's form for dom0: where the screen's description is from the page's start, and its size.
    info.console_mfn = size_of::<StartInfo>() as u64 | (size_of::<VgaTextInfo>() as u64) << 32;
    let length = command_line.len().min(info.cmd_line.len() - 1);
    info.cmd_line[..length].copy_from_slice(&command_line.as_bytes()[..length]);
    let at = layout.start_info - layout.start;
    frames.zero(at, PAGE_SIZE);
    frames.write(at, info.as_bytes());
    frames.write(at + size_of::<StartInfo>() as u64, screen().as_bytes());
}

/// The screen as the firmware leaves it: VGA text mode, 80 by 25.
fn screen() -> VgaTextInfo {
    let mut screen = VgaTextInfo::new_zeroed();
    screen.video_type = video::TEXT_MODE_3;
    screen.font_height = 16;
    screen.rows = 25;
    screen.columns = 80;
    screen
}
