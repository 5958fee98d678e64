//! The hypervisor's command line: any text gives options, and amounts of memory that make sense.

use xenocryst_boot::cmdline::{MAX_COMPLAINTS, Options};

/// The command line is all of `data`.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let options = Options::parse(&text);
    assert!(options.complaints().len() <= MAX_COMPLAINTS);
    for complaint in options.complaints() {
        assert!(text.contains(complaint.option));
    }
    for available in [0, 1, 4096, 1 << 30, u64::MAX] {
        assert!(options.dom0_mem.bytes(available) <= available);
        let _ = options.dom0_mem.limit(available);
    }
    for cpus in [1, 64, u32::MAX] {
        assert!(options.dom0_max_vcpus.count(cpus) > 0);
    }
}

/// One line for each option, and one with all.
pub fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        "dom0_mem=512M,max:1G,min:64M",
        "dom0_mem=-128M dom0_mem=1G+25%",
        "dom0_max_vcpus=1-4 maxcpus=0x10 nosmp",
        "console=com1,vga com1=115200,8n1,0x3f8,4 com2=auto/14745600,7e2",
        "loglvl=all guest_loglvl=error/warning conring_size=64k",
        "noreboot=yes reboot=acpi,n mem=4G no-watchdog sync_console=off",
        "console_timestamps=boot unknown=1 -- ignored",
    ];
    let mut seeds: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    seeds.push(lines.join(" ").into_bytes());
    seeds
}
