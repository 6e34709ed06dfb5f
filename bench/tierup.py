#!/usr/bin/env python3
"""What a first start costs: a plain .wasm with an empty cache and no flags, beside the same with its cache filled, beside a precompiled file.

  make -C guest OUT=DIR
  tierup.py --guests DIR [--ssvm PATH] [--rounds N] [--only NAME,...] [--seconds S]

Wall time, since compiling goes on beside the program, on the other processors: what else runs there falsifies it. So each run is weighed: the
machine's busy time less that of our own processes (compilers that outlive their run included) is foreign, and a round with more than FOREIGN of the
machine for others is taken again. Rounds are interleaved; the ratio is the median of the rounds' ratios. Each program's argument is set so that the
precompiled run takes about --seconds of CPU time; outputs are compared with the native program's.
"""
import argparse
import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tables

# arguments, and for the last of them what takes about half a second
PROGRAMS = {'nbody': ('', 4000000), 'fannkuch-turns': ('11 ', 2000000), 'sha256': ('', 40), 'sorthash': ('', 600000), 'loop': ('', 80000000)}
FOREIGN = 0.05
TRIES = 3  # times the rounds
KINDS = ('precompiled', 'first', 'second')
TICKS = os.sysconf('SC_CLK_TCK')
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


def adopt():
    """Compilers whose parent has ended become our children, so that their time is known and they can be waited for."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def busy():
    """CPU seconds of the whole machine, stolen ones included."""
    fields = [int(n) for n in Path('/proc/stat').read_text().split('\n', 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS  # but idle, iowait


def own():
    """CPU seconds of this process, of its children that ended, and of those that run."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(u.ru_utime + u.ru_stime for u in used)
    left = Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()
    while left:
        pid = left.pop()
        try:
            total += sum(int(n) for n in Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[11:15]) / TICKS
            left += Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
        except OSError:
            pass  # ended meanwhile
    return total


def wait_for_compilers():
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def run(command, env):
    """Wall seconds, the foreign part of the machine meanwhile, output."""
    before, begun = busy() - own(), time.monotonic()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    seconds = time.monotonic() - begun
    return seconds, max(0.0, busy() - own() - before) / (seconds * os.cpu_count()), done.stdout


def empty(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


def scaled(command, words, count, seconds, env):
    """The arguments with which the command takes so long."""
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run([*command, *words, str(count)], env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return [*words, str(max(1, round(count * seconds / min(taken))))]


def measure(ssvm, guests, name, rounds, seconds, scratch, env):
    """{'args', kind: seconds of each round, 'foreign': the same of what others used, 'left out': rounds that were not valid}"""
    wasm, image, cache = guests / f'{name}.wasm', scratch / 'image.wasm', scratch / 'cache'
    adopt()
    empty(scratch / 'keys')
    subprocess.run([ssvm, 'compile', '--cache', scratch / 'keys', wasm, '-o', image], check=True, env=env, stderr=subprocess.DEVNULL)
    commands = {'precompiled': [ssvm, 'run', '--cache', scratch / 'keys', image], 'first': [ssvm, 'run', '--cache', cache, wasm],
                'second': [ssvm, 'run', '--cache', cache, wasm]}
    args = scaled(commands['precompiled'], PROGRAMS[name][0].split(), PROGRAMS[name][1], seconds, env)
    expected = run([guests / name, *args], env)[2]
    row = {'args': ' '.join(args), 'foreign': [], 'left out': 0, **{kind: [] for kind in KINDS}}
    while len(row['foreign']) < rounds and row['left out'] < TRIES * rounds:
        empty(cache)
        taken = {}
        for kind, command in commands.items():
            taken[kind] = run([*command, *args], env)
            if taken[kind][2] != expected:
                sys.exit(f'{name}: the output of the {kind} run is not the native one')
            wait_for_compilers()
        foreign = max(t[1] for t in taken.values())
        if foreign > FOREIGN:
            row['left out'] += 1
            continue
        row['foreign'].append(foreign)
        for kind in KINDS:
            row[kind].append(taken[kind][0])
    return row


def ratio(row, kind):
    """The median of the rounds' ratios; None where no round was valid."""
    pairs = [a / b for a, b in zip(row[kind], row['precompiled'])]
    return statistics.median(pairs) if pairs else None


def table(rows):
    lines = []
    for name, row in rows.items():
        if not row['foreign']:
            lines.append([name, 'the machine was busy', '', '', '', '', f"0 of {row['left out']}"])
            continue
        median = {kind: statistics.median(row[kind]) for kind in KINDS}
        lines.append([f"{name} {row['args']}", f"{median['precompiled']:.3f}", f"{median['first']:.3f}", f"{ratio(row, 'first'):.2f}",
                      f"{median['second']:.3f}", f"{ratio(row, 'second'):.2f}",
                      f"{len(row['foreign'])} of {len(row['foreign']) + row['left out']}"])
    return tables.table(['program', 'precompiled s', 'empty cache s', 'ratio', 'filled cache s', 'ratio', 'rounds that count'], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--guests', type=Path, required=True)
    parser.add_argument('--ssvm', default=shutil.which('ssvm') or 'ssvm')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=1.0)
    parser.add_argument('--only', default=','.join(PROGRAMS))
    options = parser.parse_args()
    rows = {}
    # Beside the guests and not in /tmp: digests of files on a tmpfs are not remembered.
    with tempfile.TemporaryDirectory(dir=options.guests) as folder:
        for name in options.only.split(','):
            rows[name] = measure(options.ssvm, options.guests, name, options.rounds, options.seconds, Path(folder), dict(os.environ))
    print(table(rows))


if __name__ == '__main__':
    main()
