#!/usr/bin/env python3
"""Measures by sections and writes a report: Markdown with SVG charts, ratios, and the bars of this project beside the figures.

  report.py --build DIR [--out DIR] [--sections "NAME..."] [--only NAME,...] [--rounds N]

Run by run.sh, which builds what it needs. Figures are kept (data.json) and the report has all that this build of ssvm was measured for: a long run can be
made in pieces. Without --sections and --only all is measured anew. Exit status 1: one of our programs failed or printed what the native one does not.
"""
import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import chart
import peers
import tables
import tierup

HERE = Path(__file__).resolve().parent
START = {'nop': '', 'bigdata': '', 'sqlbench': '1'}
START_ENGINES = ['native', 'ssvm-interp', 'ssvm-auto', 'ssvm-aot', *peers.PEERS]
START_ROUNDS, COMPILE_ROUNDS, TIER_ROUNDS, HOST_ROUNDS = 21, 5, 5, 5
SETTLED = 2.2  # seconds: the cache's index believes a file that has not changed for two
HOST_CALLS = {'interp': 1000000, 'compiled': 10000000}


@dataclass
class Bar:
    """What the project asks of itself: a number, what is compared, the figure, and the most it may be (least: the least)."""
    number: str
    text: str
    figure: float
    limit: float
    least: bool = False
    form: str = '{:.2f}'

    def met(self):
        return self.figure >= self.limit if self.least else self.figure <= self.limit


@dataclass
class Part:
    """What a section gives the report."""
    text: str = ''
    bars: list = field(default_factory=list)
    charts: dict = field(default_factory=dict)  # file's name: Chart


class Context:
    def __init__(self, options):
        self.build, self.out, self.rounds = options.build.resolve(), options.out.resolve(), options.rounds
        self.guests = self.build / 'bench'
        self.only = options.only.split(',') if options.only else None
        work = self.guests / 'work'
        work.mkdir(parents=True, exist_ok=True)
        self.bench = peers.Bench(self.guests, work, 300)
        self.broken = []

    def chosen(self, names):
        return [n for n in names if not self.only or n in self.only]

    def wrong(self, title, failed):
        """Notes what failed of ours; what peers cannot run stands in the tables."""
        self.broken += [f'{title}: {name}: {text}' for name, text in failed.items() if text and name not in peers.PEERS]


# ---- Execution


def engines_of(context, kind, base):
    names = [n for n in peers.ENGINES if kind in peers.ENGINES[n].sets and n != base]
    return [base, *peers.present(context.bench, names, peers.GUESTS)]


def measure_execution(context, kind, engines):
    for program in context.chosen(peers.GUESTS):
        for title, row in peers.execute(context.bench, engines, [program], peers.COLUMN[kind], context.rounds).items():
            context.wrong(title, row['failed'])
            yield title, row


def measure_interp(context):
    return measure_execution(context, 'interp', engines_of(context, 'interp', 'native'))


def measure_compiled(context):
    return measure_execution(context, 'compiled', engines_of(context, 'compiled', 'native-max'))


def measure_metering(context):
    return measure_execution(context, 'compiled', ['native-max', 'ssvm-aot', 'ssvm-metered'])


def seen(rows):
    """The engines with a time in any of the rows, in the order of ENGINES."""
    return [n for n in peers.ENGINES if any(row['times'].get(n) for row in rows.values())]


def mean_chart(title, rows, engines, base, limit):
    means = [(n, [tables.mean(rows, n, base)]) for n in engines if n != base]
    return chart.Chart(title, f'geometric mean of the multiples of {base}', ['mean'], [m for m in means if m[1][0]], (1.0, base), limit)


def program_chart(title, rows, names, base, limit):
    groups = [(t, [tables.ratio(row, n, base) for n in names]) for t, row in rows.items() if t != 'hostcall']
    return chart.Chart(title, f'multiples of {base}', names, groups, (1.0, base), limit)


