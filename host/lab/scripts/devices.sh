# machine: mem=1024 dom0=512 smp=2 seconds=3600
# A guest with a disk and a network card that dom0 serves: what is written and sent arrives unchanged.

# The checksum of a file, a disk, or what comes in.
checksum() {
    sha256sum "$@" | cut -d' ' -f1
}

# 8 MiB that differ everywhere.
step make-disk dd if=/dev/urandom of=/tmp/disk bs=1M count=8
step loop losetup /dev/loop0 /tmp/disk
step bridge brctl addbr xenbr0
step bridge-address ifconfig xenbr0 192.168.77.1 netmask 255.255.255.0 up
httpd -p 192.168.77.1:80 -h /tmp
# A second disk.
dd if=/dev/urandom of=/tmp/second bs=1M count=1
losetup /dev/loop1 /tmp/second

config served 'memory = 128' 'vcpus = 2' \
    "disk = [ 'phy:/dev/loop0,xvda,w' ]" \
    "vif = [ 'bridge=xenbr0,mac=00:16:3e:00:00:01' ]"

# A guest from its creation to its end; what it does is a step each, with this before its name.
served() {
    step $1-create create served
    step $1-ready ready served
    step $1-block-list xl block-list served
    step $1-network-list xl network-list served

    # The disk, as dom0 made it, in the guest.
    in_dom0=$(checksum /tmp/disk)
    in_guest=$(guest served 'sha256sum /dev/xvda' | cut -d' ' -f1)
    step $1-disk-read [ "$in_dom0" = "$in_guest" ]
    # What the guest writes, in dom0.
    step $1-disk-write guest served 'dd if=/dev/urandom of=/tmp/noise bs=1M count=4 && dd if=/tmp/noise of=/dev/xvda bs=64k seek=64 conv=notrunc,fsync'
    in_guest=$(guest served 'sha256sum /tmp/noise; rm /tmp/noise' | cut -d' ' -f1)
    in_dom0=$(dd if=/dev/loop0 bs=64k skip=64 iflag=direct | checksum)
    step $1-disk-written [ "$in_dom0" = "$in_guest" ]

    # The network, in both directions.
    step $1-guest-address guest served 'ifconfig eth0 192.168.77.2 netmask 255.255.255.0 up'
    step $1-ping guest served 'ping -c 3 -W 10 192.168.77.1 > /dev/null'
    step $1-ping-back sh -c 'ping -c 3 -W 10 192.168.77.2 > /dev/null'
    in_guest=$(guest served 'wget -q -O - http://192.168.77.1/disk | sha256sum' | cut -d' ' -f1)
    step $1-fetched [ "$(checksum /tmp/disk)" = "$in_guest" ]
    step $1-guest-serves guest served 'dd if=/dev/urandom of=/tmp/noise bs=1M count=4 && httpd -p 80 -h /tmp'
    wget -q -O /tmp/noise http://192.168.77.2/noise
    in_guest=$(guest served 'sha256sum /tmp/noise' | cut -d' ' -f1)
    step $1-fetched-back [ "$(checksum /tmp/noise)" = "$in_guest" ]

    # A disk that comes and goes while the guest runs.
    step $1-attach xl block-attach served 'phy:/dev/loop1,xvdb,w'
    step $1-attached guest served 'i=0; while [ ! -b /dev/xvdb ] && [ $i -lt 50 ]; do usleep 100000; i=$((i + 1)); done; [ -b /dev/xvdb ]'
    in_guest=$(guest served 'sha256sum /dev/xvdb' | cut -d' ' -f1)
    step $1-attached-read [ "$(checksum /tmp/second)" = "$in_guest" ]
    step $1-detach xl block-detach served xvdb

    step $1-destroy xl destroy served
    step $1-gone gone served
}

served first
# What dom0 maps of guests is noted in frames that the first of them makes it need, and that it keeps.
await 10 false
free_at_start=$(frames | sed -n 's/^free=//p')
served second
step nothing-lost await 30 sh -c "[ \$(frames | sed -n 's/^free=//p') -ge $((free_at_start - kept)) ]"
step audit audited
