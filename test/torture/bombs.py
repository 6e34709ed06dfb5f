"""Modules made to explode a compiler, each with a result known without us. bombs.py has the modules, explode.py runs them."""

I32, I64, F64, V128, FUNCREF, EXNREF = b"\x7f", b"\x7e", b"\x7c", b"\x7b", b"\x70", b"\x69"
MASK = 0xFFFFFFFF


def u(n):
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        n, low = n >> 7, n & 0x7F
        if not n:
            return bytes(out) + bytes([low])
        out.append(low | 0x80)


def s(n):
    """Signed LEB128."""
    out = bytearray()
    while True:
        n, low = n >> 7, n & 0x7F
        if (n == 0 and not low & 0x40) or (n == -1 and low & 0x40):
            return bytes(out) + bytes([low])
        out.append(low | 0x80)


def vec(items):
    return u(len(items)) + b"".join(items)


def const(n):
    n &= MASK
    return b"\x41" + s(n - (1 << 32) if n >> 31 else n)


def get(i):
    return b"\x20" + u(i)


def put(i):
    return b"\x21" + u(i)


def br(i):
    return b"\x0c" + u(i)


def br_if(i):
    return b"\x0d" + u(i)


def br_table(targets, default):
    return b"\x0e" + vec([u(t) for t in targets]) + u(default)


def call(i):
    return b"\x10" + u(i)


BLOCK, LOOP, IF, ELSE, END = b"\x02\x40", b"\x03\x40", b"\x04\x40", b"\x05", b"\x0b"
ADD, SUB, MUL, AND, XOR, EQZ, DROP, SELECT = b"\x6a", b"\x6b", b"\x6c", b"\x71", b"\x73", b"\x45", b"\x1a", b"\x1b"


def body(code, locals_=()):
    """locals_: (count, type) pairs."""
    code = vec([u(n) + t for n, t in locals_]) + code + END
    return u(len(code)) + code


def functype(params, results):
    return b"\x60" + vec(params) + vec(results)


class Module:
    """`run`, the function `exported`, takes an i32 and returns one; all types, functions and bodies are given as bytes."""

    def __init__(self, types=(), memory=False):
        self.types = [functype([I32], [I32])] + list(types)
        self.memory = memory
        self.funcs, self.codes, self.exported = [], [], 0
        self.table, self.tables, self.tags, self.globals = 0, [], [], []

    def func(self, code, locals_=(), type_=0):
        self.funcs.append(u(type_))
        self.codes.append(body(code, locals_))
        return len(self.funcs) - 1

    def bytes(self):
        def section(n, b):
            return bytes([n]) + u(len(b)) + b

        out = b"\0asm\1\0\0\0" + section(1, vec(self.types)) + section(3, vec(self.funcs))
        if self.table or self.tables:
            out += section(4, vec([FUNCREF + b"\0" + u(n) for n in [self.table] + self.tables]))
        if self.memory:
            out += section(5, vec([b"\0\1"]))
        if self.tags:
            out += section(13, vec([b"\0" + u(t) for t in self.tags]))
        if self.globals:
            out += section(6, vec(self.globals))
        out += section(7, vec([vec([b"r", b"u", b"n"]) + b"\0" + u(self.exported)]))
        if self.table:
            out += section(9, vec([b"\0" + const(0) + END + vec([u(i) for i in range(self.table)])]))
        return out + section(10, vec(self.codes))


BOMBS = {}
ARG = 7


def bomb(*sizes):
    """A maker for each size: NAME-SIZE. It returns a module and the result of run(7)."""

    def add(make):
        for n in sizes:
            BOMBS["%s-%d" % (make.__name__, n)] = lambda n=n: make(n)
        return make

    return add


def one(code, locals_=(), **kw):
    m = Module(**kw)
    m.func(code, locals_)
    return m


