#!/usr/bin/env bash
# Settings files of the server: --config, --check, --schema; the unit of systemd.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
top=$here/../..
mkdir -p www/site
cat >bad.yaml <<'END'
calls: 8
call: 9
max-body: 1T
END
printf 'a: [1\n' >torn.yaml
check "every mistake with its line" 2 "" "bad.yaml:2: unknown key 'call'" "$SSVM" serve www --config bad.yaml --check
check "and the next" 2 "" "bad.yaml:3: 'max-body' takes" "$SSVM" serve www --config bad.yaml --check
check "not YAML" 2 "" "torn.yaml:2:1: not YAML" "$SSVM" serve www --config=torn.yaml --check
check "no such file" 2 "" "missing.yaml: No such file" "$SSVM" serve www --config missing.yaml
printf 'calls: 8\ncall-time: 3s\ndir: www\n' >good.yaml
"$SSVM" serve --config good.yaml --calls=9 --check >out.txt
check "the command line goes before" 0 "*" "" grep -qx "calls: 9  # command line" out.txt
check "the file's line" 0 "*" "" grep -qx "call-time: 3s  # good.yaml:2" out.txt
check "the default" 0 "*" "" grep -qx "max-body: 16M  # default" out.txt
grep -v '^function' out.txt >again.yaml
"$SSVM" serve --config again.yaml --check >again.txt
check "what --check prints is a settings file" 0 "" "" diff <(sed 's/  #.*//' out.txt) <(sed 's/  #.*//' again.txt)
sed 's|^dir: .*|dir: www|' "$top/etc/ssvm-serve.yaml" >example.yaml
check "the example of etc" 0 "*" "" "$SSVM" serve --config example.yaml --check
# The schema by somebody else's reader of schemas, where there is one.
if python3 -c 'import jsonschema, yaml' 2>/dev/null; then
    cat >schema.py <<'END'
import json, sys, yaml, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(open(sys.argv[2])))
END
    "$SSVM" serve --schema >schema.json
    for file in good again example; do
        check "the schema takes $file" 0 "" "" python3 schema.py schema.json $file.yaml
    done
    check "the schema refuses bad" 1 "" "ValidationError" python3 schema.py schema.json bad.yaml
fi
if [ -x "$(command -v systemd-analyze)" ]; then
    sed 's|@SSVM_SERVE@|/bin/true|' "$top/etc/ssvm.service" >ssvm.service
    # It asks for the pages that Documentation= names, which are not installed here.
    systemd-analyze verify ./ssvm.service 2>&1 | grep -v "Command 'man" >verify.txt
    check "the unit of systemd" 0 "" "" cat verify.txt
fi