def render_interp(rows):
    engines = ['native', *(n for n in seen(rows) if n != 'native')]
    part = Part(f'CPU time, medians of interleaved rounds: native (clang -O3) in seconds, the others as multiples of it.\n\n'
                f'{tables.execution(rows, engines)}')
    part.charts = {'interp': program_chart('Interpreters, by program', rows, engines[1:4], 'native', None),
                   'interp-mean': mean_chart('Interpreters', rows, engines, 'native', None)}
    ours = tables.mean(rows, 'ssvm-interp', 'native')
    if ours:
        part.bars.append(Bar('interpreter', 'multiples of native, geometric mean', ours, 7.5))
    return part


def best_other(rows, base):
    """The peer beside wasmtime with the least mean, and both means over what it and ssvm-aot ran."""
    found = []
    for name in peers.PEERS:
        both = tables.common(rows, ['ssvm-aot', name], base)
        if name not in ('wasmtime-aot', 'winch-aot') and tables.mean(rows, name, base):
            theirs, ours = (tables.mean(rows, n, base, both) for n in (name, 'ssvm-aot'))
            found.append((ours / theirs, name))
    return max(found, default=None)


def bars_compiled(rows, base):
    bars, ours = [], tables.ratios(rows, 'ssvm-aot', base)
    if not ours:
        return bars
    worst = max(ours, key=ours.get)
    bars.append(Bar('3', f'{base}, geometric mean ({len(ours)} programs)', statistics.geometric_mean(ours.values()), 1.03))
    bars.append(Bar('3', f'{base}, the worst program ({worst})', ours[worst], 1.25))
    gcc = tables.ratios(rows, 'ssvm-aot', 'native-gcc')
    bars.append(Bar('3', 'programs at or below gcc -O3', sum(r <= 1 for r in gcc.values()), 4, True, '{:.0f}'))
    beside = tables.ratios(rows, 'ssvm-aot', 'wasmtime-aot')
    if beside:
        worst = max(beside, key=beside.get)
        bars.append(Bar('4', f'wasmtime, geometric mean ({len(beside)} programs)', statistics.geometric_mean(beside.values()), 0.77))
        bars.append(Bar('4', f'wasmtime, the worst program ({worst})', beside[worst], 1.10))
    other = best_other(rows, base)
    if other:
        bars.append(Bar('4', f'the best other peer at hand ({other[1]}), geometric mean', other[0], 0.82))
    return bars


def render_compiled(rows):
    base = 'native-max'
    engines = [base, *(n for n in seen(rows) if n != base)]
    names = [n for n in ('ssvm-aot', 'wasmtime-aot', 'wasm2c') if n in engines]
    beside = [n for n in engines if not n.startswith('ssvm')]
    text = (f'CPU time, medians of interleaved rounds: {base} (clang -O3 -march=native) in seconds, the others as multiples of it. Compiled '
            f'ahead, loading counted; node compiles while it runs.\n\n{tables.execution(rows, engines)}\n'
            f'ssvm-aot as a multiple of each of the others:\n\n{other_table(rows, beside)}')
    return Part(text, bars_compiled(rows, base),
                {'compiled': program_chart('Native code, by program', rows, names, base, 4),
                 'compiled-mean': mean_chart('Native code', rows, engines, base, 6)})


def other_table(rows, names):
    lines = []
    for title, row in rows.items():
        found = [tables.ratio(row, 'ssvm-aot', n) for n in names]
        lines.append([title, *(f'{r:.2f}' if r else '' for r in found)])
    means = [tables.mean(rows, 'ssvm-aot', n) for n in names]
    lines.append(['geometric mean, without hostcall', *(f'{m:.2f}' if m else '' for m in means)])
    return tables.table(['program', *names], lines)


def render_metering(rows):
    base, forms = 'ssvm-aot', [n for n in ('ssvm-metered', 'ssvm-checked') if n in seen(rows)]
    part = Part('Gas counted and limited (metered), and explicit bounds checks instead of guard pages (checked): multiples of the plain form.\n\n'
                + tables.execution(rows, [base, *forms]),
                charts={'metering': program_chart('The price of metering and of checks', rows, forms, base, None)})
    metered = tables.mean(rows, 'ssvm-metered', base)
    if metered:
        part.bars.append(Bar('5', 'metered, multiples of unmetered, geometric mean', metered, 1.10))
    return part


# ---- Host calls


