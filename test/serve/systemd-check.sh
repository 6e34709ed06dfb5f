#!/bin/bash
# What systemd.sh runs as a service beside ssvm.service.
set -u
export HOME=/root PATH=/usr/local/bin:$PATH
url=http://127.0.0.1:8080
data=/var/lib/private/ssvm/.ssvm
passed=0 failed=0
check() { # NAME WANT GOT
    # shellcheck disable=SC2053 # a pattern
    if [[ $3 == $2 ]]; then
        echo "ok      $1"
        passed=$((passed + 1))
    else
        printf 'FAILED  %s: %s\n' "$1" "$3"
        failed=$((failed + 1))
    fi
}
until_true() { # COMMAND...: within half a minute
    local i
    for ((i = 0; i < 150; i++)); do
        "$@" && return
        sleep 0.2
    done
    return 1
}
answers() { curl -s -o /dev/null "$url/"; }
greets() { [ "$(curl -s -d Ada "$url/f/greeting")" = "Hello, Ada!" ]; }
is_main() { [ "$(systemctl show -p MainPID --value ssvm)" != "$1" ]; }
all_processes() { pgrep -f 'libexec/ssvm/' | xargs -r ps -o user=,args= -p; }

systemctl start ssvm
check "the service starts" 0 $?
until_true answers
check "it answers" 0 $?
until_true test -s $data/admin-token
check "it is active" active "$(systemctl is-active ssvm)"
check "all of it is one user, who is not root" ssvm "$(all_processes | awk '{print $1}' | sort -u)"
check "the data is nobody else's" 700 "$(stat -c %a /var/lib/private/ssvm)"
SSVM_TOKEN=$(cat $data/admin-token)
export SSVM_TOKEN SSVM_SERVER=$url
check "the journal has no token" 0 "$(journalctl -u ssvm --no-pager | grep -c -F "$SSVM_TOKEN")"
check "a function is deployed" "*version 1*" "$(cd /mnt/test/greeting && ssvm deploy --no-build 2>&1)"
check "and called" "Hello, Ada!" "$(curl -s -d Ada $url/f/greeting)"
check "in native code" 1 "$(find $data/cache -size +8k | wc -l)"
check "reload" 0 "$(systemctl reload ssvm; echo $?)"
until_true greets
check "it still answers" 0 $?
main=$(systemctl show -p MainPID --value ssvm)
kill -9 "$main"
until_true is_main "$main" && until_true greets
check "killed, it is started again with all it had" 0 $?
systemctl stop ssvm
check "it stops in order" success "$(systemctl show -p Result --value ssvm)"
check "and leaves nothing" "" "$(all_processes)"
echo "$passed passed, $failed failed, 0 skipped"
touch /mnt/test/done
