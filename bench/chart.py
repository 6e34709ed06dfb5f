"""Bar charts as SVG: horizontal, grouped, readable on light and dark pages, with a title and a description for screen readers."""
import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LABEL, FIGURE = 760, 190, 76  # the whole, room for names on the left, for figures on the right
BAR, GAP, GROUP = 14, 3, 12  # a bar's height, between bars, between groups
HEAD, LINE, FOOT = 44, 18, 44
TEXT = 6.6  # width of a letter, roughly
# Told apart with any colour vision, and by their order and their figures.
COLOURS = [('#0b62a4', '#5aa9e6'), ('#c4570a', '#f0995a'), ('#6b7280', '#9aa3b0'), ('#1d7a4b', '#5fc98f'),
           ('#8a3ea8', '#c78be0'), ('#8f6b00', '#d9b54a'), ('#a3304a', '#ee8ba0'), ('#2f6f77', '#7cc4cd')]
STYLE = """text { font: 12px system-ui, sans-serif; fill: #1b1f24 } .t { font-weight: 600; font-size: 14px } .q { fill: #57606a }
.a { stroke: #d0d7de } .r { stroke: #1b1f24; stroke-dasharray: 4 3 }
%s
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .q { fill: #9aa3b0 } .a { stroke: #3a424c } .r { stroke: #e6edf3 }
%s }""" % tuple(' '.join(f'.s{i} {{ fill: {pair[k]} }}' for i, pair in enumerate(COLOURS)) for k in (0, 1))


@dataclass
class Chart:
    """groups: (name, a value for each series, None where there is none). reference: a value and what it is. Bars end at `limit`, whose figures
    then say more than their length."""
    title: str
    unit: str
    series: list
    groups: list
    reference: tuple = None
    limit: float = None
    form: str = '{:.2f}'

    def values(self):
        return [v for _, values in self.groups for v in values if v is not None]


def step(top):
    """The distance of the axis's marks: 1, 2 or 5 times a power of ten, at most eight of them."""
    unit = 10 ** math.floor(math.log10(top))
    return next(s for s in (unit / 10, unit / 5, unit / 2, unit, unit * 2) if top / s <= 8)


def described(chart):
    parts = []
    for name, values in chart.groups:
        figures = [f'{s} {chart.form.format(v)}' if len(chart.series) > 1 else chart.form.format(v)
                   for s, v in zip(chart.series, values) if v is not None]
        parts.append(f"{name}: {', '.join(figures)}")
    return f"Bars, in {chart.unit}. {'; '.join(parts)}."


def legend(chart):
    """The series' names in rows, and the height they need."""
    x, y, out = LABEL, HEAD, []
    for i, name in enumerate(chart.series if len(chart.series) > 1 else []):
        wide = 34 + len(name) * TEXT
        if x + wide > WIDTH:
            x, y = LABEL, y + LINE
        out.append(f'<rect class="s{i % len(COLOURS)}" x="{x:.0f}" y="{y - 10}" width="11" height="11"/>'
                   f'<text x="{x + 16:.0f}" y="{y}">{escape(name)}</text>')
        x += wide
    return out, y + LINE if out else HEAD


def render(chart):
    """The chart as the text of an SVG file."""
    body, top = legend(chart)
    largest = max(chart.values(), default=1) or 1
    if chart.reference:
        largest = max(largest, chart.reference[0])
    if chart.limit:
        largest = min(largest, chart.limit)
    largest *= 1.02
    scale = (WIDTH - LABEL - FIGURE) / largest
    bars, y = [], top + 4
    for name, values in chart.groups:
        drawn = [(i, v) for i, v in enumerate(values) if v is not None]
        height = len(drawn) * (BAR + GAP)
        bars.append(f'<text x="{LABEL - 8}" y="{y + height / 2 + 3:.1f}" text-anchor="end">{escape(name)}</text>')
        for i, v in drawn:
            long = min(v, largest) * scale
            cut = ' »' if v > largest else ''
            bars.append(f'<rect class="s{i % len(COLOURS)}" x="{LABEL}" y="{y}" width="{max(long, 1):.1f}" height="{BAR}"/>'
                        f'<text x="{LABEL + long + 5:.1f}" y="{y + BAR - 3}">{escape(chart.form.format(v) + cut)}</text>')
            y += BAR + GAP
        y += GROUP
    marks, distance = [], step(largest)
    for k in range(int(largest / distance) + 1):
        x = LABEL + k * distance * scale
        marks.append(f'<line class="a" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{y}"/>'
                     f'<text class="q" x="{x:.1f}" y="{y + 15}" text-anchor="middle">{k * distance:g}</text>')
    over = []
    if chart.reference:
        x = LABEL + chart.reference[0] * scale
        over.append(f'<line class="r" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{y}"/>')
    note = chart.unit + (f' (dashed: {chart.reference[1]})' if chart.reference else '')
    foot = f'<text class="q" x="{LABEL}" y="{y + 34}">{escape(note)}</text>'
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + FOOT}" viewBox="0 0 {WIDTH} {y + FOOT}" role="img" '
            f'aria-labelledby="t d">\n<title id="t">{escape(chart.title)}</title>\n<desc id="d">{escape(described(chart))}</desc>\n'
            f'<style>{STYLE}</style>\n<text class="t" x="8" y="20">{escape(chart.title)}</text>')
    return '\n'.join([head, *body, *marks, *bars, *over, foot, '</svg>']) + '\n'
