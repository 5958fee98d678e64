# machine: mem=2048 dom0=640 smp=2 seconds=7200
# Every command of xl that a person managing guests uses, on guests of 1 to 4 vCPUs.

settled() {
    [ "$(frames_free)" -ge "$1" ]
}
state() {
    xl list "$1" | sed -n 2p
}

free_at_start=$(frames_free)

# Of the host.
step info xl info
step info-numa xl info -n
step list xl list
step list-long xl list -l
step list-verbose xl list -v
step list-cpupool xl cpupool-list
step vcpu-list xl vcpu-list
step uptime xl uptime
step dmesg-of-host sh -c 'xl dmesg | grep -m 1 -o "^(XEN)"'
step debug-keys xl debug-keys h
step sched-credit2 xl sched-credit2
step top-of-host xentop -b -i 1
step hptool-cpu sh -c '/usr/lib/xen-4.17/bin/xen-hptool 2>&1 | head -n 3'

# One guest.
config one
step create create one
step ready ready one
step list-with-guest xl list
step list-long-guest xl list -l one
step list-verbose-guest xl list -v
step domid xl domid one
step domname xl domname 1
step answer guest one 'echo "answer $((6 * 7))"'
# A person at a terminal: what is typed is answered, and Ctrl-] leaves.
console() {
    (sleep 1; echo 'echo by $((40 + 2)) console'; sleep 2; printf '\035'; sleep 1) |
        timeout 20 script -qec "xl console $1" /dev/null | tr -d '\r' | grep '^by 42 console'
}
step console console one
step vcpu-list-guest xl vcpu-list one
step vcpu-pin xl vcpu-pin one 0 1
step vcpu-list-pinned xl vcpu-list one
step vcpu-unpin xl vcpu-pin one 0 all
step top xentop -b -i 1
step sched-credit2-guest xl sched-credit2 -d one
step sched-credit2-weight xl sched-credit2 -d one -w 512
step sched-credit2-again xl sched-credit2 -d one
step uptime-guest xl uptime
step rename xl rename one uno
step list-renamed xl list uno
step rename-back xl rename uno one

# Pausing: nothing is answered meanwhile, and it goes on where it was.
step pause xl pause one
step list-paused state one
guest_patience=3
refused no-answer-while-paused guest one 'echo still there'
guest_patience=60
step unpause xl unpause one
step answer-after-pause guest one 'echo back'

# Memory.
step mem-set-down xl mem-set one 96
step ballooned-down await 30 sh -c 'xl list one | sed -n 2p | grep -qE "^one +[0-9]+ +96 "'
step memory-down guest one memory
step mem-set-up xl mem-set one 128
step ballooned-up await 30 sh -c 'xl list one | sed -n 2p | grep -qE "^one +[0-9]+ +128 "'
step memory-up guest one memory
step mem-max xl mem-max one 160
step list-after-mem-max xl list -l one
refused mem-set-above-max xl mem-set one 4096

# What looks into a guest.
step dump-core xl dump-core one /tmp/core
step core-is-elf sh -c 'head -c 4 /tmp/core | od -c | head -n 1; rm /tmp/core'
step xenctx sh -c "/usr/lib/xen-4.17/bin/xenctx $(xl domid one) 0 | grep -oE '^(rip|flags|rsp|cs|Stack|Code|Call Trace):'"
step lsevtchn sh -c "/usr/lib/xen-4.17/bin/lsevtchn $(xl domid one) | sed 's/ *[0-9]*: VCPU/VCPU/' | sort"
step mfndump-p2m sh -c "/usr/lib/xen-4.17/bin/xen-mfndump dump-p2m $(xl domid one) | sed -n 's/.*\[\(.*\)\].*/\1/p' | sort -u"
step mfndump-m2p sh -c '/usr/lib/xen-4.17/bin/xen-mfndump dump-m2p | tail -n 1'
step diag sh -c "/usr/lib/xen-4.17/bin/xen-diag gnttab_query_size $(xl domid one)"

# Ends of its own, and ends from outside.
step shutdown xl shutdown one
step shut-down gone one
step create-again create one
step ready-again ready one
step reboot xl reboot one
step rebooted await 120 sh -c '[ "$(grep -c "^small-guest: ready" /var/log/xen/console/guest-one.log)" -ge 2 ]'
step list-rebooted state one
step destroy xl destroy one
step gone gone one
refused destroy-nobody xl destroy one
refused create-nothing xl create /tmp/nothing.cfg

# Created paused.
config paused
step create-paused create paused -p
step list-created-paused state paused
step unpause-created xl unpause paused
step ready-created-paused ready paused
step destroy-created-paused xl destroy paused
step gone-created-paused gone paused

# Saved and restored.
config kept
step create-kept create kept
step ready-kept ready kept
step remember guest kept 'echo remembered > /tmp/note'
step save xl save kept /tmp/kept.save
step gone-saved gone kept
step restore xl restore /tmp/kept.save
rm -f /tmp/kept.save
step recall guest kept 'cat /tmp/note'
# The time it was away is not all the time there was.
step aged-little guest kept '[ "$(cut -d. -f1 /proc/uptime)" -lt 1000000 ]'
step destroy-kept xl destroy kept
step gone-kept gone kept

# A guest of four vCPUs.
config four 'vcpus = 4' 'memory = 160'
step create-four create four
step ready-four ready four
step vcpu-list-four xl vcpu-list four
step vcpu-set xl vcpu-set four 2
step vcpus-set await 30 sh -c '[ "$(xl list four | sed -n 2p | tr -s " " | cut -d" " -f4)" = 2 ]'
step nproc guest four nproc
refused vcpu-set-beyond-the-machine xl vcpu-set four 4
step vcpu-set-back xl vcpu-set --ignore-host four 4
# The guest has no udev: it is told of the CPUs, and takes them when somebody says so.
step vcpus-online guest four 'for n in 2 3; do at=/sys/devices/system/cpu/cpu$n/online; until [ -e $at ]; do usleep 100000; done; echo 1 > $at; done'
step nproc-back guest four nproc
step vcpu-list-back xl vcpu-list four
step destroy-four xl destroy four
step gone-four gone four

# Three at once, of which one panics, one spins, and one is not disturbed.
for name in calm panics spins; do
    config $name 'memory = 112'
    step create-$name create $name
done
for name in calm panics spins; do
    step ready-$name ready $name
done
step list-three xl list
guest_patience=2
note panic guest panics 'echo c > /proc/sysrq-trigger'
step gone-panicked gone panics
note spin guest spins 'while :; do :; done'
guest_patience=60
step calm-answers guest calm 'echo calm'
step list-spinning xl list
step destroy-spinning xl destroy spins
step gone-spinning gone spins
step calm-still-answers guest calm 'echo calm'
step destroy-calm xl destroy calm
step gone-calm gone calm

# Out of memory, and half-built: nothing is left of either.
config large 'memory = 8192'
refused create-too-large create large
config headless 'kernel = "/etc/motd"'
refused create-no-kernel create headless
step list-at-the-end xl list
step nothing-lost await 30 settled $((free_at_start - kept))
step audit audited
