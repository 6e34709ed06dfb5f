#!/usr/bin/env python3
"""The report of bench/: from figures that are made up, what it concludes and draws. Nothing is measured here."""
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'bench'))

import chart  # noqa: E402
import report  # noqa: E402
import tables  # noqa: E402

SVG = '{http://www.w3.org/2000/svg}'
done = 0


def check(what, good):
    global done
    if not good:
        sys.exit(f'bench/report: FAILED {what}')
    done += 1


def program(args='1', failed=None, **times):
    return {'args': args, 'times': {n.replace('_', '-'): t for n, t in times.items()}, 'failed': failed or {}}


def engine(seconds):
    return {'wall': [seconds, seconds, seconds * 9], 'cpu': [seconds] * 3, 'rss': [2048] * 3}


def compiled(cpu, digests=('a', 'a')):
    return {'wall': [cpu / 2] * 2, 'cpu': [cpu] * 2, 'rss': [102400] * 2, 'digests': list(digests), 'size': 5000}


EXECUTION = {
    'nbody': program(native_max=[1.0, 9.0, 1.0], native=[1.2], native_gcc=[1.5], ssvm_aot=[1.0], ssvm_metered=[1.1], wasmtime_aot=[2.0], wasm2c=[4.0]),
    'fib': program(native_max=[2.0], native=[2.0], native_gcc=[1.0], ssvm_aot=[8.0], ssvm_metered=[9.6], wasmtime_aot=[4.0],
                   failed={'wasm2c': 'exit 1', 'node': ''}),
    'hostcall': program(native_max=[1.0], ssvm_aot=[50.0]),
}
DATA = {'machine': {'processor': 'none'}, 'sections': {name: {'rows': rows, 'runs': [['2000-01-01 00:00', 1, 0.5, 0.5]]} for name, rows in {
    'compiled': EXECUTION,
    'interp': {'nbody': program(native=[1.0], ssvm_interp=[8.0], wasm3=[16.0])},
    'hostcall': {'native': {'ns': [3.0], 'outputs': [], 'failed': ''}, 'wasm2c': {'ns': [10.0], 'outputs': [], 'failed': ''},
                 'ssvm-aot': {'ns': [15.0, 12.0, 13.0], 'outputs': [], 'failed': ''}, 'wasm3': {'ns': [], 'outputs': [], 'failed': 'WRONG'}},
    'start': {'nop': {'args': '', 'failed': {}, 'runs': {'native': engine(.001), 'ssvm-interp': engine(.001), 'ssvm-aot': engine(.0015)}},
              'maps': {'ssvm-aot': True, 'ssvm-auto': False}},
    'instantiate': {'nop, native': {'least': [1.0, 1.1], 'beside': [1.0, 4.0]}, 'nop, interpreted': {'least': [1.0, 1.2]}},
    'compile': {'sqlbench': {'size': 1000000, 'runs': {'ssvm-aot': compiled(40.0, 'ab'), 'clang -O2, C source': compiled(50.0, ())}}},
    'tierup': {'nbody': {'args': '9', 'precompiled': [1.0, 2.0], 'first': [1.5, 3.0], 'second': [1.2, 2.4], 'foreign': [0.0, 0.0], 'left out': 1},
               'loop': {'args': '9', 'precompiled': [], 'first': [], 'second': [], 'foreign': [], 'left out': 15}},
    'interrupt': {'loop, by deadline, native': {'ours': [11.0, 1.0], 'C': [0.1, 0.1]}},
    'http': {'text': 'text', 'bars': [['file', 1.5, 1.3]]},
}.items()}}
# What is concluded of them.
BARS = {
    '3: native-max, geometric mean (2 programs)': ('2.00', 'missed'),  # 1 and 4, of medians; hostcall is no part of it
    '3: native-max, the worst program (fib)': ('4.00', 'missed'),
    '3: programs at or below gcc -O3': ('1', 'missed'),
    '4: wasmtime, geometric mean (2 programs)': ('1.00', 'missed'),  # 0.5 and 2
    '4: wasmtime, the worst program (fib)': ('2.00', 'missed'),
    '4: the best other peer at hand (wasm2c), geometric mean': ('0.25', 'met'),  # of what both ran
    '4: a host call, ssvm-aot, multiples of wasm2c': ('1.30', 'met'),
    '5: metered, multiples of unmetered, geometric mean': ('1.15', 'missed'),  # 1.1 and 1.2
    '6: start of a compiled nop, ms over the interpreted one (CPU time: 0.50)': ('0.50', 'missed'),
    '6: forms of native code that map LLVM at their start (ssvm-aot)': ('1', 'missed'),
    "8: a whole request of nop, multiples of wasmtime's pooled": ('0.25', 'met'),
    '9: compile SQLite, CPU time, multiples of clang -O2': ('0.80', 'met'),
    '9: compile SQLite, peak memory, MB': ('100', 'met'),
    '9: compile SQLite, different results of one input': ('2', 'missed'),
    '7: nbody, empty cache, multiples of a precompiled run': ('1.50', 'met'),
    '7: nbody, filled cache, multiples of a precompiled run': ('1.20', 'missed'),
    'interruption: the largest lateness, ms': ('11.00', 'missed'),
    'http: CPU time of a request, file, multiples of nginx': ('1.50', 'missed'),
    'interpreter: multiples of native, geometric mean': ('8.00', 'missed'),
}


