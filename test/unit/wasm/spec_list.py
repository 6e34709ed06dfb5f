#!/usr/bin/env python3
"""The binary modules of a folder of spec scripts in JSON, one a line: verdict, path, expected text."""
import json
import pathlib
import sys

for script in sorted(pathlib.Path(sys.argv[1]).rglob("test.json")):
    for command in json.load(open(script))["commands"]:
        kind = command["type"].removesuffix("_custom")
        if command.get("module_type") == "text" or "filename" not in command or "custom" in command["type"]:
            continue
        verdict = {"assert_invalid": "bad", "assert_malformed": "bad"}.get(kind, "good")
        if command.get("text") in ("multiple memories", "multiple tables"):
            verdict = "good"  # of the threads proposal, whose base is older than 3.0
        print(verdict, script.parent / command["filename"], command.get("text", ""), sep="\t")
