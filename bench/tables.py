"""Markdown tables of what peers.py measured, and the means in them."""
import statistics


def table(heads, rows):
    lines = ['| ' + ' | '.join(heads) + ' |', '|' + '|'.join(['---'] + ['---:'] * (len(heads) - 1)) + '|']
    return '\n'.join(lines + ['| ' + ' | '.join(row) + ' |' for row in rows]) + '\n'


def ratio(row, name, base):
    """The ratio of the medians, or None where one of them did not run."""
    times = row['times']
    return statistics.median(times[name]) / statistics.median(times[base]) if times.get(name) and times.get(base) else None


def ratios(rows, name, base):
    """{program: ratio}, without hostcall, whose time is all in the host."""
    found = {title: ratio(row, name, base) for title, row in rows.items() if title != 'hostcall'}
    return {title: r for title, r in found.items() if r}


def common(rows, names, base):
    """The programs that all of the engines ran, those aside that ran none."""
    ran = [set(ratios(rows, n, base)) for n in names]
    return set.intersection(*(r for r in ran if r)) if any(ran) else set()


def mean(rows, name, base, titles=None):
    """The geometric mean over `titles`, or over all that both ran; None where there is none."""
    found = [r for title, r in ratios(rows, name, base).items() if titles is None or title in titles]
    return statistics.geometric_mean(found) if found else None


def execution_row(title, row, engines):
    base = row['times'].get(engines[0])
    cells = [f"{title} {row['args']}", f'{statistics.median(base):.3f} s' if base else row['failed'].get(engines[0], '')]
    for name in engines[1:]:
        r = ratio(row, name, engines[0])
        cells.append(f'{r:.2f}' if r else row['failed'].get(name, ''))
    return cells


def execution(rows, engines):
    """engines[0] in seconds, the others as multiples of it; then the geometric means, over what all ran and over what each ran."""
    base, names = engines[0], engines[1:]
    both = common(rows, names, base)

    def means(text, titles):
        found = [mean(rows, n, base, titles) for n in names]
        return [text, '', *(f'{m:.2f}' if m else '' for m in found)]

    return table(['program', *engines], [execution_row(t, r, engines) for t, r in rows.items()] + [
        means(f'geometric mean of the {len(both)} that all ran, without hostcall', both),
        means('geometric mean of what each ran, without hostcall', None)])


def start(row):
    heads = ['engine', 'wall least ms', 'wall median ms', 'CPU median ms', 'peak RSS MB']
    lines = [[n, f"{min(r['wall']) * 1e3:.2f}", f"{statistics.median(r['wall']) * 1e3:.2f}",
              f"{statistics.median(r['cpu']) * 1e3:.2f}", f"{statistics.median(r['rss']) / 1024:.1f}"] for n, r in row['runs'].items()]
    return table(heads, lines + [[n, text, '', '', ''] for n, text in row['failed'].items()])


def compile_times(guest, row):
    heads = [f"{guest} {row['size'] / 1e3:.0f} kB", 'wall s', 'CPU s', 'wall / CPU', 'MB of wasm / CPU s', 'artifact kB', 'peak RSS MB']
    lines = []
    for name, r in row['runs'].items():
        if not r['cpu']:
            lines.append([name, 'failed', '', '', '', '', ''])
            continue
        wall, cpu, rss = (statistics.median(r[m]) for m in ('wall', 'cpu', 'rss'))
        lines.append([name, f'{wall:.2f}', f'{cpu:.2f}', f'{wall / cpu:.2f}', f"{row['size'] / 1e6 / cpu:.2f}",
                      f"{r['size'] / 1e3:.0f}" if r['size'] else '', f'{rss / 1024:.0f}'])
    return table(heads, lines)
