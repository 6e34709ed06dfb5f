#!/usr/bin/env python3
"""Time tables against croniter (PyPI), an implementation that is not ours: random tables at random times, and what both must refuse.

Usage: cron.py PROGRAM [N]; PROGRAM is schedule.c. Without croniter: skipped.
"""
import random
import subprocess
import sys

try:
    from croniter import croniter
except ImportError:
    print("0 passed, 0 failed, 1 skipped: there is no croniter")
    sys.exit(0)

FIELDS = [(0, 59, []), (0, 23, []), (1, 31, []), (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec".split()),
          (0, 6, "sun mon tue wed thu fri sat".split())]
# What has to be refused, with a word of the sentence that says so.
WRONG = [("", "five fields"), ("* * * *", "five fields"), ("* * * * * *", "five fields"), ("60 * * * *", "minute"), ("* 24 * * *", "hour"),
         ("* * 0 * *", "day of the month"), ("* * 32 * *", "day of the month"), ("* * * 13 *", "month"), ("* * * * 8", "week"), ("5-1 * * * *", "minute"),
         ("*/0 * * * *", "minute"), ("1,,2 * * * *", "minute"), ("1- * * * *", "minute"), ("a * * * *", "minute"), ("* * * foo *", "month"),
         ("-1 * * * *", "minute"), ("99999999999 * * * *", "minute"), ("@often", "five fields"), ("every", "five fields"), ("every 0s", "period"),
         ("every 10", "period"), ("every 5x", "period"), ("every -5s", "period"), ("1;2 * * * *", "minute"), ("* " * 100, "bytes")]


def number(r, field, names):
    low, high, words = field
    n = r.randint(low, high)
    return r.choice([words[n - low], words[n - low].upper()]) if words and names and r.random() < 0.3 else str(n)


def part(r, field):
    low, high, _ = field
    kind = r.random()
    if kind < 0.5:
        return number(r, field, True)
    if kind < 0.75:
        a, b = sorted(r.sample(range(low, high + 1), 2))
        return f"{a}-{b}" + (f"/{r.randint(1, high)}" if r.random() < 0.4 else "")
    return f"*/{r.randint(1, max(2, (high - low) // 2))}"


def table(r):
    words = []
    for field in FIELDS:
        words.append("*" if r.random() < 0.45 else ",".join(part(r, field) for _ in range(r.randint(1, 3))))
    return " ".join(words)


def complete(text, field):
    days = croniter.expand(text)[0][field]
    return days == ["*"] or len(set(days)) >= (31 if field == 2 else 7)


def main():
    program, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    r = random.Random(1)
    cases = []
    for word in ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "0 0 29 2 *", "0 0 31 * *", "59 23 31 12 *", "* * * * 7",
                 "0 12 * * 5-7", "0 0 1 1 0"]:
        cases += [(word, t) for t in (0, 951782399, 1709164799, 1709251199, 2147483647, 4102444799)]
    while len(cases) < n:
        text = table(r)
        # A list that happens to be all days: it has its own reading of those, by the order of the list. Ours: as `*`.
        if all(word == "*" or not complete(text, i) for i, word in ((2, text.split()[2]), (4, text.split()[4]))):
            cases.append((text, r.randint(0, 4102444800)))
    lines = [f"{t * 1000 + 999 * (i % 2)} {text}" for i, (text, t) in enumerate(cases)]
    lines += [f"0 {text}" for text, _ in WRONG] + ["12345 every 10s", "20000 every 10s", "0 every 2h", "86400000 every 1d"]
    out = subprocess.run([program], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(out) == len(lines), f"{len(out)} answers to {len(lines)} lines"
    failed = skipped = 0
    for (text, t), line in zip(cases, out):
        try:
            want = str(int(croniter(text, t).get_next()) * 1000)
        except Exception as e:  # no such day, in any year that it looks at
            skipped += 1
            if line != "-1":
                print(f"'{text}' after {t}: {line}, croniter: {e}")
                failed += 1
            continue
        if line != want:
            print(f"'{text}' after {t}: {line}, croniter has {want}")
            failed += 1
    rest = out[len(cases):]
    for (text, word), line in zip(WRONG, rest):
        if word not in line:
            print(f"'{text[:40]}': {line}")
            failed += 1
    if rest[len(WRONG):] != ["20000", "30000", "7200000", "172800000"]:
        print("periods:", rest[len(WRONG):])
        failed += 1
    print(f"{len(lines) - failed} passed, {failed} failed ({skipped} never come)")
    return failed > 0


sys.exit(main())
