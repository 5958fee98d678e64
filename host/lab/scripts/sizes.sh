# machine: mem=8192 dom0=640 smp=2 seconds=3600
# Guests from small to large, and what the larger ones give back.

# The first guest leaves dom0 with a few more frames of its own in use; the count begins after it.
for size in 32 32 64 512 2048; do
    config tiny "memory = $size" "kernel = '/boot/pv-balloon'"
    step create-$size create tiny
    step ready-$size ready tiny
    step list-$size sh -c "xl list tiny | sed -n 2p | grep -E '^tiny +[0-9]+ +$size '"
    step down-$size xl mem-set tiny $((size - 16))
    step smaller-$size await 60 sh -c "xl list tiny | sed -n 2p | grep -E '^tiny +[0-9]+ +$((size - 16)) '"
    step destroy-$size xl destroy tiny
    step gone-$size gone tiny
    [ -n "$free_at_start" ] || { await 10 false; free_at_start=$(frames_free); }
    step frames-$size await 30 free_again "$free_at_start"
done
for size in 96 1024 4096; do
    config linux "memory = $size" 'vcpus = 2' "kernel = '/boot/vmlinux'"
    step create-linux-$size create linux
    step ready-linux-$size ready linux
    step memory-$size guest linux 'free -m > /dev/null && echo free'
    step destroy-linux-$size xl destroy linux
    step gone-linux-$size gone linux
    step frames-linux-$size await 60 free_again "$free_at_start"
done
# Where the free frames lie in pieces: what is between two guests is given to a third.
for name in a b c d; do
    config $name 'memory = 1024' "kernel = '/boot/pv-balloon'"
    step create-$name create $name
    step ready-$name ready $name
done
for name in a c; do
    step destroy-$name xl destroy $name
    step gone-$name gone $name
done
for name in b d; do
    step mem-set-$name xl mem-set $name 512
    step half-$name await 60 sh -c "xl list $name | sed -n 2p | grep -E '^$name +[0-9]+ +512 '"
done
config sparse 'memory = 3072' "kernel = '/boot/vmlinux'"
step create-sparse create sparse
step ready-sparse ready sparse
for name in b d sparse; do
    step destroy-$name xl destroy $name
    step gone-$name gone $name
done
step nothing-lost await 60 free_again "$free_at_start"
step audit audited
