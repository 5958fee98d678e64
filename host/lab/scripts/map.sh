# machine: mem=1024 dom0=400 smp=1 seconds=3600
# Snapshots of machine memory for `cargo xtask map`: dom0 alone, two guests, one of them ballooned down, and up again.
snapshot() {
    say snapshot "$1"
    step "key-$1" xl debug-keys f
}
has() {
    xl list "$1" | sed -n 2p | grep -qE "^$1 +[0-9]+ +$2 "
}
say domain-0 dom0
snapshot dom0-alone
for name in left right; do
    config $name 'memory = 160'
    step create-$name create $name
    say "domain-$(xl domid $name)" $name
done
step ready-left ready left
step ready-right ready right
snapshot two-guests
step mem-set-down xl mem-set left 96
step ballooned-down await 60 has left 96
snapshot ballooned-down
step mem-set-up xl mem-set left 160
step ballooned-up await 60 has left 160
snapshot ballooned-up-again
step destroy-left xl destroy left
step gone-left gone left
snapshot one-destroyed
