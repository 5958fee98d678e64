# machine: mem=1024 dom0=512 smp=2 seconds=20000
# A guest that uses its disk, its network card and its balloon is destroyed at a random moment; --set kills=N says how
# often. No frame is lost, and its neighbour notices nothing.
kills=${kills:-20}

dd if=/dev/zero of=/tmp/disk bs=1M count=8
losetup /dev/loop0 /tmp/disk
brctl addbr xenbr0
ifconfig xenbr0 192.168.77.1 netmask 255.255.255.0 up
config neighbour 'memory = 96' 'kernel = "/boot/vmlinux"'
config victim 'memory = 128' 'kernel = "/boot/vmlinux"' "disk = [ 'phy:/dev/loop0,xvda,w' ]" "vif = [ 'bridge=xenbr0,mac=00:16:3e:00:00:02' ]"
step create-neighbour create neighbour
step ready-neighbour ready neighbour

# What keeps a guest busy with grants and with its balloon, in the background of its shell.
busy='ifconfig eth0 192.168.77.2 up; (while :; do dd if=/dev/xvda of=/dev/null bs=64k; dd if=/dev/zero of=/dev/xvda bs=64k count=64; done; ) > /dev/null 2>&1 & ping 192.168.77.1 -i 0.1 > /dev/null 2>&1 & true'

kill_one() {
    create victim || return 1
    # One in three dies before it is up.
    moment=$(($(od -An -N2 -tu2 /dev/urandom) % 3000))
    if [ $((moment % 3)) != 0 ]; then
        ready victim && guest victim "$busy" || return 1
        xl mem-set victim $((96 + moment % 32)) || return 1
    fi
    usleep $((moment * 1000))
    xl destroy victim && gone victim && guest neighbour "echo kill $1"
}

step first kill_one 0
await 10 false
free_at_start=$(frames_free)
number=1
while [ $number -le "$kills" ]; do
    step kill-$number kill_one $number || break
    step frames-$number await 30 free_again "$free_at_start" || break
    step audit-$number audited || break
    number=$((number + 1))
done
step list xl list
