#!/usr/bin/env python3
"""What a first start costs: a plain .wasm with an empty cache and no flags, beside the same with its cache filled, beside a precompiled file.

  make -C guest OUT=DIR
  tierup.py --guests DIR [--ssvm PATH] [--rounds N] [--only NAME,...] [--seconds S]

Wall time, since compiling goes on beside the program: on a busy machine the figures say little (the load is printed). Rounds are
interleaved; the ratio is the median of the rounds' ratios. Each program's argument is set so that the precompiled run takes about
--seconds of CPU time.
"""
import argparse
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

# program: argument, what it counts
PROGRAMS = {'nbody': 2000000, 'fannkuch': None, 'sha256': 20, 'sorthash': 300000, 'loop': 20000000}
FANNKUCH = 10  # its work grows by a factorial: not scaled


def run(command, env):
    begun = time.monotonic()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    return time.monotonic() - begun, done.stdout


def empty(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


def measure(ssvm, wasm, argument, rounds, scratch, env):
    artifact = scratch / 'artifact.wasm'
    subprocess.run([ssvm, 'compile', '--cache', scratch / 'keys', wasm, '-o', artifact], check=True, env=env,
                   stderr=subprocess.DEVNULL)
    times = {'precompiled': [], 'first': [], 'second': []}
    for _ in range(rounds):
        outputs = set()
        empty(scratch / 'cache')
        for kind, command in (('precompiled', [ssvm, 'run', '--cache', scratch / 'keys', artifact]),
                              ('first', [ssvm, 'run', '--cache', scratch / 'cache', wasm]),
                              ('second', [ssvm, 'run', '--cache', scratch / 'cache', wasm])):
            if kind == 'second':  # what the first start left running fills the cache
                subprocess.run([ssvm, 'compile', '--fill-cache', scratch / 'cache', '--form', '0', wasm], check=True, env=env)
            seconds, output = run([*command, str(argument)], env)
            times[kind].append(seconds)
            outputs.add(output)
        assert len(outputs) == 1, f'{wasm}: outputs differ'
    return times


def scaled(ssvm, wasm, argument, seconds, scratch, env):
    artifact = scratch / 'artifact.wasm'
    subprocess.run([ssvm, 'compile', '--cache', scratch / 'keys', wasm, '-o', artifact], check=True, env=env,
                   stderr=subprocess.DEVNULL)
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run([ssvm, 'run', '--cache', scratch / 'keys', artifact, str(argument)], env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return max(1, round(argument * seconds / min(taken)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--guests', type=Path, required=True)
    parser.add_argument('--ssvm', default=shutil.which('ssvm') or 'ssvm')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=1.0)
    parser.add_argument('--only', default=','.join(PROGRAMS))
    options = parser.parse_args()
    env = {**os.environ, 'PATH': os.environ['PATH']}
    print(f'load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs')
    print('| program | precompiled, s | empty cache, s | ratio | filled cache, s | ratio |')
    print('|---|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        empty(scratch / 'keys')
        for name in options.only.split(','):
            wasm = options.guests / f'{name}.wasm'
            argument = FANNKUCH
            if PROGRAMS[name]:
                argument = scaled(options.ssvm, wasm, PROGRAMS[name], options.seconds, scratch, env)
            times = measure(options.ssvm, wasm, argument, options.rounds, scratch, env)
            ratios = {kind: statistics.median(a / b for a, b in zip(times[kind], times['precompiled'])) for kind in times}
            median = {kind: statistics.median(times[kind]) for kind in times}
            print(f"| {name} {argument} | {median['precompiled']:.3f} | {median['first']:.3f} | {ratios['first']:.2f} | "
                  f"{median['second']:.3f} | {ratios['second']:.2f} |", flush=True)


if __name__ == '__main__':
    main()