@bomb(5000000, 390000)
def straight(n):
    """n bytes of x = x * 3 + k."""
    x, out, k, size = ARG, [], 0, 0
    while size < n - 20:
        piece = get(0) + const(3) + MUL + const(k) + ADD + put(0)
        out.append(piece)
        size += len(piece)
        x, k = (x * 3 + k) & MASK, (k * 5 + 1) % 1000
    return one(b"".join(out) + get(0)), x


@bomb(100000, 30000)
def adds(n):
    """x = x + x, each of which depends on the one before."""
    return one((get(0) + get(0) + ADD + get(1) + XOR + b"\x22\x00" + put(1)) * n + get(0), [(1, I32)]), adds_result(n)


def adds_result(n):
    x, y = ARG, 0
    for _ in range(n):
        x = ((x + x) & MASK) ^ y
        y = x
    return x


@bomb(100000, 20000)
def blocks(n):
    x, out = ARG, []
    for k in range(n):
        out.append(BLOCK + get(0) + const(1 << k % 20) + AND + br_if(0) + get(0) + const(k) + ADD + put(0) + END)
        if not x >> k % 20 & 1:
            x = (x + k) & MASK
    return one(b"".join(out) + get(0)), x


@bomb(100000, 10000)
def nest(n):
    """Blocks in blocks; the innermost leaves to a far one."""
    code = BLOCK * n + get(0) + EQZ + br_if(0) + const(5) + put(0) + br(n // 2) + (END + get(0) + const(1) + ADD + put(0)) * n
    return one(code + get(0)), 5 + n - n // 2


@bomb(50000, 8000)
def nest_if(n):
    return one((get(0) + IF) * n + (get(0) + const(3) + MUL + put(0) + END) * n + get(0)), ARG * pow(3, n, 1 << 32) & MASK


@bomb(1000, 100)
def nest_loop(n):
    """Loops in loops, each run twice at most: n + 1 rounds in all."""
    code = b""
    for k in range(n):
        code += LOOP
    code += get(0) + const(1) + ADD + put(0)
    for k in range(n):
        code += get(1 + k) + EQZ + IF + const(1) + put(1 + k) + br(1) + END + END
        if k > 8:
            # Beyond these the inner counters stay as they are: otherwise there would be 2^n rounds.
            continue
    return one(code + get(0), [(n, I32)]), ARG + n + 1


@bomb(49000)
def locals_(n):
    """Locals that are all live to the end."""
    code = b"".join(get(0) + const(k) + ADD + put(1 + k) for k in range(n))
    code += b"".join(get(0) + get(1 + k) + XOR + put(0) for k in range(n))
    x = ARG
    for k in range(n):
        x ^= (ARG + k) & MASK
    return one(code + get(0), [(n, I32)]), x


@bomb(49000)
def locals_idle(n):
    return one(get(n) + get(0) + ADD, [(n, I32)]), ARG


@bomb(10000, 2000)
def phis(n):
    """A switch of n arms that each set one of 1000 locals, and a loop around it."""
    locs = 1000
    code = LOOP + BLOCK * (n + 1) + get(1) + br_table(range(n), n) + END
    for k in range(n):
        code += const(k) + get(0) + ADD + put(2 + k % locs) + br(n - 1 - k) + END
    code += get(1) + const(1) + ADD + b"\x22\x01" + const(n) + b"\x49" + br_if(0) + END
    code += b"".join(get(0) + get(2 + k) + XOR + put(0) for k in range(locs))
    x = ARG
    for k in range(locs):
        x ^= (n - locs + k + ARG) & MASK
    return one(code + get(0), [(1 + locs, I32)]), x


@bomb(65520, 1000)
def switch(n):
    """Arms that are all different."""
    code = BLOCK * (n + 1) + get(0) + br_table(range(n), n) + END
    for k in range(n):
        code += get(0) + const(k * 7 + 1) + MUL + put(0) + br(n - 1 - k) + END
    return one(code + get(0)), ARG * (ARG * 7 + 1)


@bomb(65520)
def table(n):
    """Targets that are few."""
    code = BLOCK * 100 + get(0) + br_table([k * 31 % 100 for k in range(n)], 3) + END
    code += (get(0) + const(1) + ADD + put(0) + END) * 99
    return one(code + get(0)), ARG + 99 - ARG * 31 % 100


@bomb(100000, 20000)
def carried(n):
    """Branches that each carry a thousand operands to one label."""
    many = 1000
    m = Module([functype([I32], [I32] * many), functype([], [I32] * many)])
    code = b"\x02\x02" + get(0) * many + (get(0) + EQZ + br_if(0)) * n + END + ADD * (many - 1)
    m.func(code)
    return m, ARG * many


@bomb(65520, 5000)
def carried_table(n):
    many = 1000
    m = Module([functype([], [I32] * many)])
    m.func(b"\x02\x01" + get(0) * many + get(0) + br_table([0] * n, 0) + END + ADD * (many - 1))
    return m, ARG * many


@bomb(3000, 400)
def carried_loop(n):
    """Loops in a row, whose parameters are a thousand."""
    many = 1000
    m = Module([functype([I32] * many, [I32] * many)])
    m.func(get(0) * many + (b"\x03\x01" + get(1) + br_if(0) + END) * n + ADD * (many - 1), [(1, I32)])
    return m, ARG * many


@bomb(50000, 20000)
def operands(n):
    """A deep operand stack."""
    return one((get(0) + const(1) + ADD) + get(0) * n + ADD * n), (ARG * (n + 1) + 1) & MASK


@bomb(100000, 30000)
def tree(n):
    """An expression that is n deep, of different instructions."""
    ops = [ADD, XOR, MUL, SUB]
    x, code = ARG, get(0)
    for k in range(n):
        c = k % 61 + 1
        code_k = const(c) + ops[k % 4]
        code += code_k
        x = [x + c, x ^ c, x * c, x - c][k % 4] & MASK
    return one(code), x


@bomb(100000, 2000)
def selects(n):
    x, out = ARG, []
    for k in range(n):
        out.append(get(0) + get(0) + const(k) + ADD + get(0) + const(1 << k % 16) + AND + SELECT + put(0))
        x = x if x >> k % 16 & 1 else (x + k) & MASK
    return one(b"".join(out) + get(0)), x


@bomb(100000, 25000)
def memory(n):
    """Stores and loads at addresses of every kind."""
    mem, x, out = {}, ARG, []
    for k in range(n):
        if k % 3:
            address = (x & 1023) * 4
            out.append(get(0) + const(1023) + AND + const(4) + MUL + get(0) + b"\x36\x02\x00")
            mem[address] = x
        else:
            address = k * 68 % 4096
            out.append(get(0) + const(address) + b"\x28\x02\x00" + ADD + const(k + 1) + ADD + put(0))
            x = (x + mem.get(address, 0) + k + 1) & MASK
    return one(b"".join(out) + get(0), memory=True), x


@bomb(30000, 5000)
def vectors(n):
    """Vector code without an end."""
    splat, lane = b"\xfd\x11", b"\xfd\x1b"
    code = get(0) + splat + put(1) + get(0) + splat + put(2)
    # add, xor, sub of i32x4; all lanes stay the same
    piece = (get(1) + get(2) + b"\xfd\xae\x01" + put(1) + get(1) + get(2) + b"\xfd\x51" + put(2) +
             get(2) + get(1) + b"\xfd\xb1\x01" + put(2))
    a = b = ARG
    for _ in range(n):
        a = (a + b) & MASK
        b = a ^ b
        b = (b - a) & MASK
    return one(code + piece * n + get(1) + lane + b"\0", [(2, V128)]), a


@bomb(3000, 300)
def states(n):
    """A state machine: every state may follow every other, so the loops look irreducible."""
    code = LOOP + BLOCK * (n + 1) + get(1) + br_table(range(n), n) + END
    for k in range(n):
        code += get(0) + const(k + 1) + ADD + put(0) + get(0) + const(n) + b"\x70" + put(1)
        code += get(2) + const(1) + ADD + b"\x22\x02" + const(100000) + b"\x49" + br_if(n - k) + br(n - 1 - k) + END
    code += END
    x, state = ARG, 0
    for _ in range(100000):
        x = (x + state + 1) & MASK
        state = x % n
    return one(code + get(0), [(2, I32)]), x


@bomb(100000, 10000)
def calls(n):
    m = Module()
    m.func(get(0) + const(1) + ADD)
    m.exported = m.func(get(0) + call(0) * n)
    return m, ARG + n


@bomb(300, 150)
def calls_wide(n):
    """Calls with a thousand parameters."""
    m = Module([functype([I32] * 1000, [I32])])
    m.func(get(0) + get(999) + ADD, type_=1)
    m.exported = m.func((get(0) * 1000 + call(0) + put(0)) * n + get(0))
    return m, ARG * pow(2, n, 1 << 32) & MASK


@bomb(100)
def results(n):
    """Calls with a thousand parameters and a thousand results."""
    m = Module([functype([I32] * 1000, [I32] * 1000)])
    m.func(b"".join(get(k) for k in range(1000)), type_=1)
    m.exported = m.func(get(0) * 1000 + call(0) * n + ADD * 999)
    return m, ARG * 1000


@bomb(20000, 3000)
def indirect(n):
    m = Module()
    m.func(get(0) + const(1) + ADD)
    m.func(get(0) + const(2) + ADD)
    m.table = 2
    m.exported = m.func(get(0) + b"".join(const(k % 2) + b"\x11\0\0" for k in range(n)))
    return m, ARG + n // 2 * 3


@bomb(3000)
def indirect_types(n):
    """Calls through a table with as many types: a dispatcher each. Then they are n functions."""
    m = Module([functype([I32] + [(I32, I64, F64, V128)[k >> 2 * i & 3] for i in range(9)], [I32]) for k in range(n)])
    zero = [const(0), b"\x42\0", b"\x44" + b"\0" * 8, b"\xfd\x0c" + b"\0" * 16]
    m.table = n
    for k in range(n):
        m.func(get(0) + const(k % 7) + ADD, type_=k + 1)
    for k in range(0, n, 100):
        code = b"".join(b"".join(zero[j >> 2 * i & 3] for i in range(9)) + const(j) + b"\x11" + u(j + 1) + b"\0" for j in range(k, min(k + 100, n)))
        m.func(get(0) + code)
    m.exported = m.func(get(0) + b"".join(call(n + k) for k in range((n + 99) // 100)))
    return m, ARG + sum(k % 7 for k in range(n))


@bomb(4000)
def indirect_tables(n):
    """n pairs of 40 types and 100 tables, each called once, in one function; all but table 0 are empty, and traps are behind a branch."""
    types, tables = 40, n // 40
    m = Module([functype([I32] * (k + 2), [I32]) for k in range(types)])
    m.func(get(0) + const(1) + ADD)
    m.table, m.tables = 1, [0] * (tables - 1)
    code = b"".join(const(0) * (k % types + 2) + const(0) + b"\x11" + u(k % types + 1) + u(k // types) + DROP for k in range(n))
    m.exported = m.func(get(0) + EQZ + IF + code + END + get(0) + const(0) + b"\x11\0\0")
    return m, ARG + 1


@bomb(100)
def tables(n):
    """Tables of 65,536 elements that nothing changes, all but the first without one: a few bytes of the module each."""
    m = Module()
    m.func(get(0) + const(1) + ADD)
    m.table, m.tables = 1, [65536] * (n - 1)
    code = b"".join(get(0) + const(0) + b"\x11\0" + u(k) + DROP for k in range(1, n, n // 10))
    m.exported = m.func(get(0) + EQZ + IF + code + END + get(0) + const(0) + b"\x11\0\0")
    return m, ARG + 1


@bomb(100000, 3000)
def functions(n):
    m = Module()
    for k in range(n):
        m.func(get(0) + const(k) + ADD)
    m.exported = m.func(get(0) + call(0) + call(n - 1))
    return m, ARG + n - 1


@bomb(20000, 500)
def signatures(n):
    """Functions of as many types."""
    kinds = [I32, I64, F64, V128]
    types = []
    for k in range(n):
        params = [I32] + [kinds[k >> 2 * i & 3] for i in range(9)]
        types.append(functype(params, [I32]))
    m = Module(types)
    for k in range(n):
        m.func(get(0) + const(k) + ADD, type_=k + 1)
    m.exported = m.func(get(0) + const(1) + ADD)
    return m, ARG + 1


@bomb(8000, 1000)
def tries(n):
    """try_table in a row, every one of which throws and catches."""
    m = Module([functype([I32], [])])
    m.tags = [1]
    m.func((b"\x02\x7f" + b"\x1f\x40\x01\x00\x00\x00" + get(0) + const(1) + ADD + b"\x08\x00" + END + b"\x00" + END + put(0)) * n + get(0))
    return m, ARG + n


@bomb(5000, 300)
def tries_nested(n):
    """try_table in try_table; what the innermost throws, the outermost catches last."""
    m = Module([functype([I32], [])])
    m.tags = [1]
    code = get(0)
    code = (b"\x02\x7f" + b"\x1f\x40\x01\x00\x00\x00") * n + get(0) + b"\x08\x00"
    code += (END + b"\x00" + END + const(1) + ADD + b"\x08\x00") * (n - 1) + END + b"\x00" + END
    m.func(code)
    return m, ARG + n - 1


@bomb(60)
def casts(n):
    """A long chain of subtypes, and casts down all of it, over and over."""
    m = Module()
    m.types.append(b"\x50\x00\x5f" + vec([I32 + b"\x01"]))
    for k in range(n):
        m.types.append(b"\x50\x01" + u(k + 1) + b"\x5f" + vec([I32 + b"\x01"]))
    code = get(0) + b"\xfb\x00" + u(n + 1) + put(1)
    code += b"".join(get(0) + get(1) + b"\xfb\x16" + s(k % n + 1) + b"\xfb\x02" + u(k % n + 1) + b"\0" + ADD + put(0) for k in range(n * 100))
    m.func(code + get(0), [(1, b"\x63" + s(1))])
    return m, ARG * (n * 100 + 1)


@bomb(10000)
def arrays(n):
    """One instruction with ten thousand operands, thirty times."""
    m = Module([b"\x5e\x7f\x01"])
    piece = get(0) * n + b"\xfb\x08\x01" + u(n) + get(0) + b"\xfb\x0b\x01" + get(0) + ADD + put(0)
    m.func(piece * 2 + get(0))
    return m, ARG * 4


@bomb(200000)
def constant(n):
    """An initial value of a global."""
    m = Module()
    m.globals = [I32 + b"\0" + const(1) + (const(3) + ADD) * n + END]
    m.func(get(0) + b"\x23\0" + ADD)
    return m, ARG + 1 + 3 * n


@bomb(2000)
def many_large(n):
    """Functions whose sum is large, each with hundreds of locals and blocks."""
    m = Module()
    piece = b"".join(BLOCK + get(0) + const(1 << k % 9) + AND + br_if(0) + get(k) + get(0) + ADD + put(k + 1) + END for k in range(60))
    for _ in range(n):
        m.func(piece + get(1), [(100, I32)])
    m.exported = m.func(get(0) + const(1) + ADD)
    return m, ARG + 1


@bomb(2000, 200)
def loops_row(n):
    """Loops in a row that could all be vectorised and unrolled."""
    code = b""
    for k in range(n):
        code += const(0) + put(1) + LOOP + get(1) + get(1) + b"\x28\x02\x00" + get(0) + ADD + const(k) + XOR + b"\x36\x02\x00"
        code += get(1) + const(4) + ADD + b"\x22\x01" + const(64) + b"\x49" + br_if(0) + END
    x = 0
    for k in range(n):
        x = (x + ARG & MASK) ^ k
    return one(code + const(0) + b"\x28\x02\x00", [(1, I32)], memory=True), x
