# Cleans up after the process that started it, however that process ends.
#
# The process holds the other end of standard input and writes what is to be cleaned up, a line each.
# When it ends, be it by kill -9, the kernel closes the pipe: that is the sign to start.
# $1 is how many seconds a watched process has between its signal and kill -9.

trap '' HUP INT QUIT TERM
patience=$1
shift # From here on, the arguments are the directories to remove.
watched=
containers=

while read -r verb rest; do
    case $verb in
    watch) # PID:SIGNAL
        watched="$watched $rest"
        ;;
    forget) # PID
        kept=
        for entry in $watched; do
            [ "${entry%%:*}" = "$rest" ] || kept="$kept $entry"
        done
        watched=$kept
        ;;
    container) # NAME
        containers="$containers $rest"
        ;;
    remove) # A directory, to the end of the line
        set -- "$@" "$rest"
        ;;
    esac
done

# A zombie whose parent does not wait for it counts as dead.
alive() {
    kill -0 "$1" 2>/dev/null || return 1
    case $(cat "/proc/$1/stat" 2>/dev/null) in
    *') Z '*) return 1 ;;
    esac
}

any_alive() {
    for entry in $watched; do
        alive "${entry%%:*}" && return 0
    done
    return 1
}

for entry in $watched; do
    kill -"${entry##*:}" "${entry%%:*}" 2>/dev/null
done

ticks=$((patience * 10))
while [ "$ticks" -gt 0 ] && any_alive; do
    sleep 0.1
    ticks=$((ticks - 1))
done

for entry in $watched; do
    kill -9 "${entry%%:*}" 2>/dev/null
done

for name in $containers; do
    docker rm --force --volumes "$name"
done

# A server that was killed may have children that are still writing their last file.
for dir in "$@"; do
    rm -rf "$dir" || { sleep 1 && rm -rf "$dir"; }
done
