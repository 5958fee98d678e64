# machine: mem=768 dom0=512 smp=2 seconds=20000 guest_loglvl=none
# Guests that do nothing but share memory with each other are killed at random moments, one or two at a time, beside a
# neighbour of their kind that stays. No frame is lost, and the neighbour goes on; each of them checks what it sees of
# the others. --set kills=N, --set seed=S, --set every=N for an audit after every N rounds, --set ops=LIST as for `pv-churn`.
kills=${kills:-50}
seed=${seed:-1}
every=${every:-5}
ops=${ops:-all}
# Guests that compute make waiting expensive.
await_pause=20000

# Real Xen has no audit, leaves in a frame what a living domain had there, and keeps some frames for its own heap.
frames | grep -q '^audit=' && ours=1 && strict=strict

# random LIMIT: sets $random to a number below LIMIT that follows from the seed and the numbers before.
state=$seed
random() {
    state=$(((state * 1103515245 + 12345) % 2147483648))
    random=$((state / 65536 % $1))
}

# churner NAME [OPTION...]: starts a guest of this kind.
churner() {
    rm -f "$console_logs/guest-$1.log"
    churner_name=$1
    shift
    {
        echo "name = '$churner_name'"
        echo "kernel = '/boot/pv-churn'"
        echo "memory = 16"
        echo "extra = 'ops=$ops $strict $*'"
    } > "/tmp/$churner_name.cfg"
    xl create -q -e -p "/tmp/$churner_name.cfg"
}

# Frames that nobody has and frames of domains, together: what the neighbour gives back or gets does not change it.
sum() {
    frames counts | awk -F= '/^(free|domain)/ { all += $2 } END { print all }'
}
# Only dom0, the neighbour and who is in $alive is left, and no frame is missing.
settled() {
    frames counts > /tmp/counts
    [ "$(grep -c '^domain' /tmp/counts)" = $((2 + $(echo $alive | wc -w))) ] || return 1
    [ -n "$alive" ] || [ -z "$ours" ] || [ "$(sum)" = "$sum_at_start" ]
}

# The neighbour has gone on since it was last looked at, and nobody has found a mistake.
beats() {
    cat "$console_logs/guest-neighbour.log" 2> /dev/null | grep -c '^churn: beat' || true
}
goes_on() {
    [ "$(beats)" -gt "$beats_before" ]
}
undisturbed() {
    ! grep -H 'panic' "$console_logs"/guest-*.log && beats_before=$(beats) && await 30 goes_on
}

# Applies a command of xl to the neighbour and to who is in $alive.
each() {
    for each_name in neighbour $alive; do
        xl "$1" "$each_name" || return 1
    done
}

# One or two guests start, and at a random moment one of those that are there, or both, are killed.
kill_some() {
    # `xl create` sleeps for three seconds, which cost nothing while nobody else runs.
    each pause || return 1
    for name in one two; do
        case " $alive " in *" $name "*) continue ;; esac
        random 100
        [ -z "$alive" ] || [ $random -lt 60 ] || continue
        random 32768
        churner $name peer=$neighbour seed=$random beat=2000 || return 1
        alive="$alive $name"
    done
    each unpause || return 1
    random 120
    usleep $((random * 1000))
    random 100
    # A guest that is left for the next kill is one that is in the middle of sharing with one that is gone.
    for name in $alive; do
        if [ $random -lt 70 ]; then
            xl destroy $name || return 1
            killed=$((killed + 1))
            alive=$(echo " $alive " | sed "s/ $name / /")
        fi
        random=$(((random + 50) % 100))
    done
    await 30 settled || {
        cat /tmp/counts
        echo "not $sum_at_start in all, or not only those of: $alive"
        return 1
    }
    grep -h panic "$console_logs"/guest-*.log && return 1
    return 0
}

# Dom0 goes first: what it does is what takes the time.
step weight xl sched-credit2 -d Domain-0 -w 65535
step create-neighbour churner neighbour steady "seed=$seed" beat=1000
neighbour=$(xl domid neighbour)
step unpause xl unpause neighbour
step start undisturbed
killed=0
alive=
kill_some > /dev/null
for name in $alive; do xl destroy $name; done
alive=
await 30 gone_now one
await 30 gone_now two
sum_at_start=$(sum)
say frames $sum_at_start
killed=0
round=0
while [ $killed -lt "$kills" ]; do
    round=$((round + 1))
    step round-$round kill_some || break
    if [ $((round % every)) = 0 ]; then
        step audit-$round audited || break
        step neighbour-$round undisturbed || break
    fi
done
for name in $alive; do
    step destroy-$name xl destroy $name
done
alive=
step settled await 30 settled
step audit audited
step undisturbed undisturbed
say kills $killed
note said tail -n 1 "$console_logs/guest-neighbour.log"
step destroy-neighbour xl destroy neighbour
