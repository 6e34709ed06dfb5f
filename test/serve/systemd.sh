#!/bin/bash
# The unit etc/ssvm.service under a systemd of its own: an installed ssvm is started as a service, a function is deployed, compiled and called, settings are
# read again, the main process killed, and the service stopped. Needs root, for namespaces (the machine's own systemd, files and network are not
# touched), and systemd, curl and clang. Usage: systemd.sh; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
set -euo pipefail
cd "$(dirname "$0")/../.."

inside() { # SCRATCH: in namespaces of our own, becomes systemd on a copy of / that is thrown away
    local scratch=$1 root=$1/root
    mount --make-rprivate /
    mount -t tmpfs upper "$scratch/upper"
    mkdir "$scratch/upper/files" "$scratch/upper/work"
    mount -t overlay -o "lowerdir=/,upperdir=$scratch/upper/files,workdir=$scratch/upper/work" overlay "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs run "$root/run"
    mount --rbind /dev "$root/dev"
    mount -t sysfs -o ro sysfs "$root/sys"
    if [ -e /sys/fs/cgroup/cgroup.procs ]; then
        mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
    else
        mount -t tmpfs cgroup "$root/sys/fs/cgroup"
        mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
        mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
        mount -t cgroup2 cgroup "$root/sys/fs/cgroup/unified"
    fi
    mkdir -p "$root/mnt/test"
    mount --bind "$scratch/shared" "$root/mnt/test"
    ip link set lo up
    cp -r "$scratch/installed/." "$root/"
    mkdir -p "$root/etc/ssvm"
    cp etc/ssvm-serve.yaml "$root/etc/ssvm/"
    cp "$scratch/shared/check.service" "$root/etc/systemd/system/"
    cp "$scratch/shared/check.target" "$root/etc/systemd/system/"
    cd "$root"
    container=ssvm-test exec chroot . /lib/systemd/systemd --system --unit=check.target --log-target=null --show-status=no
}

in_groups() { # SCRATCH: cgroups of our own, that the namespace shows as the root
    local group
    for group in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        [ -e "$group/cgroup.procs" ] || continue
        mkdir -p "$group/ssvm-test"
        echo $$ >"$group/ssvm-test/cgroup.procs"
    done
    exec unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup "$0" inside "$1"
}

case "${1:-}" in
inside) inside "$2" ;;
in_groups) in_groups "$2" ;;
esac

if [ "$(id -u)" != 0 ] || ! [ -x /lib/systemd/systemd ] || ! unshare --pid --fork --mount --net --cgroup true 2>/dev/null; then
    echo "0 passed, 0 failed, 1 skipped"
    exit
fi
build=$(realpath "${SSVM_BUILD:-build}")
scratch=$(mktemp -d -p /var/tmp)
supervisor=
end() {
    [ -z "$supervisor" ] || kill -9 "$supervisor" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$scratch"
    rmdir /sys/fs/cgroup/ssvm-test /sys/fs/cgroup/*/ssvm-test 2>/dev/null || true
}
trap end EXIT
mkdir "$scratch/upper" "$scratch/root" "$scratch/shared"
DESTDIR=$scratch/installed cmake --install "$build" >/dev/null
(cd "$scratch/shared" && "$build/ssvm" new --lang c greeting && "$build/ssvm" build greeting) >/dev/null
cp test/serve/systemd-check.sh "$scratch/shared/"
printf '[Unit]\nRequires=check.service\n' >"$scratch/shared/check.target"
printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/mnt/test/systemd-check.sh\nStandardOutput=file:/mnt/test/log\nStandardError=inherit\n' >"$scratch/shared/check.service"
"$0" in_groups "$scratch" >"$scratch/boot" 2>&1 </dev/null &
supervisor=$!
for ((i = 0; i < 600; i++)); do
    [ ! -e "$scratch/shared/done" ] || break
    kill -0 "$supervisor" 2>/dev/null || break
    sleep 0.2
done
if [ ! -e "$scratch/shared/done" ]; then
    cat "$scratch/boot" "$scratch/shared/log" 2>/dev/null || true
    echo "FAILED systemd: its checks did not come to an end"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
cat "$scratch/shared/log"
grep -q ' 0 failed' <(tail -1 "$scratch/shared/log")
