# What the lab's scripts are written with: steps with results, and guests that answer.

failed=0
# Where xenconsoled keeps what guests say.
console_logs=/var/log/xen/console

# A line that the host understands. It begins on a line of its own, whatever was printed before.
mark() {
    printf '\n==lab== %s\n' "$*"
}

# Hundredths of a second since the start.
now() {
    read -r up _ < /proc/uptime
    echo "${up%.*}${up#*.}"
}

# note NAME COMMAND...: runs a command or function as the step NAME, however it ends.
note() {
    step_name=$1
    shift
    mark "begin $step_name"
    step_start=$(now)
    "$@" 2>&1
    step_code=$?
    mark "end $step_name $step_code $(($(now) - step_start))"
    return $step_code
}

# step NAME COMMAND...: a step that must succeed.
step() {
    note "$@" || {
        failed=$((failed + 1))
        return 1
    }
}

# refused NAME COMMAND...: a step that must not succeed.
refused() {
    ! note "$@" || {
        failed=$((failed + 1))
        return 1
    }
}

# say NAME VALUE: a figure.
say() {
    mark "value $1 $2"
}

# await SECONDS COMMAND...: runs the command until it succeeds, each $await_pause microseconds; fails when it has not in time.
await_pause=200000
await() {
    await_end=$(($(now) + $1 * 100))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$(now)" -lt $await_end ] || return 1
        usleep $await_pause
    done
}

# config NAME [LINE...]: writes the description of a small guest to /tmp/NAME.cfg; LINEs come last and so decide.
config() {
    config_name=$1
    shift
    # The UUID is made of the name, so that it is the same in each run.
    config_uuid=$(echo "$config_name" | md5sum | sed 's/^\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)\(.\{12\}\).*/\1-\2-\3-\4-\5/')
    {
        echo "name = '$config_name'"
        echo "uuid = '$config_uuid'"
        sed 1,2d /etc/xen/small.cfg
        for config_line; do echo "$config_line"; done
    } > "/tmp/$config_name.cfg"
}

# create NAME [ARGUMENT...]: `xl create` of what config described.
create() {
    rm -f "$console_logs/guest-$1.log"
    create_name=$1
    shift
    xl create "/tmp/$create_name.cfg" "$@"
}

# said NAME PATTERN: whether the guest has said something since it was created.
said() {
    grep -qE "$2" "$console_logs/guest-$1.log"
}

# ready NAME: waits until the guest answers.
ready() {
    await 120 said "$1" '^small-guest: ready' || {
        tail -n 30 "$console_logs/guest-$1.log"
        return 1
    }
    grep '^small-guest: ready' "$console_logs/guest-$1.log"
}

# guest NAME COMMAND: types a command into the guest's console, prints what it says, and ends as it ended.
guest() {
    guest_log=$console_logs/guest-$1.log
    guest_number=$((${guest_number:-0} + 1))
    guest_tty=$(xenstore-read "/local/domain/$(xl domid "$1")/console/tty") || return 1
    guest_from=$(wc -c < "$guest_log")
    # The mark is typed in two parts, so that the echo of the typing is not taken for it.
    echo "echo; echo ==\"\"from $guest_number; $2; echo; echo ==\"\"to $guest_number \$?" > "$guest_tty"
    await "${guest_patience:-60}" guest_answered || {
        tail -c "+$((guest_from + 1))" "$guest_log"
        return 1
    }
    guest_answer=$(tail -c "+$((guest_from + 1))" "$guest_log" | tr -d '\r' | sed -n "/^==from $guest_number\$/,/^==to $guest_number /p")
    echo "$guest_answer" | sed -e '1d' -e '$d' | sed '${/^$/d}'
    return "$(echo "$guest_answer" | sed -n "s/^==to $guest_number //p")"
}

guest_answered() {
    tail -c "+$((guest_from + 1))" "$guest_log" | tr -d '\r' | grep -q "^==to $guest_number "
}

# gone NAME: waits until the guest is no longer there, nor what was left of it.
gone() {
    await 60 gone_now "$1"
}

gone_now() {
    ! xl domid "$1" && ! xl list | grep -q -e '^(null)' -e "^$1 "
}

# frames_free: how many frames nobody has.
frames_free() {
    frames counts | sed -n 's/^free=//p'
}

# Frames that the hypervisor's own heap may keep of those that it used for guests: none of Xenocryst's.
kept=0
grep -q xenocryst /sys/hypervisor/version/extra || kept=2048

# free_again N: whether N frames are free, as before.
free_again() {
    free_now=$(frames_free)
    [ "$free_now" -ge $(($1 - kept)) ] && [ "$free_now" -le $(($1 + kept)) ]
}

# audited: the hypervisor's audit of all frames, where it has one, finds nothing wrong.
audited() {
    frames > /tmp/frames && ! grep -E '^audit=[1-9]' /tmp/frames
}