def measure_hostcall(context):
    bench, rows = context.bench, {}
    names = [n for n in peers.present(bench, peers.ENGINES, ['hostcall']) if bench.prepare(n, 'hostcall')]
    calls = {n: HOST_CALLS['compiled' if 'compiled' in peers.ENGINES[n].sets else 'interp'] for n in names}
    for _ in range(context.rounds or HOST_ROUNDS):
        for name in names:
            runs = [bench.run(bench.command(peers.ENGINES[name].run, name, 'hostcall', str(n))) for n in (calls[name], 0)]
            row = rows.setdefault(name, {'ns': [], 'outputs': [], 'failed': ''})
            if not runs[0] or not runs[1] or runs[0].status or runs[1].status:
                row['failed'] = 'failed'
                continue
            row['ns'].append((runs[0].cpu - runs[1].cpu) / calls[name] * 1e9)
            row['outputs'] = [r.output for r in runs]
    for name, row in rows.items():
        if not row['failed'] and row['outputs'] != rows['native']['outputs']:
            row['failed'] = 'WRONG'
        context.wrong('hostcall', {name: row['failed']})
    yield from rows.items()


def render_hostcall(rows):
    found = {n: statistics.median(r['ns']) for n, r in rows.items() if not r['failed']}
    part = Part('One call of `args_sizes_get`, ns of CPU time, the start taken off; natively a call through a pointer.\n\n' + tables.table(
        ['engine', 'ns a call'], [[n, f'{found[n]:.1f}' if n in found else r['failed']] for n, r in rows.items()]),
        charts={'hostcall': chart.Chart('A host call', 'ns', ['ns'], [(n, [ns]) for n, ns in found.items()], limit=150, form='{:.1f}')})
    for name, limit in (('ssvm-aot', 1.3), ('ssvm-interp', 3.0)):
        if name in found and 'wasm2c' in found:
            part.bars.append(Bar('4', f'a host call, {name}, multiples of wasm2c', found[name] / found['wasm2c'], limit))
    return part


# ---- Starts


def llvm_mapped(context, name):
    """Is LLVM in the memory of a process that runs `cat` and waits for its input?"""
    bench = context.bench
    if not bench.prepare(name, 'cat'):
        return None
    command = bench.command(peers.ENGINES[name].run, name, 'cat')
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=bench.env) as process:
        process.stdin.write(b'here\n')
        process.stdin.flush()
        process.stdout.readline()  # it runs
        maps = Path(f'/proc/{process.pid}/maps').read_text()
        process.stdin.close()
    return 'LLVM' in maps or 'libssvm-aot' in maps


def measure_start(context):
    for guest in context.chosen(START):
        if not (context.guests / f'{guest}.wasm').exists():
            continue
        names = [n for n in START_ENGINES if context.bench.prepare(n, guest)]
        time.sleep(SETTLED)
        row = peers.start(context.bench, names, guest, START[guest], context.rounds or START_ROUNDS)
        context.wrong(guest, row['failed'])
        yield guest, row
    yield 'maps', {n: llvm_mapped(context, n) for n in ('ssvm-aot', 'ssvm-auto')}


def render_start(rows):
    guests = {g: r for g, r in rows.items() if g != 'maps'}
    part = Part('Spawn to exit, interleaved. ssvm-aot: the module with its native code in one file; ssvm-auto: the plain module, its native code in the '
                'cache.\n\n')
    median = {g: {m: {n: statistics.median(r[m]) for n, r in row['runs'].items()} for m in ('wall', 'cpu')} for g, row in guests.items()}
    for guest, row in guests.items():
        part.text += f"{guest} {row['args']}\n\n{tables.start(row)}\n"
        values = [(n, [s * 1e3]) for n, s in median[guest]['wall'].items()]
        part.charts[f'start-{guest}'] = chart.Chart(f'Start of {guest}', 'ms, spawn to exit, median', ['ms'], values,
                                                    limit=max(8.0, 4e3 * median[guest]['wall'].get('ssvm-aot', 0)))

    def over(guest, name, base):
        """ms of wall time over those of base, and the same of CPU time in words: a busy machine spoils it less."""
        wall, cpu = ((median[guest][m][name] - median[guest][m][base]) * 1e3 for m in ('wall', 'cpu'))
        return wall, f'(CPU time: {cpu:.2f})'

    for name, kind in (('ssvm-aot', 'compiled'), ('ssvm-auto', 'cached')):
        for guest, base, limit, text in (('nop', 'ssvm-interp', 0.2, 'the interpreted one'), ('bigdata', 'native', 1.0, 'native')):
            if name in median.get(guest, {'wall': {}})['wall'] and base in median[guest]['wall']:
                figure, cpu = over(guest, name, base)
                part.bars.append(Bar('6', f'start of a {kind} {guest}, ms over {text} {cpu}', figure, limit))
        if name in median.get('sqlbench', {'wall': {}})['wall']:
            wall, cpu = (median['sqlbench'][m][name] / median['sqlbench'][m]['native'] for m in ('wall', 'cpu'))
            part.bars.append(Bar('6', f'start of a {kind} sqlbench with 1 row, multiples of native (CPU time: {cpu:.2f})', wall, 2.0))
    mapped = [n for n, is_mapped in rows.get('maps', {}).items() if is_mapped]
    part.bars.append(Bar('6', 'forms of native code that map LLVM at their start' + (f" ({', '.join(mapped)})" if mapped else ''),
                         len(mapped), 0, form='{:.0f}'))
    return part


