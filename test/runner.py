"""Runs the tests of a program: what is printed of each, the totals, and a second try of those whose machine may be to blame.

A line `ok NAME`, `skipped NAME: WHY`, `FAILED NAME: REASON` or `FLAKY NAME: REASON` per test, then 'N passed, N failed, N skipped'; tools/check.sh
shows the last two kinds again where its output ends.
"""
import os
import random
import signal
import time
import traceback

ROOT = os.path.dirname(os.path.abspath(__file__))
FLAKY = 3  # more of them in one program are no accident


class Skip(Exception):
    pass


def reason(e):
    """What went wrong, in one line: the text, and where in the tests."""
    where = [x for x in traceback.extract_tb(e.__traceback__) if x.filename.startswith(ROOT) and x.filename != __file__]
    places = ", ".join("%s:%d" % (os.path.basename(x.filename), x.lineno) for x in where[-3:])
    return "%s: %s (%s)" % (type(e).__name__, " ".join(str(e).split())[:600], places)


def attempt(f, word):
    """None, or the reason of a failure."""
    start = time.time()
    try:
        f()
    except Skip:
        raise
    except Exception as e:  # noqa: BLE001
        why = reason(e)
        print("%-7s %s: %s (after %.1f s)" % (word, f.__name__, why, time.time() - start))
        print("".join("    " + x for x in traceback.format_exc().splitlines(keepends=True)), end="", flush=True)
        return why
    print("ok      %s (%.1f s)" % (f.__name__, time.time() - start), flush=True)
    return None


def run(tests, names=(), call=None):
    """Exit status. Each test is called, or `call` with it.

    These are tests of real processes, with their clocks and sockets. On a machine that others share, whole seconds can be missing in any of
    them, and one such test in some hundreds would hide what the others say. So what failed is run once more, by itself, after the others;
    what then passes counts as passed, and is told as FLAKY. What is wrong in the code fails twice. SSVM_RETRY=0: no second try.
    SSVM_SHUFFLE=SEED: in another order.
    """
    tests = [f for f in tests if not names or f.__name__ in names]
    if os.environ.get("SSVM_SHUFFLE"):
        random.Random(os.environ["SSVM_SHUFFLE"]).shuffle(tests)
    again = os.environ.get("SSVM_RETRY") != "0"
    skipped, wrong = 0, []
    for f in tests:
        named = f if not call else renamed(call, f)
        try:
            why = attempt(named, "again" if again else "FAILED")
        except Skip as e:
            skipped += 1
            print("skipped %s: %s" % (f.__name__, e), flush=True)
            continue
        if why:
            wrong.append((named, why))
    failed = len(wrong)
    if again:
        for f, why in wrong:
            if len(wrong) > FLAKY:
                print("FAILED  %s: %s" % (f.__name__, why))
            elif not attempt(f, "FAILED"):
                print("FLAKY   %s: %s" % (f.__name__, why))
                failed -= 1
    print("%d passed, %d failed, %d skipped" % (len(tests) - skipped - failed, failed, skipped), flush=True)
    return failed != 0


def stop(pid, patience=120):
    """Stop a process, and wait until it stands still: each of its threads does so when it next runs, which may be late."""
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + patience
    while True:
        states = set()
        for task in os.listdir("/proc/%d/task" % pid):
            try:
                with open("/proc/%d/task/%s/stat" % (pid, task)) as f:
                    states.add(f.read().rpartition(") ")[2][0])
            except OSError:
                pass  # the thread has ended
        if states <= set("TtXZ"):
            return
        assert time.monotonic() < end, "process %d does not stop: its threads are in %s" % (pid, states)
        time.sleep(0.005)


def nothing_waits(port, client):
    """The server of 127.0.0.1:`port` has read what a connection brought: nothing waits at its end or, not yet acknowledged, at ours."""
    ends = ["0100007F:%04X" % port, "0100007F:%04X" % client.getsockname()[1]]
    with open("/proc/net/tcp") as f:
        queues = [words[4] for words in map(str.split, f) if sorted(words[1:3]) == sorted(ends)]
    return len(queues) == 2 and set(queues) == {"00000000:00000000"}


def renamed(call, f):
    def g():
        return call(f)

    g.__name__ = f.__name__
    return g