def test_report(out):
    path, bars = report.write(DATA, out, ['fib: ssvm-aot: exit 1'])
    found = {line[0]: (line[1], line[3]) for line in report.bar_lines(bars)}
    for name, verdict in BARS.items():
        check(f'{name}: {found.get(name)}, not {verdict}', found.get(name) == verdict)
    check('a busy machine is not judged', not any('loop, empty cache' in name for name in found))
    text = path.read_text()
    check('failures are at the top', '**Failed:** fib: ssvm-aot: exit 1' in text)
    check('a section for all that was measured', all(f'## {s.title}' in text for s in report.SECTIONS.values()))
    row = next(line for line in text.splitlines() if line.startswith('| fib 1 |'))
    check(f'ratios and failures in the table: {row}', row == '| fib 1 | 2.000 s | 1.00 | 0.50 | 4.00 | 4.80 | 2.00 | exit 1 |')
    for name in [line.split('](')[1][:-1] for line in text.splitlines() if line.startswith('![')]:
        ElementTree.parse(out / name)
        check('a chart', True)


def test_charts():
    cases = [
        chart.Chart('one', 'ms', ['a'], [('x', [3.0]), ('<y> & "z"', [0.0])]),
        chart.Chart('several <&>', 'ratio', ['a', 'b & c'], [('x', [1.0, 40.0]), ('y', [None, 0.01])], (1.0, 'native'), 4),
        chart.Chart('many', 's', [f'a series with a long name {i}' for i in range(9)], [('x', [float(i) for i in range(9)])], (20, 'far')),
        chart.Chart('large', 'us', ['a'], [('x', [123456.0]), ('y', [1e-6])]),
    ]
    for case in cases:
        root = ElementTree.fromstring(chart.render(case))
        wide, high = (float(n) for n in root.get('viewBox').split()[2:])
        texts = [t.text for t in root.iter(SVG + 'text')]
        boxes = [r for r in root.iter(SVG + 'rect') if r.get('height') == str(chart.BAR)]
        lengths = [float(b.get('width')) for b in boxes]
        figures = [min(v, case.limit or v) for v in case.values()]
        check('its title', root.find(SVG + 'title').text == case.title and root.get('role') == 'img')
        check('every figure in words', all(case.form.format(v) in root.find(SVG + 'desc').text for v in case.values()))
        check('every name', all(name in texts for name, _ in case.groups))
        check('every figure', all(any(t.startswith(case.form.format(v)) for t in texts) for v in case.values()))
        check('a bar for each value', len(boxes) == len(figures))
        check('longer is more', all((figures[i] > figures[j]) <= (lengths[i] >= lengths[j]) for i in range(len(boxes)) for j in range(len(boxes))))
        check('all inside', all(float(b.get('x')) + float(b.get('width')) <= wide and float(b.get('y')) + chart.BAR <= high for b in boxes))


def main():
    with tempfile.TemporaryDirectory() as folder:
        test_report(Path(folder))
    test_charts()
    check('no mean of nothing', tables.mean({}, 'a', 'b') is None and tables.common({}, ['a'], 'b') == set())
    print(f'bench/report: {done} passed, 0 failed, 0 skipped')


if __name__ == '__main__':
    main()
