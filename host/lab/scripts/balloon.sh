# machine: mem=1024 dom0=512 smp=1 seconds=3600
# Memory taken from a guest and given back, by the frame: what the guest has less, the machine has more.

value() {
    frames | sed -n "s/^$1=//p"
}
has() {
    [ "$(value "domain$domain")" = "$1" ]
}

config bubble 'memory = 160'
free_at_start=$(value free)
step create create bubble
step ready ready bubble
domain=$(xl domid bubble)
sum=$(($(value "domain$domain") + $(value free)))
full=$(value "domain$domain")

for mib in 144 100 128 90 160; do
    step "set-$mib" xl mem-set bubble $mib
    # The console's and the store's pages are beyond what a guest is asked to have.
    await 60 sh -c "xl list bubble | grep -qE ' $mib +1 '"
    step "memory-$mib" guest bubble memory
    say "frames-$mib" "$(value "domain$domain")"
    step "sum-$mib" [ "$(($(value "domain$domain") + $(value free)))" = "$sum" ]
    step "works-$mib" guest bubble 'dd if=/dev/zero of=/tmp/zeros bs=1M count=16 && rm /tmp/zeros'
done
step full-again has "$full"

# Frames that a guest gave away come back empty: what it wrote is not found in what the next one gets.
step write-secret guest bubble 'yes the-secret-of-bubble | head -c 25165824 > /tmp/secret; rm /tmp/secret'
step destroy xl destroy bubble
step gone gone bubble
config next 'memory = 160'
step create-next create next
step ready-next ready next
step dump-next xl dump-core next /tmp/core
refused no-secret grep -q the-secret-of-bubble /tmp/core
rm -f /tmp/core
step destroy-next xl destroy next
step gone-next gone next
step nothing-lost await 30 sh -c "[ \$(frames | sed -n 's/^free=//p') -ge $((free_at_start - kept)) ]"
step audit audited
