#!/usr/bin/env bash
# Help, completions and the man page come from one table; features are those of the engine.
# shellcheck disable=SC1091,SC2016,SC2154 # variables of run.sh; commands for another shell
. "$here/lib.sh"
top=$here/../..
check "help" 0 "*" "" "$SSVM" --help
for verb in run inspect serve new dev deploy invoke logs completion help; do
    check "help $verb" 0 "*" "" "$SSVM" help $verb
done
check "help of an unknown verb" 2 "" "no verb 'fly'" "$SSVM" help fly
check "a verb that is none" 1 "" "it is no verb either: 'ssvm help' lists them" "$SSVM" fly
for verb in $("$SSVM" help | sed -n 's/^  ssvm \([a-z]*\) .*/\1/p'); do
    check "mistyped ${verb}" 1 "" "did you mean 'ssvm $verb'?" "$SSVM" "${verb}q"
done
check "help on a full disk" 1 "" "cannot write to standard output" bash -c '"$SSVM" --help >/dev/full'
check "help to a closed pipe" 1 "" "Broken pipe" bash -c 'rm -f p; mkfifo p; exec 3<>p 4>p 3<&-; exec "$SSVM" --help >&4 4>&-'
check "no shell" 2 "" "which shell?" "$SSVM" completion
check "another shell" 2 "" "no completions for 'csh'" "$SSVM" completion csh
for shell in bash zsh fish; do
    "$SSVM" completion $shell >$shell.txt
    # Whatever --help of the man page lists is completed.
    missing=
    for option in $("$SSVM" help --man | sed -n 's/\\-/-/g; s/\\f.*//; s/^\.B --//p'); do
        grep -q -- "$option" $shell.txt || missing+=" $option"
    done
    check "completion $shell has every option" 0 $'\n' "" echo "$missing"
done
check "bash takes it" 0 "" "" bash -n bash.txt
complete_bash() { bash -c 'source bash.txt; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ssvm 2>/dev/null; echo "${COMPREPLY[*]}"' bash "$@"; }
line "--memory-limit= --memory-page-limit=" "bash completes an option" complete_bash ssvm run --memory-
line "--json" "bash completes by verb" complete_bash ssvm inspect --j
line "inspect" "bash completes a verb" complete_bash ssvm insp
if [ -x "$(dirname "$SSVM")/ssvm-serve" ]; then
    check "serve starts the server" 0 "*" "" "$SSVM" serve --help
    mkdir bin && ln -s "$SSVM" bin/ssvm
    check "bash asks the server for its options" 0 "*" "" grep -q -- --listen <(PATH=$PWD/bin:$PATH complete_bash ssvm serve --li)
fi
cp "$SSVM" alone
check "no server" 1 "" "libexec/ssvm/ssvm-serve' is not there" ./alone serve
[ ! -x "$(command -v zsh)" ] || check "zsh takes it" 0 "" "" zsh -n zsh.txt
[ ! -x "$(command -v fish)" ] || check "fish takes it" 0 "" "" fish -n fish.txt
check "the man page is of this table" 0 "*" "" "$top/tools/gen-man" --check "$SSVM"
sed -n 's/^FEATURE([A-Z0-9_]*, "\(.*\)")/\1/p' "$top/src/wasm/feature.def" | grep -v '^mvp$' | sort >engine.txt
sed -n 's/^FEATURE_OPT("\(.*\)")/\1/p' "$top/src/cli/options.def" | sort >options.txt
check "every feature has its options" 0 "" "" diff engine.txt options.txt
