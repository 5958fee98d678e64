# machine: mem=1024 dom0=512 smp=2 seconds=20000
# Guests created, ballooned and destroyed over and over, three at a time: the frames are all back in the end.
# --set cycles=200 says how often; every one in --set linux=20 is of Linux, the others of pv-balloon, which starts faster.
cycles=${cycles:-200}
linux=${linux:-20}

has() {
    xl list "$1" | sed -n 2p | grep -qE "^$1 +[0-9]+ +$2 "
}

cycle() {
    for name in a b c; do
        create $name || return 1
    done
    for name in a b c; do
        ready $name && xl mem-set $name 80 || return 1
    done
    for name in a b c; do
        await 120 has $name 80 && xl mem-set $name 96 || return 1
    done
    for name in a b c; do
        await 120 has $name 96 && xl destroy $name || return 1
    done
    for name in a b c; do
        gone $name || return 1
        ! said $name WRONG || return 1
    done
}

# kernel FILE: what the guests of the next cycle run.
kernel() {
    for name in a b c; do
        config $name 'memory = 96' "kernel = '/boot/$1'"
    done
}

kernel vmlinux
# The first guest leaves dom0 with a few more frames of its own in use; the count begins after it.
step first cycle
await 10 false
free_at_start=$(frames_free)
say frames-free "$free_at_start"
number=1
while [ $number -le "$cycles" ]; do
    kernel pv-balloon
    [ $((number % linux)) != 0 ] || kernel vmlinux
    step cycle-$number cycle || break
    step frames-$number await 30 free_again "$free_at_start" || break
    step audit-$number audited || break
    number=$((number + 1))
done
say frames-free-at-the-end "$(frames_free)"
step list xl list
