# machine: mem=1024 dom0=512 smp=1 seconds=1800
# One guest from creation to its end; nothing of it is left.
free_memory() {
    xl info | sed -n 's/^free_memory *: //p'
}
before=$(free_memory)
config small
step create create small
step ready ready small
step list xl list
step answer guest small 'echo "answer $((6 * 7))"'
# The wall clock is dom0's.
step date guest small '[ "$(date +%Y)" -ge 2024 ]'
step memory guest small memory
step destroy xl destroy small
step gone gone small
step nothing-lost await 20 sh -c "[ \$(xl info | sed -n 's/^free_memory *: //p') -ge $before ]"
step audit audited