# ---- Instances in process

INSTANCE = re.compile(r'(\S+) +(native|interpreted), (least|median) +([\d.]+) us, (?:median|wasmtime pooled) +([\d.]+) us')


def measure_instantiate(context):
    rows = {}
    for tier, flags in (('native', ['--cache', context.bench.work / 'cache/ssvm']), ('interpreted', [])):
        files = [context.guests / f'{g}.wasm' for g in context.chosen(('nop', 'bigdata'))]
        done = subprocess.run([context.guests / 'instantiate', *flags, *files], env=context.bench.env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            context.broken.append(f'instantiate, {tier}: exit {done.returncode}')
        for path, was, kind, a, b in INSTANCE.findall(done.stdout):
            row = rows.setdefault(f'{Path(path).stem}, {tier}', {})
            row['least' if kind == 'least' else 'beside'] = [float(a), float(b)]
            if was != tier:
                context.broken.append(f'instantiate: {path} is {was}, not {tier}')
    yield from rows.items()


def render_instantiate(rows):
    lines, values, bars = [], [], []
    for name, row in rows.items():
        least, median = row['least']
        ours, theirs = row.get('beside', [median, None])
        lines.append([name, f'{least:.2f}', f'{ours:.2f}', *([f'{theirs:.2f}', f'{ours / theirs:.2f}'] if theirs else ['', ''])])
        values.append((name, [ours, theirs]))
        if theirs and name.endswith('native'):
            bars.append(Bar('8', f"a whole request of {name.split(',')[0]}, multiples of wasmtime's pooled", ours / theirs, 0.5))
    text = ('A whole request in process, us of CPU time: store, WASI, instance, `_start`, delete; the median of 9 rounds of 10,000, alternating with '
            "wasmtime's pooling allocator.\n\n")
    text += tables.table(['guest', 'ssvm least', 'ssvm median', 'wasmtime pooled', 'ratio'], lines)
    return Part(text, bars, {'instantiate': chart.Chart('A whole request in process', 'us of CPU time', ['ssvm', 'wasmtime pooled'], values)})


# ---- Compile time


def measure_compile(context):
    for guest in context.chosen(('sqlbench', 'luabench')):
        if not (context.guests / f'{guest}.wasm').exists():
            continue
        native = None
        if guest == 'sqlbench':
            native = ('clang -O2, C source', [shutil.which('make'), '-s', '-B', '-C', str(HERE / 'guest'), f'OUT={context.guests}', f'{context.guests}/sqlite3.o'])
        names = [n for n in peers.ENGINES if peers.ENGINES[n].compile and n not in ('ssvm-checked', 'ssvm-metered', 'ssvm-auto')]
        row = peers.compile_times(context.bench, names, guest, context.rounds or COMPILE_ROUNDS, native)
        for name, runs in row['runs'].items():
            context.wrong(f'compile {guest}', {name: '' if runs['cpu'] else 'failed'})
        yield guest, row


def render_compile(rows):
    part = Part('Compiling ahead, to a file; interleaved. CPU time is that of all threads.\n\n')
    for guest, row in rows.items():
        part.text += tables.compile_times(guest, row) + '\n'
        found = [(n, [statistics.median(r['cpu'])]) for n, r in row['runs'].items() if r['cpu']]
        part.charts[f'compile-{guest}'] = chart.Chart(f'Compiling {guest}', 's of CPU time', ['CPU s'], found)
        ours = row['runs'].get('ssvm-aot', {'cpu': []})
        if guest != 'sqlbench' or not ours['cpu']:
            continue
        native = row['runs'].get('clang -O2, C source', {'cpu': []})
        if native['cpu']:
            ratio = statistics.median(ours['cpu']) / statistics.median(native['cpu'])
            part.bars.append(Bar('9', 'compile SQLite, CPU time, multiples of clang -O2', ratio, 0.9))
        part.bars.append(Bar('9', f'compile SQLite, wall time, part of CPU time ({os.cpu_count()} processors)',
                             statistics.median(a / b for a, b in zip(ours['wall'], ours['cpu'])), 0.55))
        part.bars.append(Bar('9', 'compile SQLite, peak memory, MB', max(ours['rss']) / 1024, 400, form='{:.0f}'))
        part.bars.append(Bar('9', 'compile SQLite, different results of one input', len(set(ours['digests'])), 1, form='{:.0f}'))
    return part


# ---- First starts, interruption, HTTP


def measure_tierup(context):
    scratch = context.bench.work / 'tierup'
    scratch.mkdir(exist_ok=True)
    for name in context.chosen(tierup.PROGRAMS):
        yield name, tierup.measure(str(context.build / 'ssvm'), context.guests, name, context.rounds or TIER_ROUNDS, 1.0, scratch, context.bench.env)


def render_tierup(rows):
    text = ('One second of work, wall time: a plain module with an empty cache and no flags (interpreted at once, compiled beside), and with the cache '
            f'filled, against a precompiled file. Rounds in which other processes used more than {tierup.FOREIGN:.0%} of the machine are taken again.\n\n')
    part = Part(text + tierup.table(rows))
    valid = {n: r for n, r in rows.items() if r['foreign']}
    part.charts['tierup'] = chart.Chart('First starts', 'multiples of a precompiled run', ['empty cache', 'filled cache'],
                                        [(n, [tierup.ratio(r, 'first'), tierup.ratio(r, 'second')]) for n, r in valid.items()], (1.0, 'precompiled'))
    for name, row in valid.items():
        part.bars.append(Bar('7', f'{name}, empty cache, multiples of a precompiled run', tierup.ratio(row, 'first'), 2.0))
        part.bars.append(Bar('7', f'{name}, filled cache, multiples of a precompiled run', tierup.ratio(row, 'second'), 1.1))
    return part


LATENESS = re.compile(r'^ *(\w+) +(\w+) +largest lateness of \d+: +([\d.]+) ms, median +([\d.]+) ms', re.M)


def measure_interrupt(context):
    rows = {}
    for tier, library in (('interpreted', []), ('native', [context.build / 'libssvm-aot.so'])):
        if library and not library[0].exists():
            continue
        done = subprocess.run([context.guests / 'interrupt', *library], env=context.bench.env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            context.broken.append(f'interrupt, {tier}: exit {done.returncode}')
        last = None
        for what, how, largest, median in LATENESS.findall(done.stdout):
            if what != 'C':
                last = rows.setdefault(f'{what}, by {how}, {tier}', {})
            last['C' if what == 'C' else 'ours'] = [float(largest), float(median)]
    yield from rows.items()


def render_interrupt(rows):
    text = ("How late a guest ends, ms, of 50: an endless loop, a fill of 4 GiB, a poll of an hour, a read from a silent pipe, a vector loop, calls, a deep recursion. Beside it a C program's "
            'loop that waits for a timer signal, interleaved.\n\n')
    lines = [[name, *(f'{v:.3f}' for v in (*row['ours'], *row['C']))] for name, row in rows.items()]
    part = Part(text + tables.table(['what', 'largest', 'median', 'C, largest', 'C, median'], lines))
    if rows:
        part.bars.append(Bar('interruption', 'the largest lateness, ms', max(r['ours'][0] for r in rows.values()), 10))
    return part


def measure_http(context):
    if not shutil.which('wrk') or not (shutil.which('nginx') or Path('/usr/sbin/nginx').exists()):
        yield from {'text': 'Not measured: nginx and wrk are missing (make bench-peers unpacks them).', 'bars': []}.items()
        return
    rounds = ['--rounds', str(context.rounds)] if context.rounds else []
    done = subprocess.run([HERE / 'http-cpu.py', '--serve', context.build / 'ssvm-serve', *rounds], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        context.broken.append(f'http-cpu.py: exit {done.returncode}')
    bars = re.findall(r'^(\w+) / nginx: ([\d.]+) \(bar ([\d.]+)\)', done.stdout, re.M)
    rows = {'text': f'```\n{done.stdout}```', 'bars': [[what, float(figure), float(limit)] for what, figure, limit in bars]}
    yield from rows.items()


def render_http(row):
    bars = [Bar('http', f'CPU time of a request, {what}, multiples of nginx', figure, limit) for what, figure, limit in row['bars']]
    return Part(f"CPU time of the server for a request, beside nginx.\n\n{row['text']}\n", bars)


@dataclass
class Section:
    title: str
    measure: callable
    render: callable


SECTIONS = {
    'interp': Section('Execution, interpreted', measure_interp, render_interp),
    'compiled': Section('Execution, native code', measure_compiled, render_compiled),
    'metering': Section('The price of metering and of checks', measure_metering, render_metering),
    'hostcall': Section('Host calls', measure_hostcall, render_hostcall),
    'start': Section('Starts', measure_start, render_start),
    'instantiate': Section('Instances in process', measure_instantiate, render_instantiate),
    'compile': Section('Compile time', measure_compile, render_compile),
    'tierup': Section('First starts', measure_tierup, render_tierup),
    'interrupt': Section('Interruption', measure_interrupt, render_interrupt),
    'http': Section('HTTP', measure_http, render_http),
}


# ---- The report


def output_of(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    except OSError:
        return ''


def build_id(build):
    """Names this build of ssvm: figures of another one are not mixed with its."""
    digest = hashlib.sha256()
    for name in ('ssvm', 'libssvm-aot.so'):
        digest.update((build / name).read_bytes() if (build / name).exists() else b'-')
    return digest.hexdigest()[:16]


def machine(context):
    info = Path('/proc/cpuinfo').read_text()
    model = re.search(r'^model name\s*: (.*)$', info, re.M)
    memory = re.search(r'MemTotal: +(\d+)', Path('/proc/meminfo').read_text())
    system = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path('/etc/os-release').read_text(), re.M) if Path('/etc/os-release').exists() else None
    versions = context.guests / 'peers/versions'
    found = [versions.read_text().strip().replace('\n', ', ')] if versions.exists() else []
    for command in ('iwasm', 'wamrc', 'wasmedge', 'wasmer', 'toywasm', 'wasmtime'):  # not from make bench-peers
        if shutil.which(command):
            found.append(output_of(command, '--version').split('\n')[0])
    return {
        'processor': f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} processors, {int(memory.group(1)) / 1048576:.0f} GiB",
        'system': f"{system.group(1) if system else ''}, Linux {platform.release()}",
        'ssvm': f"{output_of(context.build / 'ssvm', '--version')}, {output_of('git', '-C', HERE, 'describe', '--always', '--dirty')}",
        'native': f"{output_of('clang-22', '--version').split(chr(10))[0]}; {output_of('gcc', '--version').split(chr(10))[0]}",
        'peers': ', '.join(found) or 'none (make bench-peers)',
    }


def load_data(path, build):
    data = json.loads(path.read_text()) if path.exists() else {}
    return data if data.get('build') == build else {'build': build, 'sections': {}}


def measure(context, data, names, store):
    """Row by row into the file: what was measured is kept, whatever ends the rest."""
    for name in names:
        section = data['sections'].setdefault(name, {'rows': {}, 'runs': []})
        print(f'bench: {SECTIONS[name].title}', file=sys.stderr, flush=True)
        began, load = datetime.datetime.now(), os.getloadavg()[0]
        run = [began.isoformat(' ', 'minutes'), 0, load, load]
        section['runs'].append(run)
        for key, row in SECTIONS[name].measure(context):
            section['rows'][key] = row
            run[1:] = [round((datetime.datetime.now() - began).total_seconds()), load, os.getloadavg()[0]]
            store.write_text(json.dumps(data, indent=1))


def bar_lines(bars):
    return [[f'{b.number}: {b.text}', b.form.format(b.figure), ('at least ' if b.least else 'at most ') + f'{b.limit:g}',
             'met' if b.met() else 'missed'] for b in bars]


def write(data, out, broken):
    """The report and its charts from the figures; gives the report's path and the bars."""
    parts, text = {}, ['# Benchmarks of ssvm\n']
    for name, section in SECTIONS.items():
        kept = data['sections'].get(name)
        if not kept and name == 'metering':
            kept = data['sections'].get('compiled')  # it has the forms too
        if kept and kept['rows']:
            parts[name] = (section.render(kept['rows']), kept['runs'])
    text.append(tables.table(['', ''], [[key, value] for key, value in data['machine'].items()]).replace('---:', '---'))
    if broken:
        text.append('**Failed:** ' + '; '.join(broken) + '\n')
    bars = [bar for part, _ in parts.values() for bar in part.bars]
    text.append('## Bars\n\nWhat the project asks of itself, as far as this run measured it.\n\n' + tables.table(
        ['bar', 'figure', 'asked', ''], bar_lines(bars)))
    for name, (part, runs) in parts.items():
        text.append(f'## {SECTIONS[name].title}\n\n{part.text}')
        for file, drawing in part.charts.items():
            if drawing.groups:
                (out / f'{file}.svg').write_text(chart.render(drawing))
                text.append(f'![{drawing.title}]({file}.svg)\n')
        text += ['\n'.join(f'Measured {when}, {seconds} s, load {before:.1f} to {after:.1f}.' for when, seconds, before, after in runs) + '\n']
    (out / 'report.md').write_text('\n'.join(text))
    return out / 'report.md', bars


def prepare(context, names):
    """Compiles what the sections run, for all engines."""
    guests = dict.fromkeys(peers.GUESTS[t][0] for t in context.chosen(peers.GUESTS) if {'compiled', 'metering', 'hostcall'} & set(names))
    if 'start' in names:
        guests.update(dict.fromkeys(['cat', *context.chosen(START)]))
    for guest in guests:
        compiled = [n for n, e in peers.ENGINES.items() if e.compile and (context.guests / f'{guest}.wasm').exists() and context.bench.prepare(n, guest)]
        print(f"bench: {guest}: {', '.join(compiled)}", flush=True)
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--build', type=Path, required=True, help='the folder of the build')
    p.add_argument('--out', type=Path, help='where the report goes (default: bench in the build)')
    p.add_argument('--sections', default='', help=f'of: {" ".join(SECTIONS)} (default: all)')
    p.add_argument('--only', help='only these programs, by comma')
    p.add_argument('--rounds', type=int, help='interleaved rounds of each measurement (default: what doc/benchmarks.md says)')
    p.add_argument('--prepare', action='store_true', help='only compile what is compiled ahead, for all engines; nothing is timed')
    a = p.parse_args()
    names = a.sections.split() or list(SECTIONS)
    unknown = [n for n in names if n not in SECTIONS]
    if unknown:
        p.error(f'no section {unknown[0]}; there are: {" ".join(SECTIONS)}')
    a.out = a.out or a.build / 'bench'
    a.out.mkdir(parents=True, exist_ok=True)
    context = Context(a)
    if a.prepare:
        return prepare(context, names)
    store = a.out / 'data.json'
    data = load_data(store, build_id(context.build))
    if not a.sections and not a.only:
        data['sections'] = {}
    data['machine'] = machine(context)
    if 'compiled' in names and 'metering' in names:
        names.remove('metering')  # the same rounds
        data['sections'].pop('metering', None)
    measure(context, data, names, store)
    path, bars = write(data, a.out, context.broken)
    for line in bar_lines(bars):
        print(' | '.join(line))
    for line in context.broken:
        print(f'bench: FAILED {line}')
    print(f'bench: {path}')
    return 1 if context.broken else 0


if __name__ == '__main__':
    sys.exit(main())
